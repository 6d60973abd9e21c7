//! The searches: the kernel as it is passes each of them, and each seeded bug is found by one.

use std::panic::{AssertUnwindSafe, catch_unwind};

scenarios!(faithful);
scenarios!(lost_wakeup);
scenarios!(publish_before_remove);
scenarios!(remove_by_key);
scenarios!(abandon_without_the_lock);
scenarios!(relieved_leader_drives_on);
scenarios!(relief_outlives_the_leader);

/// Searches with at most this many preemptions, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 3;

fn model(scenario: fn()) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(PREEMPTIONS));
    search.check(scenario);
}

#[test]
fn callers_share_a_flight_or_have_one_each_after_the_other() {
    model(faithful::callers);
}

#[test]
fn a_forgotten_flight_and_the_next_one_leave_each_other_alone() {
    model(faithful::forgetting);
}

#[test]
fn whoever_joins_before_the_last_one_leaves_gets_the_result() {
    model(faithful::leaving);
}

#[test]
fn a_load_is_in_one_pair_of_hands_when_its_leader_is_relieved() {
    model(faithful::relieving);
}

#[test]
fn a_load_that_is_handed_over_stays_with_its_own_task() {
    model(faithful::handing_over);
}

/// Whether the search finds an interleaving that fails.
fn caught(scenario: fn()) -> bool {
    catch_unwind(AssertUnwindSafe(|| model(scenario))).is_err()
}

#[test]
fn a_lost_wakeup_is_caught() {
    assert!(caught(lost_wakeup::callers));
}

#[test]
fn publishing_before_removing_is_caught() {
    assert!(caught(publish_before_remove::callers));
}

#[test]
fn removing_by_key_is_caught() {
    assert!(caught(remove_by_key::forgetting));
}

#[test]
fn abandoning_a_flight_that_can_still_be_joined_is_caught() {
    assert!(caught(abandon_without_the_lock::leaving));
}

#[test]
fn a_relieved_leader_that_drives_on_is_caught() {
    assert!(caught(relieved_leader_drives_on::relieving));
}

#[test]
fn a_relief_that_outlives_the_leader_is_caught() {
    assert!(caught(relief_outlives_the_leader::handing_over));
}

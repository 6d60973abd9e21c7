//! The searches: the kernel as it is passes each of them, and each seeded bug is found by one.

use std::panic::{AssertUnwindSafe, catch_unwind};

scenarios!(faithful);
scenarios!(lost_wakeup);
scenarios!(remove_by_key);
scenarios!(abandon_without_the_lock);
scenarios!(write_outside_of_the_lock);
scenarios!(woken_is_not_noted);
scenarios!(look_for_the_load_without_a_fence);
scenarios!(suspension_without_a_fence);
scenarios!(abort_before_the_spawn_is_lost);
scenarios!(spawned_twice);

/// Searches with at most this many preemptions, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 4;

fn model(scenario: fn()) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(PREEMPTIONS));
    search.check(scenario);
}

#[test]
fn callers_who_call_again_share_a_flight_or_have_one_each_after_the_other() {
    model(faithful::callers);
}

#[test]
fn three_callers_share_a_flight_or_have_one_each_after_the_other() {
    model(faithful::three_callers);
}

#[test]
fn a_forgotten_flight_and_the_next_one_leave_each_other_alone() {
    model(faithful::forgetting);
}

#[test]
fn a_forgotten_load_writes_nothing_back() {
    model(faithful::writing_back);
}

#[test]
fn whoever_joins_before_the_last_one_leaves_gets_the_result() {
    model(faithful::leaving);
}

#[test]
fn a_load_that_is_woken_while_it_is_suspended_is_spawned() {
    model(faithful::waking);
}

#[test]
fn a_load_that_is_aborted_while_it_is_suspended_goes() {
    model(faithful::aborting_while_suspending);
}

#[test]
fn a_late_load_that_is_aborted_while_it_is_suspended_goes() {
    model(faithful::aborting_a_late_load);
}

#[test]
fn a_load_may_be_woken_and_aborted_while_it_is_suspended() {
    model(faithful::suspending);
}

#[test]
fn callers_have_results_while_a_writer_forgets() {
    model(faithful::callers_and_a_writer);
}

#[test]
fn a_load_is_spawned_once_and_aborted_for_good() {
    model(faithful::aborting_while_waking);
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
fn removing_by_key_is_caught() {
    assert!(caught(remove_by_key::forgetting));
}

#[test]
fn abandoning_a_flight_that_can_still_be_joined_is_caught() {
    assert!(caught(abandon_without_the_lock::leaving));
}

#[test]
fn writing_outside_of_the_lock_is_caught() {
    assert!(caught(write_outside_of_the_lock::writing_back));
}

#[test]
fn a_wake_that_is_not_noted_is_caught() {
    assert!(caught(woken_is_not_noted::waking));
}

#[test]
fn a_look_for_the_load_without_a_fence_is_caught() {
    assert!(caught(look_for_the_load_without_a_fence::waking));
    assert!(caught(look_for_the_load_without_a_fence::aborting_while_suspending));
}

#[test]
fn a_suspension_without_a_fence_is_caught() {
    assert!(caught(suspension_without_a_fence::waking));
    assert!(caught(suspension_without_a_fence::aborting_a_late_load));
}

#[test]
fn an_abort_that_is_lost_before_the_spawn_is_caught() {
    assert!(caught(abort_before_the_spawn_is_lost::aborting_while_waking));
}

#[test]
fn a_load_that_is_spawned_twice_is_caught() {
    assert!(caught(spawned_twice::aborting_while_waking));
}

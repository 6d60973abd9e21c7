//! The product's rules keep the page in each history, and each seeded bug is found by the same search.
//!
//! `PROPTEST_CASES` sets how many histories the product is held to (4,000 unless set); the search for a
//! mutant ends with the first that breaks the page.

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use verify_freshness::history::{Kind, Link, Setting, Step, setting, steps};
use verify_freshness::mutants::MUTANTS;
use verify_freshness::{Run, run_of};

type Found = (u32, Setting, Vec<Step>, String);

fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(4_000)
}

/// The first history that breaks the page, and how many were tried until then.
fn search(run: Run, cases: u32, seed: RngSeed, shrinks: u32) -> Option<Found> {
    let config = Config {
        cases,
        max_shrink_iters: shrinks,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        rng_seed: seed,
        ..Config::default()
    };
    let (tried, is_found) = (Cell::new(0), Cell::new(false));
    let result = TestRunner::new(config).run(&(setting(), steps()), |(setting, steps)| {
        tried.set(tried.get() + u32::from(!is_found.get()));
        run(&setting, &steps).map_err(|broken| {
            is_found.set(true);
            TestCaseError::fail(broken)
        })
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, (setting, steps))) => {
            Some((tried.get(), setting, steps, reason.message().to_owned()))
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

fn find(module: &str, cases: u32, seed: RngSeed, shrinks: u32) -> Option<Found> {
    let run = run_of(module).unwrap_or_else(|| panic!("{module} is planted"));
    search(run, cases, seed, shrinks)
}

fn describe((tried, setting, steps, broken): &Found) -> String {
    let lines: Vec<_> = steps
        .iter()
        .enumerate()
        .map(|(number, step)| format!("  {number:2} {step:?}"))
        .collect();
    format!(
        "{broken}\n{setting:?}\n{}\nfound after {tried} histories",
        lines.join("\n")
    )
}

#[test]
fn the_product_keeps_the_page_in_each_history() {
    if let Some(found) = find("faithful", cases(), RngSeed::Random, 100_000) {
        panic!("{}", describe(&found));
    }
}

/// The same mutant is always found by the same history.
const SEED: RngSeed = RngSeed::Fixed(20);

/// Mutants that change nothing that can be seen while the replicas' clocks agree: an entry is refused by when it was stored,
/// and one that was stored a longest load later was read after the change.
const HARMLESS: &[&str] = &["r13_older_is_refused_for_a_load"];

/// The same search finds the mutant.
fn is_caught(mutant: &str) {
    let found = find(mutant, 400_000, SEED, 0);
    let (tried, _, _, broken) =
        found.unwrap_or_else(|| panic!("no history of the search breaks {mutant}"));
    println!(
        "{mutant}: after {tried} histories: {}",
        broken.lines().next().unwrap_or_default()
    );
}

macro_rules! are_caught {
    ($($test:ident: $mutant:ident,)*) => {
        $(
            #[test]
            fn $test() {
                is_caught(stringify!($mutant));
            }
        )*

        const HUNTED: &[&str] = &[$(stringify!($mutant)),*];
    };
}

are_caught! {
    r1_ttl_counts_from_the_answer_is_caught: r1_ttl_counts_from_the_answer,
    r1_ttl_never_ends_is_caught: r1_ttl_never_ends,
    r1_absence_holds_as_long_as_a_template_is_caught: r1_absence_holds_as_long_as_a_template,
    r2_absence_answers_late_is_caught: r2_absence_answers_late,
    r2_window_is_too_long_is_caught: r2_window_is_too_long,
    r2_late_answer_is_not_marked_is_caught: r2_late_answer_is_not_marked,
    r2_tombstone_answers_is_caught: r2_tombstone_answers,
    r3_superseded_entry_answers_is_caught: r3_superseded_entry_answers,
    r3_superseded_hit_is_shown_is_caught: r3_superseded_hit_is_shown,
    r4_gap_is_ignored_in_the_copies_is_caught: r4_gap_is_ignored_in_the_copies,
    r4_gap_is_ignored_in_redis_is_caught: r4_gap_is_ignored_in_redis,
    r4_same_millisecond_counts_is_caught: r4_same_millisecond_counts,
    r5_redis_is_believed_for_longer_is_caught: r5_redis_is_believed_for_longer,
    r6_near_never_ends_is_caught: r6_near_never_ends,
    r6_near_survives_a_gap_is_caught: r6_near_survives_a_gap,
    r6_near_outlives_its_ttl_is_caught: r6_near_outlives_its_ttl,
    r6_near_is_superseded_is_caught: r6_near_is_superseded,
    r7_superseded_copy_stands_in_is_caught: r7_superseded_copy_stands_in,
    r7_copy_from_before_a_gap_stands_in_is_caught: r7_copy_from_before_a_gap_stands_in,
    r7_old_copy_stands_in_is_caught: r7_old_copy_stands_in,
    r8_absence_is_last_known_good_is_caught: r8_absence_is_last_known_good,
    r8_last_known_good_never_ends_is_caught: r8_last_known_good_never_ends,
    r8_last_known_good_is_lost_is_caught: r8_last_known_good_is_lost,
    r9_each_load_is_enough_is_caught: r9_each_load_is_enough,
    r9_own_load_is_not_enough_is_caught: r9_own_load_is_not_enough,
    r10_lower_version_replaces_in_the_copies_is_caught: r10_lower_version_replaces_in_the_copies,
    r10_lower_version_is_stored_in_the_copies_is_caught: r10_lower_version_is_stored_in_the_copies,
    r10_lower_version_replaces_in_redis_is_caught: r10_lower_version_replaces_in_redis,
    r10_earlier_answer_is_kept_is_caught: r10_earlier_answer_is_kept,
    r11_tombstone_replaces_its_own_version_is_caught: r11_tombstone_replaces_its_own_version,
    r11_suspected_version_is_known_is_caught: r11_suspected_version_is_known,
    r11_tombstone_refuses_nothing_is_caught: r11_tombstone_refuses_nothing,
    r12_overtaken_load_is_stored_is_caught: r12_overtaken_load_is_stored,
    r12_forgotten_load_is_stored_is_caught: r12_forgotten_load_is_stored,
    r12_gap_during_a_load_is_ignored_is_caught: r12_gap_during_a_load_is_ignored,
    r13_older_is_refused_for_no_time_is_caught: r13_older_is_refused_for_no_time,
    r13_older_is_refused_for_ever_is_caught: r13_older_is_refused_for_ever,
    r13_older_is_refused_for_a_ttl_is_caught: r13_older_is_refused_for_a_ttl,
    r13_redis_forgets_during_a_load_is_caught: r13_redis_forgets_during_a_load,
    r14_rank_is_reversed_is_caught: r14_rank_is_reversed,
    r14_tombstone_says_more_is_caught: r14_tombstone_says_more,
    r14_state_says_more_than_version_is_caught: r14_state_says_more_than_version,
    r15_suspicion_is_of_the_known_version_is_caught: r15_suspicion_is_of_the_known_version,
    r12_gaps_of_a_millisecond_are_one_is_caught: r12_gaps_of_a_millisecond_are_one,
    r15_suspicions_grow_on_each_other_is_caught: r15_suspicions_grow_on_each_other,
    learnt_may_be_from_before_a_gap_is_caught: learnt_may_be_from_before_a_gap,
    learnt_may_be_superseded_is_caught: learnt_may_be_superseded,
    learnt_may_be_a_tombstone_is_caught: learnt_may_be_a_tombstone,
    learnt_may_be_old_is_caught: learnt_may_be_old,
}

#[test]
fn each_mutant_is_hunted_or_known_to_break_nothing() {
    let planted = MUTANTS.iter().map(|mutant| mutant.name);
    let missing: Vec<_> = planted
        .filter(|name| !HUNTED.contains(name) && !HARMLESS.contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

// Histories in which an earlier version of the code broke the page.

fn ordinary() -> Setting {
    Setting {
        ttl: 100,
        negative_ttl: 50,
        window: 30,
        stale_for: 120,
        near: 0,
        flight: 40,
        jitter: 0.0,
        cache: Kind::Redis,
        is_shared: true,
        leases: false,
    }
}

fn holds(setting: Setting, steps: &[Step]) {
    let run = run_of("faithful").expect("it is planted");
    assert_eq!(run(&setting, steps), Ok(()));
}

const READ: Step = Step::Read {
    replica: 0,
    id: 0,
    slow: false,
};
const WRITE: Step = Step::Write {
    replica: 0,
    id: 0,
    delete: false,
};
const OUTSIDE: Step = Step::Outside {
    id: 0,
    delete: false,
};

#[test]
fn the_ttl_of_a_writes_entry_counts_from_when_it_was_sent() {
    let steps = [
        Step::Deafen(0),
        Step::Deafen(1),
        WRITE,
        Step::Advance(0),
        OUTSIDE,
        Step::Wait(39),
        Step::Advance(0),
        Step::Wait(99),
        READ,
    ];
    holds(ordinary(), &steps);
}

#[test]
fn a_notice_of_a_version_that_is_only_suspected_is_heard() {
    let suspicion = [
        READ,
        Step::Finish(0),
        WRITE,
        Step::Wait(41),
        Step::Wait(120),
    ];
    let steps = [
        &suspicion[..],
        &[
            READ,
            Step::Query(0),
            OUTSIDE,
            Step::Hear(0),
            Step::Finish(0),
            READ,
        ],
    ]
    .concat();
    holds(ordinary(), &steps);
}

#[test]
fn a_write_is_remembered_after_two_suspicions() {
    let elsewhere = Step::Read {
        replica: 1,
        id: 0,
        slow: false,
    };
    let suspicions = [
        READ,
        Step::Finish(0),
        WRITE,
        WRITE,
        Step::Wait(40),
        Step::Wait(42),
    ];
    let steps = [
        &suspicions[..],
        &[
            elsewhere,
            Step::Query(0),
            WRITE,
            Step::Advance(0),
            Step::Advance(0),
            Step::Wait(38),
            Step::Finish(0),
            READ,
        ],
    ];
    let setting = Setting {
        window: 0,
        ..ordinary()
    };
    holds(setting, &steps.concat());
}

#[test]
fn a_load_that_landed_in_the_millisecond_of_a_gap_answers_nothing_after_it() {
    let steps = [Step::OutsideAll, READ, Step::Finish(0), Step::Hear(0), READ];
    holds(ordinary(), &steps);
}

#[test]
fn a_second_gap_in_the_same_millisecond_overtakes_a_load_without_a_flight() {
    let gap = [Step::Deafen(0), Step::Listen(0)];
    let load = [
        READ,
        Step::Query(0),
        Step::Deafen(0),
        OUTSIDE,
        Step::Listen(0),
        Step::Wait(5),
        Step::Finish(0),
    ];
    let steps = [&gap[..], &load, &[Step::Link(0, Link::Down), READ]].concat();
    let setting = Setting {
        is_shared: false,
        ..ordinary()
    };
    holds(setting, &steps);
}

#[test]
fn a_load_that_ends_in_the_millisecond_of_its_tombstone_is_stored() {
    let steps = [WRITE, Step::Advance(0), Step::Hear(0), Step::Advance(0)];
    holds(ordinary(), &steps);
}

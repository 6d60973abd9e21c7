//! Random schedules of callers that come, leave and are aborted: the module as it is passes, each seeded bug is found.
//!
//! `SHUTTLE_SCHEDULES` sets how many schedules each test tries (200 unless set). Time is not faithful under shuttle, so
//! deadlines and the watch are left to tests in paused time.

use std::panic::{AssertUnwindSafe, catch_unwind};

fn schedules() -> usize {
    std::env::var("SHUTTLE_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}

fn check(scenario: fn()) {
    shuttle::check_pct(scenario, schedules() / 2, 3);
    shuttle::check_random(scenario, schedules());
}

/// Whether one of very many schedules fails.
fn caught(scenario: fn()) -> bool {
    let search = || {
        shuttle::check_pct(scenario, 5000, 3);
        shuttle::check_random(scenario, 5000);
    };
    catch_unwind(AssertUnwindSafe(search)).is_err()
}

/// The scenarios over one planted module. A macro, because each has types of its own.
macro_rules! scenarios {
    ($module:ident) => {
        #[allow(dead_code)]
        mod $module {
            use shuttle::future::block_on;
            use std::sync::Arc;
            use std::sync::atomic::{AtomicU32, Ordering};
            use verify_runtime::$module::{CallOptions, Error, Group, WhenAbandoned};

            type TestGroup = Group<u8, u32, ()>;

            const KEY: u8 = 1;

            async fn load(running: Arc<AtomicU32>) -> Result<u32, ()> {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two loads of a key overlap");
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(7)
            }

            async fn call_twice(group: TestGroup, running: Arc<AtomicU32>) {
                let mut last = None;
                for _ in 0..2 {
                    let running = Arc::clone(&running);
                    let flown = group.work(&KEY, || load(running)).await.expect("the loader does not fail");
                    assert!(Some(flown.generation) > last, "a caller was given the same flight again");
                    last = Some(flown.generation);
                }
            }

            async fn at_rest(group: &TestGroup) {
                while group.in_flight() > 0 {
                    tokio::task::yield_now().await;
                }
            }

            /// Four callers call twice each, and one of them is aborted somewhere on its way.
            pub fn aborting() {
                block_on(async {
                    let (group, running) = (TestGroup::new(), Arc::new(AtomicU32::new(0)));
                    let spawn = |_| tokio::spawn(call_twice(group.clone(), Arc::clone(&running)));
                    let mut callers: Vec<_> = (0..4).map(spawn).collect();
                    let unlucky = callers.swap_remove(0);
                    unlucky.abort();
                    for caller in callers {
                        caller.await.expect("only one is aborted");
                    }
                    drop(unlucky.await);
                    at_rest(&group).await;
                });
            }

            async fn behind(gate: Arc<tokio::sync::Semaphore>, value: u32) -> Result<u32, ()> {
                let _pass = gate.acquire().await;
                Ok(value)
            }

            /// A forgotten flight lands while the next one is in the air: that one is still there to be joined.
            pub fn forgetting() {
                block_on(async {
                    let group = TestGroup::new();
                    let gates = [0, 1].map(|_| Arc::new(tokio::sync::Semaphore::new(0)));
                    let [old, new] = gates.clone();
                    let first = group.start(&KEY, CallOptions::default(), |_| behind(old, 1));
                    let forgotten = group.forget(&KEY);
                    let second = group.start(&KEY, CallOptions::default(), |_| behind(new, 2));
                    let generation = group.peek(&KEY).map(|flight| flight.generation);
                    gates[0].add_permits(1);
                    let first = first.await.expect("the loader does not fail");
                    assert_eq!((*first.value, Some(first.generation)), (1, forgotten));
                    assert_eq!(group.peek(&KEY).map(|flight| flight.generation), generation, "the newer flight is gone");
                    gates[1].add_permits(1);
                    assert_eq!(*second.await.expect("the loader does not fail").value, 2);
                    at_rest(&group).await;
                });
            }

            /// The last caller is aborted while others join: whoever waits is never told that the load was aborted.
            pub fn abandoning() {
                block_on(async {
                    let group: TestGroup = Group::builder().when_abandoned(WhenAbandoned::Abort).build();
                    let call = |_| {
                        let group = group.clone();
                        tokio::spawn(async move {
                            let call = group.work_with(&KEY, CallOptions::default(), |_| async {
                                tokio::task::yield_now().await;
                                Ok(7)
                            });
                            let result = call.await;
                            assert!(!matches!(result, Err(Error::Aborted)), "joined a flight that was being aborted");
                        })
                    };
                    let mut callers: Vec<_> = (0..3).map(call).collect();
                    let unlucky = callers.swap_remove(0);
                    tokio::task::yield_now().await;
                    unlucky.abort();
                    for caller in callers {
                        caller.await.expect("only one is aborted");
                    }
                    drop(unlucky.await);
                    at_rest(&group).await;
                });
            }

            /// A flight is aborted from outside while callers wait, leave and come.
            pub fn aborted_from_outside() {
                block_on(async {
                    let group = TestGroup::new();
                    let call = |_| {
                        let group = group.clone();
                        tokio::spawn(async move {
                            let started = group.start(&KEY, CallOptions::default(), |_| async {
                                tokio::task::yield_now().await;
                                Ok(7)
                            });
                            assert!(matches!(started.await, Ok(_) | Err(Error::Aborted)));
                        })
                    };
                    let callers: Vec<_> = (0..3).map(call).collect();
                    group.abort(&KEY);
                    for caller in callers {
                        caller.await.expect("no task is aborted");
                    }
                    at_rest(&group).await;
                    let stats = group.stats();
                    assert_eq!(stats.ok + stats.aborted, stats.flights);
                });
            }
        }
    };
}

scenarios!(faithful);
scenarios!(lost_wakeup);
scenarios!(publish_before_remove);
scenarios!(remove_by_key);
scenarios!(abandon_without_the_lock);

#[test]
fn callers_may_be_aborted_anywhere_and_the_others_are_served() {
    check(faithful::aborting);
}

#[test]
fn forgotten_flights_and_newer_ones_leave_each_other_alone() {
    check(faithful::forgetting);
}

#[test]
fn nobody_joins_a_flight_that_is_being_abandoned() {
    check(faithful::abandoning);
}

#[test]
fn an_abort_from_outside_leaves_nobody_waiting() {
    check(faithful::aborted_from_outside);
}

#[test]
fn a_lost_wakeup_is_caught() {
    assert!(caught(lost_wakeup::aborting));
}

#[test]
fn publishing_before_removing_is_caught() {
    assert!(caught(publish_before_remove::aborting));
}

#[test]
fn removing_by_key_is_caught() {
    assert!(caught(remove_by_key::forgetting));
}

#[test]
fn abandoning_a_flight_that_can_still_be_joined_is_caught() {
    assert!(caught(abandon_without_the_lock::abandoning));
}

//! Random schedules of callers that come, leave and are aborted, of runtimes that end or stand still, and of drains: the
//! module as it is passes, each seeded bug is found.
//!
//! `SHUTTLE_SCHEDULES` sets how many schedules each test tries (200 unless set). Whoever waits for something that never
//! comes is a deadlock, which shuttle reports.

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
        shuttle::check_random(scenario, 5000);
        shuttle::check_pct(scenario, 5000, 3);
    };
    catch_unwind(AssertUnwindSafe(search)).is_err()
}

/// The scenarios over one planted module. A macro, because each has types of its own.
macro_rules! scenarios {
    ($module:ident) => {
        #[allow(dead_code)]
        mod $module {
            use shuttle::sync::atomic::{AtomicBool, AtomicU32, Ordering};
            use std::future::poll_fn;
            use std::pin::{Pin, pin};
            use std::sync::Arc;
            use std::task::{Context, Poll, Waker};
            use std::time::Duration;
            use tokio::sync::oneshot;
            use tokio::task::yield_now;
            use verify_runtime::$module::{Error, Group};
            use verify_runtime::world::runtime::{Runtime, RuntimeFlavor};
            use verify_runtime::world::{Gate, advance, schedule};

            type TestGroup = Group<u8, u32, ()>;

            const KEY: u8 = 1;
            const DEADLINE: Duration = Duration::from_secs(10);

            async fn load(running: Arc<AtomicU32>) -> Result<u32, ()> {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two loads of a key overlap");
                yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(7)
            }

            async fn call_twice(group: TestGroup, running: Arc<AtomicU32>) {
                let mut last = None;
                for _ in 0..2 {
                    let running = Arc::clone(&running);
                    let report = group.report(&KEY, |_| load(running)).await;
                    assert!(matches!(report.result, Ok(value) if *value == 7), "the load does not fail");
                    let generation = report.part.map(|part| part.generation);
                    assert!(generation > last, "a caller was given the same flight again");
                    last = generation;
                }
            }

            async fn at_rest(group: &TestGroup) {
                while group.stats().in_flight > 0 {
                    yield_now().await;
                }
            }

            async fn behind(gate: Gate, value: u32) -> Result<u32, ()> {
                gate.passed().await;
                Ok(value)
            }

            /// Four callers call twice each, and one of them is aborted somewhere on its way.
            pub fn aborting() {
                schedule(|runtime| async move {
                    let (group, running) = (TestGroup::new(), Arc::new(AtomicU32::new(0)));
                    let spawn = |_| runtime.spawn(call_twice(group.clone(), Arc::clone(&running)));
                    let mut callers: Vec<_> = (0..4).map(spawn).collect();
                    let unlucky = callers.swap_remove(0);
                    unlucky.abort();
                    for caller in callers {
                        caller.await.expect("only one is aborted");
                    }
                    unlucky.await;
                    at_rest(&group).await;
                });
            }

            /// A load is woken by somebody else while it is being suspended.
            pub fn waking() {
                schedule(|runtime| async move {
                    let (group, gate) = (TestGroup::new(), Gate::default());
                    let behind_it = gate.clone();
                    let leader = runtime.spawn(async move { group.work(&KEY, || behind(behind_it, 7)).await });
                    gate.open();
                    let result = leader.await.expect("it is not aborted");
                    assert_eq!(*result.expect("the load does not fail"), 7);
                });
            }

            /// A forgotten flight lands while the next one is under way: that one is still there to be joined.
            pub fn forgetting() {
                schedule(|_| async {
                    let group = TestGroup::new();
                    let gates = [Gate::default(), Gate::default()];
                    let [old, new] = gates.clone();
                    let first = group.start(&KEY, |_| behind(old, 1));
                    let forgotten = group.forget(&KEY);
                    let second = group.start(&KEY, |_| behind(new, 2));
                    let generation = group.peek(&KEY).map(|flight| flight.generation);
                    gates[0].open();
                    let first = first.await;
                    assert_eq!(*first.result.expect("the load does not fail"), 1);
                    assert_eq!(first.part.map(|part| part.generation), forgotten);
                    assert_eq!(group.peek(&KEY).map(|flight| flight.generation), generation, "the newer flight is gone");
                    gates[1].open();
                    assert_eq!(*second.await.result.expect("the load does not fail"), 2);
                    at_rest(&group).await;
                });
            }

            /// A writer forgets a flight and then clears the cache, while the flight's load writes back.
            pub fn writing_back() {
                schedule(|runtime| async move {
                    let (group, gate) = (TestGroup::new(), Gate::default());
                    let cached = Arc::new(AtomicBool::new(false));
                    let (behind_it, cache) = (gate.clone(), Arc::clone(&cached));
                    let call = group.start(&KEY, |loading| async move {
                        let value = behind(behind_it, 7).await?;
                        loading.write_back(|| cache.store(true, Ordering::SeqCst));
                        Ok(value)
                    });
                    let call = runtime.spawn(call);
                    gate.open();
                    group.forget(&KEY);
                    cached.store(false, Ordering::SeqCst);
                    let report = call.await.expect("it is not aborted");
                    assert_eq!(*report.result.expect("the load does not fail"), 7);
                    assert!(!cached.load(Ordering::SeqCst), "an older load has written after the forget");
                });
            }

            /// The last caller is aborted while others join: whoever waits is never told that the load was aborted.
            pub fn abandoning() {
                schedule(|runtime| async move {
                    let group: TestGroup = Group::builder().abort_when_abandoned().build();
                    let gate = Gate::default();
                    let call = |()| {
                        let (group, gate) = (group.clone(), gate.clone());
                        runtime.spawn(async move {
                            let result = group.work(&KEY, || behind(gate, 7)).await;
                            assert!(result.is_ok(), "joined a flight that was being aborted");
                        })
                    };
                    let unlucky = call(());
                    while group.peek(&KEY).is_none() {
                        yield_now().await;
                    }
                    unlucky.abort();
                    let others = [(); 2].map(call);
                    unlucky.await;
                    gate.open();
                    for caller in others {
                        caller.await.expect("only one is aborted");
                    }
                    at_rest(&group).await;
                });
            }

            /// A runtime ends in which one caller waits and from which another one was started. Callers in the runtime that
            /// goes on get a value, those two a value or word of the end, and nobody hangs.
            pub fn shutting_down() {
                schedule(|runtime| async move {
                    let (group, gate) = (TestGroup::new(), Gate::default());
                    let ending = Runtime::new(RuntimeFlavor::MultiThread);
                    let call = |_| {
                        let (group, gate) = (group.clone(), gate.clone());
                        async move {
                            let load = |_| async {
                                behind(gate, 7).await?;
                                yield_now().await;
                                Ok(7)
                            };
                            group.report(&KEY, load).await.result
                        }
                    };
                    let going_down = ending.spawn(call(()));
                    let started = {
                        let _inside = ending.enter();
                        let gate = gate.clone();
                        group.start(&KEY, |_| behind(gate, 7))
                    };
                    let started = runtime.spawn(started);
                    let going_on = [(); 2].map(|()| runtime.spawn(call(())));
                    let opening = runtime.spawn(async move { gate.open() });
                    ending.shut_down();
                    for caller in going_on {
                        let result = caller.await.expect("its runtime goes on");
                        assert!(matches!(&result, Ok(value) if **value == 7), "{result:?}");
                    }
                    let result = started.await.expect("it is awaited in a runtime that goes on").result;
                    assert!(matches!(result, Ok(_) | Err(Error::Aborted)), "{result:?}");
                    let result = going_down.await;
                    assert!(matches!(result, None | Some(Ok(_) | Err(Error::Aborted))), "{result:?}");
                    opening.await;
                    at_rest(&group).await;
                    let stats = group.stats();
                    assert_eq!(stats.ok + stats.aborted, stats.flights);
                });
            }

            /// A drain while the runtime of a load ends: followers elsewhere are told one of both, and the drain returns.
            pub fn draining_while_shutting_down() {
                schedule(|runtime| async move {
                    let (group, gate) = (TestGroup::new(), Gate::default());
                    let ending = Runtime::new(RuntimeFlavor::MultiThread);
                    let started = {
                        let _inside = ending.enter();
                        let gate = gate.clone();
                        group.start(&KEY, |_| behind(gate, 7))
                    };
                    let started = runtime.spawn(started);
                    let call = |_| {
                        let (group, gate) = (group.clone(), gate.clone());
                        runtime.spawn(async move { group.work(&KEY, || behind(gate, 7)).await })
                    };
                    let callers = [(); 2].map(call);
                    let opening = runtime.spawn(async move { gate.open() });
                    let down = runtime.spawn(async move { ending.shut_down() });
                    let drained = group.drain(DEADLINE).await;
                    assert_eq!((drained.aborted, group.stats().in_flight), (0, 0));
                    for caller in callers {
                        let result = caller.await.expect("its runtime goes on");
                        assert!(matches!(result, Ok(_) | Err(Error::Draining)), "{result:?}");
                    }
                    let result = started.await.expect("it is awaited in a runtime that goes on").result;
                    assert!(matches!(result, Ok(_) | Err(Error::Aborted)), "{result:?}");
                    opening.await;
                    down.await;
                });
            }

            /// Two loads ask for each other's key: no circle is closed, and both callers have a result.
            pub fn circling() {
                schedule(|runtime| async move {
                    let group = TestGroup::new();
                    let call = |(key, other): (u8, u8)| {
                        let group = group.clone();
                        runtime.spawn(async move {
                            let inner = group.clone();
                            let load = || async move {
                                yield_now().await;
                                match inner.work(&other, || async { Ok(8) }).await {
                                    Ok(_) | Err(Error::Reentrant) => Ok(7),
                                    Err(_) => Err(()),
                                }
                            };
                            assert!(group.work(&key, load).await.is_ok());
                        })
                    };
                    for caller in [(1, 2), (2, 1)].map(call) {
                        caller.await.expect("it is not aborted");
                    }
                    at_rest(&group).await;
                });
            }

            /// A runtime without threads of its own is driven no more, and its load never ends: a follower in another runtime
            /// keeps the deadline.
            pub fn standing_still() {
                schedule(|runtime| async move {
                    let group: TestGroup = Group::builder().deadline(DEADLINE).build();
                    let still = Runtime::new(RuntimeFlavor::CurrentThread);
                    let gate = Gate::default();
                    let waiting = Arc::new(AtomicU32::new(0));
                    let call = |()| {
                        let (group, gate, waiting) = (group.clone(), gate.clone(), Arc::clone(&waiting));
                        async move {
                            let mut call = pin!(group.work(&KEY, || behind(gate, 7)));
                            assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
                            waiting.fetch_add(1, Ordering::SeqCst);
                            call.await
                        }
                    };
                    let leader = still.spawn(call(()));
                    let followers = [(); 2].map(|()| runtime.spawn(call(())));
                    while waiting.load(Ordering::SeqCst) < 3 {
                        yield_now().await;
                    }
                    still.stand_still();
                    advance(DEADLINE);
                    for follower in followers {
                        let result = follower.await.expect("it is not aborted");
                        assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
                    }
                    drop(leader);
                    assert_eq!((group.stats().in_flight, group.stats().timeouts), (0, 1));
                });
            }

            /// The deadline passes while the load ends: all callers are told the same.
            pub fn timing_out() {
                schedule(|runtime| async move {
                    let group: TestGroup = Group::builder().deadline(DEADLINE).build();
                    let gate = Gate::default();
                    let behind_it = gate.clone();
                    let leader = group.start(&KEY, |_| behind(behind_it, 7));
                    let follower = group.start(&KEY, |_| behind(Gate::default(), 8));
                    let callers = [runtime.spawn(leader), runtime.spawn(follower)];
                    let opening = runtime.spawn(async move { gate.open() });
                    advance(DEADLINE);
                    let mut told = Vec::new();
                    for caller in callers {
                        told.push(caller.await.expect("it is not aborted").result);
                    }
                    let is_same = match &told[..] {
                        [Ok(one), Ok(other)] => Arc::ptr_eq(one, other),
                        [Err(Error::TimedOut), Err(Error::TimedOut)] => true,
                        _ => false,
                    };
                    assert!(is_same, "{told:?}");
                    opening.await;
                    assert_eq!(group.stats().in_flight, 0);
                });
            }

            /// A drain while callers come and leave: when it returns, each flight has landed, its callers have only to
            /// look, and its hook has returned.
            pub fn draining() {
                schedule(|runtime| async move {
                    let (begun, told) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
                    let hook = Arc::clone(&told);
                    let group: TestGroup = Group::builder()
                        .on_landing(move |_| {
                            // A hook takes its time.
                            shuttle::thread::yield_now();
                            hook.fetch_add(1, Ordering::SeqCst);
                        })
                        .build();
                    let gate = Gate::default();
                    let load = || {
                        let (begun, gate) = (Arc::clone(&begun), gate.clone());
                        move |_| async move {
                            begun.fetch_add(1, Ordering::SeqCst);
                            behind(gate, 7).await
                        }
                    };
                    let waiting = [group.start(&KEY, load()), group.start(&KEY, load())];
                    let call = |_| {
                        let (group, load) = (group.clone(), load());
                        runtime.spawn(async move {
                            let result = group.report(&KEY, load).await.result;
                            assert!(matches!(result, Ok(_) | Err(Error::Draining)), "{result:?}");
                        })
                    };
                    let callers = [(); 2].map(call);
                    callers[0].abort();
                    let opening = runtime.spawn(async move { gate.open() });
                    let drained = group.drain(DEADLINE).await;
                    assert_eq!(drained.aborted, 0);
                    assert_eq!(told.load(Ordering::SeqCst), begun.load(Ordering::SeqCst), "a hook has not returned");
                    for call in waiting {
                        let polled = pin!(call).poll(&mut Context::from_waker(Waker::noop()));
                        let Poll::Ready(report) = polled else { panic!("a caller has no result yet") };
                        assert_eq!(*report.result.expect("the load does not fail"), 7);
                    }
                    assert_eq!(group.stats().in_flight, 0);
                    for caller in callers {
                        caller.await;
                    }
                    opening.await;
                });
            }

            /// The hook of a flight finds the flight's callers served: one that it polls itself has its result.
            pub fn telling() {
                schedule(|runtime| async move {
                    type Polled = Pin<Box<dyn Future<Output = bool> + Send>>;
                    let (polled, served) = (Arc::new(std::sync::Mutex::new(None::<Polled>)), Arc::new(AtomicBool::new(false)));
                    let (in_hook, is_served) = (Arc::clone(&polled), Arc::clone(&served));
                    let group: TestGroup = Group::builder()
                        .on_landing(move |_| {
                            let call = in_hook.lock().expect("not poisoned").take();
                            let mut call = call.expect("one flight lands");
                            let told = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                            is_served.store(told == Poll::Ready(true), Ordering::SeqCst);
                        })
                        .build();
                    let gate = Gate::default();
                    let behind_it = gate.clone();
                    let leader = group.start(&KEY, |_| behind(behind_it, 7));
                    let mut follower = Box::pin(group.start(&KEY, |_| behind(Gate::default(), 8)));
                    // From its first poll on it waits.
                    assert!(follower.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                    *polled.lock().expect("not poisoned") = Some(Box::pin(async { follower.await.result.is_ok() }));
                    let opening = runtime.spawn(async move { gate.open() });
                    assert_eq!(*leader.await.result.expect("the load does not fail"), 7);
                    opening.await;
                    group.drain(DEADLINE).await;
                    assert!(served.load(Ordering::SeqCst), "the hook is called before the callers are served");
                });
            }

            /// A drain whose time is over aborts a load that is woken for the first time, or still being polled by its leader.
            pub fn draining_in_a_hurry() {
                schedule(|runtime| async move {
                    let (group, gate) = (TestGroup::new(), Gate::default());
                    let (here, gone) = oneshot::channel::<()>();
                    let (caller, behind_it) = (group.clone(), gate.clone());
                    let leader = runtime.spawn(async move {
                        let load = |_| async move {
                            let _here = here;
                            behind(behind_it, 7).await?;
                            std::future::pending().await
                        };
                        let result = caller.report(&KEY, load).await.result;
                        assert!(matches!(result, Err(Error::Aborted | Error::Draining)), "{result:?}");
                    });
                    let opening = runtime.spawn(async move { gate.open() });
                    let drained = group.drain(Duration::ZERO).await;
                    leader.await.expect("it is not aborted");
                    opening.await;
                    // The load is dropped, and so is the end of the channel that it holds.
                    assert!(gone.await.is_err());
                    let stats = group.stats();
                    assert_eq!((stats.in_flight, stats.aborted), (0, drained.aborted as u64));
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
scenarios!(woken_is_not_noted);
scenarios!(abort_before_the_spawn_is_lost);
scenarios!(abort_before_the_suspension_is_lost);
scenarios!(nobody_keeps_the_time);
scenarios!(lost_load_does_not_land);
scenarios!(followers_go_down_with_the_load);
scenarios!(forgotten_is_not_sealed);
scenarios!(drain_does_not_wait_for_hooks);
scenarios!(hook_before_publish);

#[test]
fn callers_may_be_aborted_anywhere_and_the_others_are_served() {
    check(faithful::aborting);
}

#[test]
fn a_load_that_is_woken_while_it_is_suspended_goes_on() {
    check(faithful::waking);
}

#[test]
fn forgotten_flights_and_newer_ones_leave_each_other_alone() {
    check(faithful::forgetting);
}

#[test]
fn a_forgotten_load_writes_nothing_back() {
    check(faithful::writing_back);
}

#[test]
fn nobody_joins_a_flight_that_is_being_abandoned() {
    check(faithful::abandoning);
}

#[test]
fn who_loses_a_load_with_its_runtime_loads_again() {
    check(faithful::shutting_down);
}

#[test]
fn a_drain_returns_when_a_load_is_lost_with_its_runtime() {
    check(faithful::draining_while_shutting_down);
}

#[test]
fn loads_that_ask_for_each_other_close_no_circle() {
    check(faithful::circling);
}

#[test]
fn followers_keep_the_deadline_of_a_load_that_stands_still() {
    check(faithful::standing_still);
}

#[test]
fn a_deadline_that_passes_at_the_end_of_a_load_is_for_all_or_nobody() {
    check(faithful::timing_out);
}

#[test]
fn a_drain_returns_when_callers_and_hooks_have_it_all() {
    check(faithful::draining);
}

#[test]
fn a_hook_finds_its_callers_served() {
    check(faithful::telling);
}

#[test]
fn a_drain_in_a_hurry_leaves_no_load_behind() {
    check(faithful::draining_in_a_hurry);
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

#[test]
fn a_wake_that_is_not_noted_is_caught() {
    assert!(caught(woken_is_not_noted::waking));
}

#[test]
fn an_abort_that_is_lost_before_the_spawn_is_caught() {
    assert!(caught(abort_before_the_spawn_is_lost::draining_in_a_hurry));
}

#[test]
fn an_abort_that_is_lost_before_the_suspension_is_caught() {
    assert!(caught(abort_before_the_suspension_is_lost::draining_in_a_hurry));
}

#[test]
fn a_deadline_that_nobody_keeps_is_caught() {
    assert!(caught(nobody_keeps_the_time::standing_still));
}

#[test]
fn a_lost_load_whose_flight_never_lands_is_caught() {
    assert!(caught(lost_load_does_not_land::shutting_down));
}

#[test]
fn followers_that_go_down_with_the_load_are_caught() {
    assert!(caught(followers_go_down_with_the_load::shutting_down));
}

#[test]
fn forgetting_without_sealing_is_caught() {
    assert!(caught(forgotten_is_not_sealed::writing_back));
}

#[test]
fn a_drain_that_does_not_wait_for_hooks_is_caught() {
    assert!(caught(drain_does_not_wait_for_hooks::draining));
}

#[test]
fn a_hook_that_is_called_before_the_callers_are_served_is_caught() {
    assert!(caught(hook_before_publish::telling));
}

//! Random sequences of calls, polls, departures, landings and commands, held to a model of what must come of them.
//!
//! Time is paused and loads are let go by hand, so that a sequence always means the same. What is checked, in the
//! model's words below: I1 one running load per flight, I2 nobody is given a flight that had ended before the call,
//! I3 every caller of a flight that ended is woken and resolves, I4 nothing is left at the end, I5 a leader's leaving changes
//! nothing for followers, I6 an old flight never removes a newer one, I7 callers and roles add up, I8 an abandoned load is
//! dropped if that was asked for, I9 the cap holds, I10 a load writes back exactly if its flight was not forgotten, I11 a
//! drain ends whatever is left. `PROPTEST_CASES` sets how many sequences (256 unless set).

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const KEYS: u8 = 3;
const CAP: u32 = 3;

/// One step of a sequence. Numbers choose among what there is, modulo how much there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call(u8),
    Start(u8),
    Leave(usize),
    Poll(usize),
    Finish(usize, End),
    Forget(u8),
    Advance(u16),
}

/// How a load ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Ok,
    Error,
    Panic,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![3 => Just(End::Ok), 1 => Just(End::Error), 1 => Just(End::Panic)];
    prop_oneof![
        6 => (0..KEYS).prop_map(Step::Call),
        2 => (0..KEYS).prop_map(Step::Start),
        4 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Poll),
        6 => (any::<usize>(), end).prop_map(|(which, end)| Step::Finish(which, end)),
        2 => (0..KEYS).prop_map(Step::Forget),
        2 => (1..40_u16).prop_map(Step::Advance),
    ]
}

/// The model and the comparison over one planted module. A macro, because each has types of its own.
macro_rules! machine {
    ($module:ident) => {
        mod $module {
            use super::{CAP, End, KEYS, Step};
            use std::future::Future;
            use std::pin::Pin;
            use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
            use std::sync::Arc;
            use std::task::{Context, Poll, Wake, Waker};
            use std::time::Duration;
            use tokio::sync::oneshot;
            use verify_model::$module::{Error, Group, Loading, Report, Role};

            type TestGroup = Group<u8, u32, u32>;
            type Call = Pin<Box<dyn Future<Output = Outcome>>>;

            /// What a caller was told: the ending and its part, if it was on a flight.
            #[derive(Clone, Debug, PartialEq)]
            enum Outcome {
                Landed { ending: Ending, leader: bool, callers: u32 },
                Saturated,
            }

            #[derive(Clone, Copy, Debug, PartialEq)]
            enum Ending {
                Ok(u32),
                Error(u32),
                Panic,
                TimedOut,
                Aborted,
            }

            #[derive(Default)]
            struct Flag(AtomicBool);

            impl Wake for Flag {
                fn wake(self: Arc<Self>) {
                    self.0.store(true, Ordering::SeqCst);
                }
            }

            struct Caller {
                flight: usize,
                leader: bool,
                call: Call,
                woken: Arc<Flag>,
            }

            struct Flight {
                key: u8,
                current: bool,
                forgotten: bool,
                ended: Option<Ending>,
                joined: u32,
                waiting: u32,
                release: Option<oneshot::Sender<End>>,
                alive: Arc<AtomicU32>,
                written: Arc<AtomicBool>,
                begun: tokio::time::Instant,
            }

            const DEADLINE: Duration = Duration::from_millis(100);

            struct Machine {
                group: TestGroup,
                abort: bool,
                flights: Vec<Flight>,
                callers: Vec<Caller>,
                loads: Arc<AtomicU32>,
            }

            struct Alive(Arc<AtomicU32>);

            impl Drop for Alive {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }

            /// Lets the runtime's own tasks come to rest.
            async fn settle() {
                for _ in 0..16 {
                    tokio::task::yield_now().await;
                }
            }

            fn told(report: Report<u32, u32>) -> Outcome {
                let ending = match report.result {
                    Ok(value) => Ending::Ok(*value),
                    Err(Error::Failed(error)) => Ending::Error(*error),
                    Err(Error::Panicked(_)) => Ending::Panic,
                    Err(Error::TimedOut) => Ending::TimedOut,
                    Err(Error::Aborted) => Ending::Aborted,
                    Err(Error::Saturated) => return Outcome::Saturated,
                    Err(other) => panic!("unexpected: {other:?}"),
                };
                let part = report.part.expect("whoever is told an ending was on a flight");
                Outcome::Landed { ending, leader: part.role == Role::Leader, callers: part.callers }
            }

            impl Machine {
                fn new(abort: bool) -> Self {
                    let builder = Group::builder().deadline(DEADLINE).max_callers(CAP);
                    let group = if abort { builder.abort_when_abandoned().build() } else { builder.build() };
                    Self { group, abort, flights: Vec::new(), callers: Vec::new(), loads: Arc::default() }
                }

                fn current(&self, key: u8) -> Option<usize> {
                    self.flights.iter().position(|flight| flight.key == key && flight.current && flight.ended.is_none())
                }

                async fn board(&mut self, key: u8, started: bool) {
                    let (release, released) = oneshot::channel();
                    let alive: Arc<AtomicU32> = Arc::default();
                    let (counter, loads, number) = (Arc::clone(&alive), Arc::clone(&self.loads), self.flights.len() as u32);
                    let written: Arc<AtomicBool> = Arc::default();
                    let cache = Arc::clone(&written);
                    let loader = move |loading: Loading| {
                        loads.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(counter.fetch_add(1, Ordering::SeqCst), 0, "I1: a loader ran twice");
                        let alive = Alive(counter);
                        async move {
                            let _alive = alive;
                            let end = released.await;
                            loading.write_back(|| cache.store(true, Ordering::SeqCst));
                            match end {
                                Ok(End::Ok) => Ok(number),
                                Ok(End::Error) => Err(number),
                                Ok(End::Panic) => std::panic::resume_unwind(Box::new("asked to")),
                                Err(_) => panic!("the machine outlives its loads"),
                            }
                        }
                    };
                    let before = self.loads.load(Ordering::SeqCst);
                    let group = self.group.clone();
                    let mut call: Call = if started {
                        let started = group.start(&key, loader);
                        Box::pin(async move { told(started.await) })
                    } else {
                        Box::pin(async move { told(group.report(&key, loader).await) })
                    };
                    let woken: Arc<Flag> = Arc::default();
                    let polled = call.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&woken))));
                    let ran = self.loads.load(Ordering::SeqCst) - before;
                    let existing = self.current(key);
                    if let Some(index) = existing
                        && self.flights[index].waiting >= CAP
                    {
                        assert_eq!(polled, Poll::Ready(Outcome::Saturated), "I9: the cap was exceeded");
                        return;
                    }
                    assert!(polled.is_pending(), "I2: {polled:?} before any load could end");
                    let leader = existing.is_none();
                    assert_eq!(ran, u32::from(leader), "I1: a loader runs exactly for the one who leads");
                    let index = existing.unwrap_or_else(|| {
                        let begun = tokio::time::Instant::now();
                        self.flights.push(Flight {
                            key,
                            current: true,
                            forgotten: false,
                            ended: None,
                            joined: 0,
                            waiting: 0,
                            release: Some(release),
                            alive,
                            written,
                            begun,
                        });
                        self.flights.len() - 1
                    });
                    self.flights[index].joined += 1;
                    self.flights[index].waiting += 1;
                    self.callers.push(Caller { flight: index, leader, call, woken });
                }

                /// Polls those who were woken, as a runtime would, until nobody is.
                async fn run_woken(&mut self) {
                    loop {
                        settle().await;
                        let Some(at) = self.callers.iter().position(|caller| caller.woken.0.swap(false, Ordering::SeqCst)) else {
                            return;
                        };
                        let caller = &mut self.callers[at];
                        let waker = Waker::from(Arc::clone(&caller.woken));
                        if let Poll::Ready(outcome) = caller.call.as_mut().poll(&mut Context::from_waker(&waker)) {
                            let (flight, leader) = (caller.flight, caller.leader);
                            self.callers.remove(at);
                            let Outcome::Landed { ending, leader: told_leader, callers } = outcome else { panic!("on a flight and saturated") };
                            assert_eq!(told_leader, leader, "I7: the role changed");
                            assert_eq!(callers, self.flights[flight].joined, "I7: the callers do not add up");
                            let known = *self.flights[flight].ended.get_or_insert(ending);
                            assert_eq!(known, ending, "I5: two endings of one flight");
                            self.flights[flight].current = false;
                        }
                    }
                }

                async fn expect_end(&mut self, index: usize, ending: Ending) {
                    self.run_woken().await;
                    assert!(!self.callers.iter().any(|caller| caller.flight == index), "I3: a caller still waits");
                    let flight = &mut self.flights[index];
                    let known = *flight.ended.get_or_insert(ending);
                    flight.current = false;
                    assert_eq!(known, ending);
                    let has_run = !matches!(ending, Ending::TimedOut | Ending::Aborted);
                    let written = flight.written.load(Ordering::SeqCst);
                    assert_eq!(written, has_run && !flight.forgotten, "I10: written back, or not");
                    assert_eq!(flight.alive.load(Ordering::SeqCst), 0, "I8: the load of an ended flight is still there");
                }

                async fn apply(&mut self, step: Step) {
                    match step {
                        Step::Call(key) => self.board(key, false).await,
                        Step::Start(key) => self.board(key, true).await,
                        Step::Leave(which) if !self.callers.is_empty() => {
                            let caller = self.callers.remove(which % self.callers.len());
                            let index = caller.flight;
                            self.flights[index].waiting -= 1;
                            drop(caller);
                            if self.abort && self.flights[index].waiting == 0 {
                                self.expect_end(index, Ending::Aborted).await;
                            }
                        }
                        Step::Poll(which) if !self.callers.is_empty() => {
                            let at = which % self.callers.len();
                            let caller = &mut self.callers[at];
                            let waker = Waker::from(Arc::clone(&caller.woken));
                            assert!(caller.call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                        }
                        Step::Finish(which, end) => {
                            let open: Vec<usize> = (0..self.flights.len()).filter(|&index| self.flights[index].ended.is_none()).collect();
                            if open.is_empty() {
                                return;
                            }
                            let index = open[which % open.len()];
                            let release = self.flights[index].release.take().expect("a flight is finished once");
                            assert!(release.send(end).is_ok(), "I8: the load was dropped too early");
                            let number = index as u32;
                            let ending = match end {
                                End::Ok => Ending::Ok(number),
                                End::Error => Ending::Error(number),
                                End::Panic => Ending::Panic,
                            };
                            self.expect_end(index, ending).await;
                        }
                        Step::Forget(key) => {
                            let forgotten = self.group.forget(&key).is_some();
                            let current = self.current(key);
                            assert_eq!(forgotten, current.is_some());
                            if let Some(index) = current {
                                self.flights[index].current = false;
                                self.flights[index].forgotten = true;
                            }
                        }
                        Step::Advance(milliseconds) => {
                            tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
                            // A flight is not looked at while the millisecond of its deadline is passing.
                            let passing = |flight: &Flight| {
                                flight.ended.is_none() && flight.begun.elapsed() + Duration::from_millis(1) >= DEADLINE
                            };
                            while self.flights.iter().any(|flight| passing(flight) && flight.begun.elapsed() < DEADLINE + Duration::from_millis(2)) {
                                tokio::time::sleep(Duration::from_millis(1)).await;
                            }
                            self.run_woken().await;
                            let now = tokio::time::Instant::now();
                            for index in 0..self.flights.len() {
                                let late = now.duration_since(self.flights[index].begun);
                                if self.flights[index].ended.is_none() && late >= DEADLINE + Duration::from_millis(2) {
                                    self.expect_end(index, Ending::TimedOut).await;
                                }
                            }
                        }
                        Step::Leave(_) | Step::Poll(_) => (),
                    }
                }

                async fn drain(&mut self) {
                    let open = |flight: &Flight| flight.ended.is_none();
                    let left: Vec<usize> = (0..self.flights.len()).filter(|&index| open(&self.flights[index])).collect();
                    let drained = self.group.drain(Duration::ZERO).await;
                    assert_eq!((drained.finished, drained.aborted), (0, left.len()), "I11: what the drain did");
                    for index in left {
                        self.expect_end(index, Ending::Aborted).await;
                    }
                    let refused = self.group.report(&0, |_| async { Ok(0) }).await;
                    assert!(matches!(refused.result, Err(Error::Draining)), "I11: a flight after the drain");
                }

                fn check(&self) {
                    let open = |flight: &&Flight| flight.ended.is_none();
                    assert_eq!(self.group.stats().in_flight, self.flights.iter().filter(open).count(), "I4: flights under way");
                    for key in 0..KEYS {
                        let listed = self.group.peek(&key).map(|flight| flight.callers);
                        let expected = self.current(key).map(|index| self.flights[index].joined);
                        assert_eq!(listed, expected, "I6: the table's flight of a key");
                    }
                }
            }

            /// Runs one sequence; a broken invariant panics. What is left then is drained, or left to its deadline.
            pub fn run(abort: bool, drain: bool, steps: &[Step]) {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
                runtime.block_on(async {
                    let mut machine = Machine::new(abort);
                    for step in steps {
                        machine.apply(*step).await;
                        machine.run_woken().await;
                        machine.check();
                    }
                    if drain {
                        machine.drain().await;
                    }
                    machine.callers.clear();
                    tokio::time::sleep(DEADLINE * 2).await;
                    assert_eq!((machine.group.stats().in_flight, machine.group.flights().len()), (0, 0), "I4: flights left behind");
                    let alive = |flight: &Flight| flight.alive.load(Ordering::SeqCst);
                    assert_eq!(machine.flights.iter().map(alive).sum::<u32>(), 0, "I4: loads left behind");
                    let stats = machine.group.stats();
                    assert_eq!(stats.flights, stats.ok + stats.errors + stats.panics + stats.timeouts + stats.aborted);
                });
            }
        }
    };
}

machine!(faithful);
machine!(remove_by_key);
machine!(forgotten_is_not_sealed);

/// Runs random sequences, each of them with either policy and with either end.
fn search(cases: u32, run: fn(bool, bool, &[Step])) -> Result<(), String> {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let sequences = (any::<bool>(), any::<bool>(), prop::collection::vec(step(), 1..40));
    let result = runner.run(&sequences, |(abort, drain, steps)| {
        run(abort, drain, &steps);
        Ok(())
    });
    result.map_err(|failure| failure.to_string())
}

#[test]
fn every_sequence_comes_out_as_the_model_says() {
    if let Err(failure) = search(Config::default().cases, faithful::run) {
        panic!("{failure}");
    }
}

#[test]
fn removing_by_key_is_caught() {
    assert!(search(5000, remove_by_key::run).is_err());
}

#[test]
fn forgetting_without_sealing_is_caught() {
    assert!(search(5000, forgotten_is_not_sealed::run).is_err());
}

//! Corners: used-up budgets, callers that move between runtimes, and writes that outlive their flight.

use super::*;
use crate::singleflight::Loading;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const MS: Duration = Duration::from_millis(1);

type Boxed = Pin<Box<dyn Future<Output = Report<u32, String>> + Send>>;

/// Gives other threads a fair chance to bring something about, and ends early if they have.
fn give_a_chance(mut has_come: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if has_come() {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_load_that_uses_up_its_budget_meets_its_deadline() {
    let group: TextGroup = Group::builder().deadline(50 * MS).build();
    let runtime = threads();
    let calling = group.clone();
    let call = runtime.spawn(async move {
        let hungry = || async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        calling.work("key", hungry).await
    });
    let result = runtime.block_on(call).unwrap();
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
}

#[tokio::test]
async fn a_limit_may_be_longer_than_time_itself() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let _leader = group.start("key", |_| gate.load(7));
    let mut call = Box::pin(group.work("key", never_called).wait_limit(Duration::MAX));
    assert!(poll_once(&mut call).is_pending());
    gate.open();
    assert_eq!(*call.await.unwrap(), 7);
    group.drain(Duration::MAX).await;
}

#[test]
fn a_follower_whose_runtime_ended_does_not_time_out_the_flight() {
    let group: TextGroup = Group::builder().deadline(60_000 * MS).build();
    let (first, second, third) = (runtime(), runtime(), runtime());
    let gate = Gate::new();
    let load = gate.load(7);
    let mut leader = Box::pin(group.work("key", || load));
    first.block_on(async { assert!(poll_once(&mut leader).is_pending()) });
    let mut follower = Box::pin(group.work("key", never_called));
    second.block_on(async { assert!(poll_once(&mut follower).is_pending()) });
    drop(second);
    let polled = third.block_on(async { poll_once(&mut follower) });
    gate.open();
    let leader = first.block_on(leader);
    assert!(
        polled.is_pending() && leader.is_ok(),
        "at once: {polled:?}, leader {leader:?}"
    );
}

#[test]
fn a_limit_is_kept_by_the_runtime_that_polls() {
    let group: TextGroup = Group::builder().deadline(10_000 * MS).build();
    let (first, second, third) = (threads(), runtime(), runtime());
    begin(&group, "key", &first);
    let mut call = Box::pin(group.work("key", never_called).wait_limit(50 * MS));
    second.block_on(async { assert!(poll_once(&mut call).is_pending()) });
    // The second runtime stands still.
    let result = third.block_on(call);
    assert!(matches!(result, Err(Error::WaitLimit)), "{result:?}");
}

#[test]
fn a_deadline_is_kept_by_the_runtime_that_polls() {
    let group: TextGroup = Group::builder().deadline(100 * MS).build();
    let (first, second, third) = (runtime(), runtime(), runtime());
    begin(&group, "key", &first);
    let mut call = Box::pin(group.work("key", never_called));
    second.block_on(async { assert!(poll_once(&mut call).is_pending()) });
    let result = third.block_on(call);
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
}

#[test]
fn a_limit_spans_flights_that_are_lost() {
    let group = TextGroup::new();
    let (first, second) = (runtime(), threads());
    begin(&group, "key", &first);
    let calling = group.clone();
    let call = second.spawn(async move {
        let began = Instant::now();
        let call = calling.report("key", |_| never()).wait_limit(400 * MS);
        (call.await, began.elapsed())
    });
    let began = Instant::now();
    while group.peek("key").is_none_or(|flight| flight.callers < 2) || began.elapsed() < 200 * MS {
        std::thread::yield_now();
    }
    drop(first);
    let (report, took) = second.block_on(call).unwrap();
    assert!(matches!(report.result, Err(Error::WaitLimit)));
    let waited = report.part.unwrap().waited;
    assert!(waited > took.mul_f64(0.8), "{waited:?} of {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_limit_takes_the_place_of_the_first() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut call = group.start("key", |_| gate.load(7)).wait_limit(1_000 * MS);
    assert!(poll_once(&mut call).is_pending());
    let began = tokio::time::Instant::now();
    let report = call.wait_limit(10 * MS).await;
    assert!(matches!(report.result, Err(Error::WaitLimit)));
    assert!(began.elapsed() < 20 * MS);
}

#[tokio::test]
async fn a_loading_that_outlives_its_flight_writes_nothing() {
    let group = TextGroup::new();
    let slot: Arc<Mutex<Option<Loading>>> = Arc::default();
    let s = slot.clone();
    group
        .report("key", |loading| async move {
            *s.lock().unwrap() = Some(loading);
            Ok(1)
        })
        .await;
    let forgotten = group.forget("key");
    let written = slot.lock().unwrap().take().unwrap().write_back(|| ());
    assert!(
        written.is_none(),
        "forget gave {forgotten:?}, then write_back {written:?}"
    );
}

#[test]
fn a_load_lost_with_its_runtime_writes_nothing_over_a_newer_one() {
    let group = TextGroup::new();
    let cache: Arc<Mutex<Vec<u32>>> = Arc::default();
    let (first, second) = (runtime(), threads());
    let (go, may_go) = mpsc::channel::<()>();
    let (done_tx, done) = mpsc::channel();
    let c = cache.clone();
    {
        let _in = first.enter();
        drop(group.start("key", |loading| async move {
            tokio::task::spawn_blocking(move || {
                may_go.recv().unwrap();
                let w = loading.write_back(|| c.lock().unwrap().push(1));
                done_tx.send(w.is_some()).unwrap();
            })
            .await
            .unwrap();
            Ok(1)
        }));
    }
    first.shutdown_background();
    let c = cache.clone();
    let newer = second.block_on(group.report("key", |loading| async move {
        tokio::task::yield_now().await;
        loading.write_back(|| c.lock().unwrap().push(2));
        Ok(2)
    }));
    assert_eq!(*newer.result.unwrap(), 2);
    go.send(()).unwrap();
    assert!(
        !done.recv().unwrap(),
        "the cache has {:?}",
        cache.lock().unwrap()
    );
}

/// A load that is writing back, until it is let go.
struct Writing {
    group: TextGroup,
    call: Option<Boxed>,
    cache: Arc<Mutex<Option<u32>>>,
    let_go: mpsc::Sender<()>,
    writer: std::thread::JoinHandle<()>,
    _runtime: Runtime,
}

impl Writing {
    fn new(group: TextGroup) -> Self {
        let runtime = threads();
        let inside = runtime.enter();
        let slot: Arc<Mutex<Option<Loading>>> = Arc::default();
        let given = Arc::clone(&slot);
        let call = group.start("key", |loading| async move {
            *given.lock().unwrap() = Some(loading);
            never().await
        });
        drop(inside);
        let loading = slot.lock().unwrap().take().unwrap();
        let cache: Arc<Mutex<Option<u32>>> = Arc::default();
        let (let_go, may_go) = mpsc::channel();
        let (began, has_begun) = mpsc::channel();
        let written = Arc::clone(&cache);
        let writer = std::thread::spawn(move || {
            loading.write_back(|| {
                began.send(()).unwrap();
                may_go.recv().unwrap();
                *written.lock().unwrap() = Some(1);
            });
        });
        has_begun.recv().unwrap();
        Self {
            group,
            call: Some(Box::pin(call)),
            cache,
            let_go,
            writer,
            _runtime: runtime,
        }
    }

    /// Forgets the key and then empties the cache, as a writer does.
    fn forget_and_clear(&self) -> std::thread::JoinHandle<()> {
        let (group, cache) = (self.group.clone(), Arc::clone(&self.cache));
        std::thread::spawn(move || {
            group.forget("key");
            *cache.lock().unwrap() = None;
        })
    }

    fn end(self, others: Vec<std::thread::JoinHandle<()>>) -> Option<u32> {
        self.let_go.send(()).unwrap();
        self.writer.join().unwrap();
        others.into_iter().for_each(|other| other.join().unwrap());
        let cached = self.cache.lock().unwrap();
        *cached
    }
}

#[test]
fn no_forget_returns_before_a_write_that_is_under_way() {
    let writing = Writing::new(TextGroup::new());
    let first = writing.forget_and_clear();
    give_a_chance(|| writing.group.peek("key").is_none());
    let second = writing.forget_and_clear();
    give_a_chance(|| second.is_finished());
    assert_eq!(writing.end(vec![first, second]), None);
}

#[test]
fn no_forget_returns_while_an_abandoned_load_writes() {
    let mut writing = Writing::new(Group::builder().abort_when_abandoned().build());
    let call = writing.call.take();
    let leaving = std::thread::spawn(move || drop(call));
    give_a_chance(|| writing.group.peek("key").is_none());
    let forgetting = writing.forget_and_clear();
    give_a_chance(|| forgetting.is_finished());
    assert_eq!(writing.end(vec![leaving, forgetting]), None);
}

#[test]
fn forgetting_all_hides_no_flight_that_can_still_write() {
    for (one, other) in [(0, 1), (1, 0)] {
        let (group, runtime) = (TextGroup::new(), threads());
        let loadings: Arc<Mutex<Vec<Loading>>> = Arc::default();
        let inside = runtime.enter();
        let _calls = ["a", "b"].map(|key| {
            let given = Arc::clone(&loadings);
            group.start(key, |loading| async move {
                given.lock().unwrap().push(loading);
                never().await
            })
        });
        drop(inside);
        let loadings = loadings.lock().unwrap().clone();
        let (let_go, may_go) = mpsc::channel::<()>();
        let (began, has_begun) = mpsc::channel();
        let writing = loadings[one].clone();
        let writer = std::thread::spawn(move || {
            writing.write_back(|| {
                began.send(()).unwrap();
                may_go.recv().unwrap();
            })
        });
        has_begun.recv().unwrap();
        let all = group.clone();
        let forgetting = std::thread::spawn(move || all.forget_all());
        let key = ["a", "b"][other];
        give_a_chance(|| group.peek(key).is_none());
        group.forget(key);
        assert!(loadings[other].write_back(|| ()).is_none());
        let_go.send(()).unwrap();
        writer.join().unwrap();
        forgetting.join().unwrap();
    }
}

#[tokio::test]
async fn an_idle_timer_keeps_no_waker() {
    #[derive(Default)]
    struct Woken;
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {}
    }
    let (group, gate) = (TextGroup::new(), Gate::new());
    let leader = group.start("key", |_| gate.load(7));
    let woken = Arc::new(Woken);
    let mut call = Box::pin(group.work("key", never_called).wait_limit(3_600_000 * MS));
    let waker = Waker::from(woken.clone());
    assert!(
        call.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    gate.open();
    leader.await.result.unwrap();
    tokio::task::yield_now().await;
    while tokio::task::coop::has_budget_remaining() {
        let mut c = Box::pin(tokio::task::consume_budget());
        let _ = poll_once(&mut c);
    }
    assert!(poll_once(&mut call).is_ready());
    drop(call);
    assert_eq!(Arc::strong_count(&woken), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_polled_outside_and_then_by_its_own_load_is_refused() {
    let group = TextGroup::new();
    let (tx, rx) = tokio::sync::oneshot::channel::<Boxed>();
    let mut call: Boxed = Box::pin(group.start("key", |_| async move {
        let own = rx.await.unwrap();
        own.await.result.map(|v| *v).map_err(|e| e.to_string())
    }));
    assert!(poll_once(&mut call).is_pending());
    let other = group.start("key", |_| never_called());
    tx.send(call).ok().unwrap();
    let r = other.await.result;
    assert!(matches!(r, Err(Error::Failed(_))), "{r:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_load_handed_on_is_no_wait_of_its_own() {
    let group = TextGroup::new();
    let (gate_a, gate_b) = (Gate::new(), Gate::new());
    let (g, ga, gb) = (group.clone(), gate_a.clone(), gate_b.clone());
    let a = group.start("a", |_| async move {
        let g2 = g.clone();
        let mut b: Boxed = Box::pin(g.start("b", move |_| async move {
            gb.pass().await;
            g2.work("a", never_called)
                .await
                .map(|v| *v)
                .map_err(|e| e.to_string())
        }));
        assert!(poll_once(&mut b).is_pending());
        tokio::spawn(b);
        ga.pass().await;
        Ok(7)
    });
    settle().await;
    let b = group.start("b", |_| never_called());
    gate_b.open();
    settle().await;
    gate_a.open();
    assert_eq!(*a.await.result.unwrap(), 7);
    let r = b.await.result;
    assert!(r.is_ok(), "{r:?}");
}

#[test]
fn a_caller_outside_of_a_runtime_can_follow_a_current_thread_one() {
    let (group, gate, inside) = (TextGroup::new(), Gate::new(), runtime());
    let load = gate.load(7);
    let mut leader = Box::pin(group.work("key", || load));
    inside.block_on(async { assert!(poll_once(&mut leader).is_pending()) });
    let mut follower = Box::pin(group.work("key", never_called));
    let r = poll_once(&mut follower);
    assert!(r.is_pending(), "{r:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_at_the_deadline_is_no_load() {
    for finish in [true, false] {
        let gate = Gate::new();
        let calls: Arc<Mutex<Option<(TextGroup, String)>>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (c, s) = (calls.clone(), seen.clone());
        let group: TextGroup = Group::builder()
            .deadline(1000 * MS)
            .on_landing(move |_| {
                let Some((g, key)) = c.lock().unwrap().take() else {
                    return;
                };
                let mut call = Box::pin(g.work(&key, never_called));
                s.lock()
                    .unwrap()
                    .push(format!("{:?}", poll_once(&mut call)));
            })
            .build();
        let a = group.start("a", |_| gate.load(7));
        tokio::time::sleep(500 * MS).await;
        let g = group.clone();
        let b = group.start("b", |_| async move {
            g.work("a", never_called)
                .await
                .map(|v| *v)
                .map_err(|e| e.to_string())
        });
        *calls.lock().unwrap() = Some((group.clone(), "b".into()));
        if finish {
            gate.open()
        }
        drop(a.await);
        drop(b.await);
        assert_eq!(*seen.lock().unwrap(), ["Pending"], "finish {finish}");
    }
}

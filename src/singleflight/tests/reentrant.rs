//! Loads that wait for themselves, in every way a load can.

use super::*;
use std::sync::Mutex;
use std::time::Duration;

/// A load for `key` whose loader asks for each of `path` in turn.
fn ask(
    group: TextGroup,
    key: &'static str,
    path: &'static [&'static str],
) -> Pin<Box<dyn Future<Output = TextResult> + Send>> {
    Box::pin(async move {
        let inner = group.clone();
        let load = move || async move {
            tokio::task::yield_now().await;
            match path {
                [] => Ok(7),
                [next, rest @ ..] => ask(inner, next, rest)
                    .await
                    .map(|value| *value)
                    .map_err(|error| error.to_string()),
            }
        };
        group.work(key, load).await
    })
}

fn refused(result: TextResult) -> String {
    match result {
        Err(Error::Failed(why)) => (*why).clone(),
        other => panic!("expected the inner refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_load_that_asks_for_its_own_key_is_refused() {
    let group = TextGroup::new();
    assert_eq!(
        refused(ask(group.clone(), "a", &["a"]).await),
        "the load waits for itself"
    );
    assert_eq!((group.stats().reentrant, in_flight(&group)), (1, 0));
}

#[tokio::test]
async fn a_load_that_asks_for_its_own_key_through_another_is_refused() {
    let group = TextGroup::new();
    let outer = ask(group.clone(), "a", &["b", "a"]).await;
    assert_eq!(refused(outer), "the load failed: the load waits for itself");
    assert_eq!((group.stats().reentrant, in_flight(&group)), (1, 0));
}

#[tokio::test]
async fn a_load_may_ask_for_other_keys() {
    let group = TextGroup::new();
    assert_eq!(*ask(group.clone(), "a", &["b", "c"]).await.unwrap(), 7);
    assert_eq!(group.stats().reentrant, 0);
}

/// Each of them leads its own flight and follows the other's. The call that closes the circle is refused.
#[tokio::test]
async fn two_loads_that_ask_for_each_other_are_told_apart() {
    let group = TextGroup::new();
    let (a, b) = tokio::join!(
        ask(group.clone(), "a", &["b"]),
        ask(group.clone(), "b", &["a"])
    );
    assert_eq!(
        a.is_err() as u8 + b.is_err() as u8,
        2,
        "the circle's refusal reaches both"
    );
    assert_eq!((group.stats().reentrant, in_flight(&group)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_whose_loads_ask_for_each_other_both_end() {
    let group = TextGroup::new();
    for _ in 0..200 {
        let a = tokio::spawn(ask(group.clone(), "a", &["b"]));
        let b = tokio::spawn(ask(group.clone(), "b", &["a"]));
        drop((a.await.unwrap(), b.await.unwrap()));
    }
    assert_eq!(in_flight(&group), 0);
}

#[tokio::test]
async fn a_circle_through_two_groups_is_found() {
    let (one, two) = (TextGroup::new(), TextGroup::new());
    let (first, second) = (one.clone(), two.clone());
    let call = one.work("key", || async move {
        let inner = second.work("key", || async move {
            first
                .work("key", never_called)
                .await
                .map(|value| *value)
                .map_err(|error| error.to_string())
        });
        inner
            .await
            .map(|value| *value)
            .map_err(|error| error.to_string())
    });
    assert!(call.await.is_err());
    assert_eq!((one.stats().reentrant, two.stats().reentrant), (1, 0));
}

#[tokio::test]
async fn awaiting_a_started_call_inside_its_own_load_is_refused() {
    let group = TextGroup::new();
    let inner = group.clone();
    let call = group.work("key", || async move {
        let own = inner.start("key", |_| never_called());
        own.await
            .result
            .map(|value| *value)
            .map_err(|error| error.to_string())
    });
    assert_eq!(refused(call.await), "the load waits for itself");
}

#[tokio::test]
async fn a_load_may_ask_for_its_own_key_after_forgetting_it() {
    let group = TextGroup::new();
    let inner = group.clone();
    let call = group.work("key", || async move {
        inner.forget("key");
        inner
            .work("key", || async { Ok(8) })
            .await
            .map(|value| *value)
            .map_err(|error| error.to_string())
    });
    assert_eq!(*call.await.unwrap(), 8);
}

#[tokio::test]
async fn a_wait_that_was_given_up_closes_no_circle() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut held = Box::pin(group.work("b", || gate.load(1)));
    assert!(poll_once(&mut held).is_pending());
    let inner = group.clone();
    let mut a = Box::pin(group.work("a", || async move {
        let mut given_up = Box::pin(inner.work("b", never_called));
        assert!(poll_once(&mut given_up).is_pending());
        drop(given_up);
        std::future::pending().await
    }));
    assert!(poll_once(&mut a).is_pending());
    group.forget("b");
    let inner = group.clone();
    let mut b = Box::pin(group.work("b", || async move {
        let mut waits = Box::pin(inner.work("a", never_called));
        assert!(poll_once(&mut waits).is_pending());
        Ok(2)
    }));
    assert!(matches!(poll_once(&mut b), Poll::Ready(Ok(_))));
    assert_eq!(group.stats().reentrant, 0);
}

#[tokio::test(start_paused = true)]
async fn a_circle_through_another_task_is_ended_by_the_deadline() {
    let group: TextGroup = Group::builder().deadline(Duration::from_secs(1)).build();
    let inner = group.clone();
    let call = group.work("key", || async move {
        let own =
            tokio::spawn(async move { inner.work("key", never_called).await.map(|value| *value) });
        own.await.unwrap().map_err(|error| error.to_string())
    });
    assert!(matches!(call.await, Err(Error::TimedOut)));
}

/// It never waits for itself: no call waits for the flight that it started.
#[tokio::test]
async fn a_load_may_start_a_call_for_its_own_key_and_never_await_it() {
    let group = TextGroup::new();
    let inner = group.clone();
    let call = group.work("key", || async move {
        drop(inner.start("key", |_| never_called()));
        tokio::task::yield_now().await;
        drop(inner.start("key", |_| never_called()));
        Ok(7)
    });
    assert_eq!(*call.await.unwrap(), 7);
    assert_eq!(group.stats().reentrant, 0);
}

/// A circle is one even if one of its calls would give up.
#[tokio::test]
async fn a_circle_with_a_limit_is_refused_all_the_same() {
    let group = TextGroup::new();
    let inner = group.clone();
    let call = group.work("key", || async move {
        let own = inner.work("key", never_called);
        let own = own.wait_limit(Duration::from_millis(50)).await;
        own.map(|value| *value).map_err(|error| error.to_string())
    });
    assert_eq!(refused(call.await), "the load waits for itself");
}

#[tokio::test]
async fn a_hook_may_take_the_result_of_the_flight_that_has_landed() {
    type Call = Pin<Box<dyn Future<Output = Report<u32, String>> + Send>>;
    let follower: Arc<Mutex<Option<Call>>> = Arc::default();
    let seen: Arc<Mutex<Option<u32>>> = Arc::default();
    let (calls, results) = (Arc::clone(&follower), Arc::clone(&seen));
    let group = Group::builder().on_landing(move |_| {
        let Some(mut call) = calls.lock().unwrap().take() else {
            return;
        };
        if let Poll::Ready(report) = poll_once(&mut call) {
            *results.lock().unwrap() = report.result.ok().map(|value| *value);
        }
    });
    let (group, gate): (TextGroup, _) = (group.build(), Gate::new());
    let leader = group.start("a", |_| gate.load(7));
    *follower.lock().unwrap() = Some(Box::pin(group.start("a", |_| async { Ok(8) })));
    gate.open();
    assert_eq!(*leader.await.result.unwrap(), 7);
    // A drain waits for the hook.
    group.drain(Duration::from_secs(1)).await;
    assert_eq!(*seen.lock().unwrap(), Some(7));
}

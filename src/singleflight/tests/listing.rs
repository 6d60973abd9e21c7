//! What can be seen from outside: peek, the listing, statistics, landings and a drain.

use super::*;
use crate::singleflight::{Drained, Landing, Outcome, Stats};
use std::sync::Mutex;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_flight_can_be_looked_at_while_it_is_in_the_air() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    assert_eq!(group.peek("key"), None);
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut leader).is_pending());
    assert!(poll_once(&mut follower).is_pending());
    tokio::time::advance(Duration::from_millis(3)).await;
    let seen = group.peek("key").unwrap();
    assert_eq!(
        (seen.key.as_str(), seen.callers, seen.current),
        ("key", 2, true)
    );
    assert_eq!(seen.age.as_millis(), 3);
    assert_eq!(group.flights(), std::slice::from_ref(&seen));
    gate.open();
    assert_eq!(part(leader.await).generation, seen.generation);
    assert_eq!((group.peek("key"), group.flights().len()), (None, 0));
}

#[tokio::test]
async fn a_forgotten_flight_is_listed_as_not_current() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    group.forget("key");
    assert_eq!(group.peek("key"), None);
    let listed: Vec<bool> = group
        .flights()
        .iter()
        .map(|flight| flight.current)
        .collect();
    assert_eq!(listed, [false]);
}

#[tokio::test(start_paused = true)]
async fn statistics_account_for_every_flight() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    group.work("ok", || async { Ok(1) }).await.unwrap();
    assert!(
        group
            .work("error", || async { Err("no".to_owned()) })
            .await
            .is_err()
    );
    assert!(
        group
            .work("panic", || async { panic!("boom") })
            .await
            .is_err()
    );
    assert!(group.work("timeout", || gate.load(1)).await.is_err());
    let mut left = Box::pin(group.work("left", || gate.load(1)));
    let mut joined = Box::pin(group.work("left", never_called));
    assert!(poll_once(&mut left).is_pending());
    assert!(poll_once(&mut joined).is_pending());
    let counted = Stats {
        flights: 5,
        joins: 1,
        ok: 1,
        errors: 1,
        panics: 1,
        timeouts: 1,
        in_flight: 1,
        ..Stats::default()
    };
    assert_eq!(group.stats(), counted);
}

#[tokio::test(start_paused = true)]
async fn each_landing_is_told_once_and_after_it_was_published() {
    let gate = Gate::new();
    let told: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = Arc::clone(&told);
    let group: TextGroup = Group::builder()
        .on_landing(move |landing: &Landing<'_, String>| {
            let key: String = landing.key.clone();
            log.lock().unwrap().push((
                key,
                landing.outcome,
                landing.callers,
                landing.took,
                landing.generation,
            ));
        })
        .build();
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut leader).is_pending());
    assert!(poll_once(&mut follower).is_pending());
    tokio::time::advance(Duration::from_millis(4)).await;
    assert!(told.lock().unwrap().is_empty());
    gate.open();
    let generation = part(leader.await).generation;
    let landing = (
        "key".to_owned(),
        Outcome::Ok,
        2,
        Duration::from_millis(4),
        generation,
    );
    assert_eq!(*told.lock().unwrap(), [landing]);
    follower.await.unwrap();
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_landing_hook_may_use_the_group() {
    let group: Arc<std::sync::OnceLock<TextGroup>> = Arc::default();
    let inside = Arc::clone(&group);
    let built: TextGroup = Group::builder()
        .on_landing(move |_| assert_eq!(in_flight(inside.get().unwrap()), 0))
        .build();
    let group = group.get_or_init(|| built);
    group.work("key", || async { Ok(7) }).await.unwrap();
    assert_eq!(group.stats().ok, 1);
}

#[tokio::test]
async fn a_drain_waits_for_what_is_in_the_air() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let mut drain = Box::pin(group.drain(Duration::from_secs(60)));
    assert!(poll_once(&mut drain).is_pending());
    assert!(matches!(
        group.work("other", never_called).await,
        Err(Error::Draining)
    ));
    let mut joins = Box::pin(group.work("key", never_called));
    assert!(
        poll_once(&mut joins).is_pending(),
        "what is in the air may still be joined"
    );
    gate.open();
    let (drained, leader, joined) = tokio::join!(drain, leader, joins);
    assert_eq!(
        drained,
        Drained {
            finished: 1,
            aborted: 0
        }
    );
    assert_eq!((*leader.unwrap(), *joined.unwrap()), (7, 7));
}

#[tokio::test(start_paused = true)]
async fn a_drain_aborts_what_is_left_at_its_deadline() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut forgotten = Box::pin(group.work("key", || gate.load(1)));
    assert!(poll_once(&mut forgotten).is_pending());
    group.forget("key");
    let mut leader = Box::pin(group.work("key", || gate.load(2)));
    assert!(poll_once(&mut leader).is_pending());
    assert_eq!(
        group.drain(Duration::from_millis(50)).await,
        Drained {
            finished: 0,
            aborted: 2
        }
    );
    assert!(matches!(
        (forgotten.await, leader.await),
        (Err(Error::Aborted), Err(Error::Aborted))
    ));
    assert_eq!(in_flight(&group), 0);
}

#[tokio::test]
async fn draining_a_group_at_rest_is_done_at_once() {
    let group = TextGroup::new();
    assert_eq!(
        group.drain(Duration::ZERO).await,
        Drained {
            finished: 0,
            aborted: 0
        }
    );
    assert!(matches!(
        group.work("key", never_called).await,
        Err(Error::Draining)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_the_hooks_of_landings() {
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let (may_go_on, hooked) = (Mutex::new(may_go_on), Arc::new(AtomicU32::new(0)));
    let told = Arc::clone(&hooked);
    let group: TextGroup = Group::builder()
        .on_landing(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            may_go_on.lock().unwrap().recv().unwrap();
        })
        .build();
    let caller = group.clone();
    let caller = tokio::spawn(async move { caller.work("key", || async { Ok(7) }).await });
    until(|| hooked.load(Ordering::SeqCst) == 1).await;
    let mut drain = Box::pin(group.drain(Duration::from_secs(60)));
    assert!(poll_once(&mut drain).is_pending());
    go_on.send(()).unwrap();
    let drained = Drained {
        finished: 1,
        aborted: 0,
    };
    assert_eq!(drain.await, drained);
    assert_eq!(*caller.await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn a_landing_tells_what_the_load_panicked_with() {
    let told: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = Arc::clone(&told);
    let group: TextGroup = Group::builder()
        .on_landing(move |landing| {
            let panic = landing.panic.map(str::to_owned);
            log.lock().unwrap().push((landing.outcome, panic));
        })
        .build();
    drop(group.work("key", || async { panic!("boom") }).await);
    assert_eq!(
        *told.lock().unwrap(),
        [(Outcome::Panic, Some("boom".to_owned()))]
    );
}

#[test]
fn an_error_says_why() {
    let error = Error::Failed(Arc::new("no route"));
    assert_eq!(error.to_string(), "the load failed: no route");
}

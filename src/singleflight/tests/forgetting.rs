//! Forgetting, aborting and superseding: old flights and newer ones leave each other alone.

use super::*;
use std::sync::Mutex;
use std::time::Duration;

/// Go: TestForget.
#[tokio::test]
async fn an_old_flight_that_lands_does_not_remove_the_newer_one() {
    let (group, old, new) = (TextGroup::new(), Gate::new(), Gate::new());
    let mut first = Box::pin(group.work("key", || old.load(1)));
    assert!(poll_once(&mut first).is_pending());
    let forgotten = group.forget("key").unwrap();
    let second = group.start("key", CallOptions::default(), |_| new.load(2));
    old.open();
    let first = first.await.unwrap();
    assert_eq!((*first.value, first.generation), (1, forgotten));
    let mut third = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut third).is_pending());
    new.open();
    assert_eq!(
        (*second.await.unwrap().value, *third.await.unwrap().value),
        (2, 2)
    );
}

#[tokio::test]
async fn forgetting_a_key_that_is_not_in_flight_does_nothing() {
    let group = TextGroup::new();
    assert_eq!(group.forget("key"), None);
    assert_eq!(group.stats().forgotten, 0);
}

#[tokio::test]
async fn only_the_generation_that_was_meant_is_forgotten() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut first = Box::pin(group.work("key", || gate.load(1)));
    assert!(poll_once(&mut first).is_pending());
    let old = group.forget("key").unwrap();
    let mut second = Box::pin(group.work("key", || gate.load(2)));
    assert!(poll_once(&mut second).is_pending());
    let new = group.peek("key").unwrap().generation;
    assert!(!group.forget_if("key", old));
    assert!(group.forget_if("key", new));
    assert!(!group.forget_if("key", new));
}

#[tokio::test]
async fn a_flight_is_forgotten_as_unshared_only_until_somebody_joins() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    assert!(!group.forget_unshared("key"));
    let mut alone = Box::pin(group.work("key", || gate.load(1)));
    assert!(poll_once(&mut alone).is_pending());
    assert!(group.forget_unshared("key"));
    let mut leader = Box::pin(group.work("key", || gate.load(2)));
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut leader).is_pending());
    assert!(poll_once(&mut follower).is_pending());
    assert!(!group.forget_unshared("key"));
}

#[tokio::test]
async fn everything_can_be_forgotten_at_once() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut calls: Vec<_> = ["a", "b", "c"]
        .map(|key| Box::pin(group.work(key, || gate.load(1))))
        .into();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    assert_eq!(group.forget_all(), 3);
    assert!(["a", "b", "c"].iter().all(|key| group.peek(*key).is_none()));
    assert_eq!(group.in_flight(), 3);
    gate.open();
    for call in calls {
        assert_eq!(*call.await.unwrap().value, 1);
    }
    assert_eq!(group.in_flight(), 0);
}

/// Runs a load that asks, after the gate, whether it is still current.
async fn current_after(disturb: impl FnOnce(&TextGroup) -> bool) -> Option<bool> {
    let (group, gate, answer) = (TextGroup::new(), Gate::new(), Arc::new(Mutex::new(None)));
    let (pass, told) = (gate.clone(), Arc::clone(&answer));
    let call = group.work_with("key", CallOptions::default(), |flight| async move {
        pass.pass().await;
        *told.lock().unwrap() = Some(flight.is_current());
        Ok(7)
    });
    let mut call = Box::pin(call);
    assert!(poll_once(&mut call).is_pending());
    assert!(disturb(&group));
    gate.open();
    drop(call.await);
    let answer = answer.lock().unwrap();
    *answer
}

#[tokio::test]
async fn a_loader_can_tell_that_it_has_been_forgotten() {
    assert_eq!(current_after(|_| true).await, Some(true));
    assert_eq!(
        current_after(|group| group.forget("key").is_some()).await,
        Some(false)
    );
}

#[tokio::test]
async fn a_loader_knows_its_generation() {
    let group = TextGroup::new();
    let generation = Arc::new(Mutex::new(None));
    let told = Arc::clone(&generation);
    let call = group.work_with("key", CallOptions::default(), |flight| async move {
        *told.lock().unwrap() = Some(flight.generation());
        Ok(7)
    });
    let flown = call.await.unwrap();
    assert_eq!(*generation.lock().unwrap(), Some(flown.generation));
}

#[tokio::test]
async fn an_aborted_flight_ends_for_everyone_and_its_load_is_dropped() {
    let (group, held) = (TextGroup::new(), Arc::new(()));
    let alive = Arc::clone(&held);
    let mut leader = Box::pin(group.work("key", move || async move {
        std::future::pending::<()>().await;
        drop(alive);
        Ok(7)
    }));
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut leader).is_pending());
    assert!(poll_once(&mut follower).is_pending());
    assert!(group.abort("key"));
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(matches!(
        (leader.await, follower.await),
        (Err(Error::Aborted), Err(Error::Aborted))
    ));
    assert!(!group.abort("key"));
}

#[tokio::test]
async fn a_started_flight_can_be_aborted() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let started = group.start("key", CallOptions::default(), |_| gate.load(7));
    settle().await;
    assert!(group.abort("key"));
    assert!(matches!(started.await, Err(Error::Aborted)));
    settle().await;
    gate.open();
    assert_eq!(group.stats().aborted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_is_too_old_to_join_is_superseded() {
    let (group, old, new) = (TextGroup::new(), Gate::new(), Gate::new());
    let mut first = Box::pin(group.work("key", || old.load(1)));
    assert!(poll_once(&mut first).is_pending());
    tokio::time::advance(Duration::from_millis(50)).await;
    let young = CallOptions::default().max_join_age(Duration::from_millis(100));
    let mut joins = Box::pin(group.work_with("key", young, |_| never_called()));
    assert!(poll_once(&mut joins).is_pending());
    let fresh = CallOptions::default().max_join_age(Duration::from_millis(20));
    let mut second = Box::pin(group.work_with("key", fresh, |_| new.load(2)));
    assert!(poll_once(&mut second).is_pending());
    old.open();
    assert_eq!(
        (*first.await.unwrap().value, *joins.await.unwrap().value),
        (1, 1)
    );
    assert_eq!(aboard(&group, "key"), 1);
    new.open();
    assert_eq!(*second.await.unwrap().value, 2);
}

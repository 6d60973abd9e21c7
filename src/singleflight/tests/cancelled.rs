//! Callers that go away, or stay and are not polled: the load and the others do not depend on them.

use super::*;
use crate::singleflight::WhenAbandoned;
use std::time::Duration;

#[tokio::test]
async fn a_load_outlives_the_caller_that_started_it() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    drop(leader);
    gate.open();
    let flown = follower.await.unwrap();
    assert_eq!(
        (*flown.value, flown.role, flown.callers, gate.arrived()),
        (7, Role::Follower, 2, 1)
    );
}

#[tokio::test]
async fn a_load_finishes_although_everyone_has_left() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    drop(leader);
    gate.open();
    until(|| group.in_flight() == 0).await;
    assert_eq!((group.stats().ok, gate.arrived()), (1, 1));
}

#[tokio::test]
async fn an_abandoned_load_is_dropped_if_that_was_asked_for() {
    let gate = Gate::new();
    let group: TextGroup = Group::builder()
        .when_abandoned(WhenAbandoned::Abort)
        .build();
    let held = Arc::new(());
    let alive = Arc::clone(&held);
    let load = gate.load(7);
    let mut leader = Box::pin(group.work("key", move || async move {
        let _alive = alive;
        load.await
    }));
    assert!(poll_once(&mut leader).is_pending());
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    drop(leader);
    assert_eq!(group.in_flight(), 1, "a follower still waits");
    drop(follower);
    assert_eq!((group.in_flight(), group.stats().aborted), (0, 1));
    settle().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn one_caller_who_wants_the_load_finished_is_enough() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let abort = CallOptions::default().when_abandoned(WhenAbandoned::Abort);
    let mut leader = Box::pin(group.work_with("key", abort, |_| gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    drop(follower);
    drop(leader);
    gate.open();
    until(|| group.in_flight() == 0).await;
    assert_eq!(group.stats().ok, 1);
}

#[tokio::test]
async fn a_follower_that_leaves_disturbs_nobody() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let mut followers: Vec<_> = (0..3)
        .map(|_| Box::pin(group.work("key", never_called)))
        .collect();
    for follower in &mut followers {
        assert!(poll_once(follower).is_pending());
    }
    drop(followers.swap_remove(1));
    gate.open();
    assert_eq!(leader.await.unwrap().callers, 4);
    for follower in followers {
        assert_eq!(*follower.await.unwrap().value, 7);
    }
}

/// The leader is kept, but its task has gone on to other things.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_alive_but_not_polled_holds_nobody_up() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    gate.open();
    let follower = group.work("key", never_called).await.unwrap();
    assert_eq!((*follower.value, follower.role), (7, Role::Follower));
    assert!(follower.waited <= 2 * crate::singleflight::watch::ROUND);
    assert_eq!(*leader.await.unwrap().value, 7);
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_leader_is_not_polled_finishes_without_any_follower() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    gate.open();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((group.in_flight(), group.stats().ok), (0, 1));
    assert_eq!(*leader.await.unwrap().value, 7);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_relieved_is_still_told_of_the_landing() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let leader = group.clone();
    let load = gate.load(7);
    let leader = tokio::spawn(async move { leader.work("key", move || load).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let flown = leader.await.unwrap().unwrap();
    assert_eq!(
        (*flown.value, flown.role, gate.arrived()),
        (7, Role::Leader, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_relieved_leader_that_leaves_does_not_take_its_load_along() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(leader);
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    gate.open();
    assert_eq!(*follower.await.unwrap().value, 7);
}

#[test]
fn the_end_of_the_runtime_ends_its_flights_as_aborted() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let handle = {
        let _entered = runtime.enter();
        group.start("key", CallOptions::default(), |_| gate.load(7))
    };
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert!(matches!(other.block_on(handle), Err(Error::Aborted)));
    let flown = other.block_on(group.work("key", || async { Ok(8) }));
    assert_eq!(*flown.unwrap().value, 8);
}

/// Go: TestGoexitDo, whose analogue here is a task that is aborted under its callers.
#[tokio::test]
async fn a_task_that_is_aborted_takes_only_itself_along() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (group, load) = (group.clone(), gate.load(7));
            tokio::spawn(async move { group.work("key", move || load).await })
        })
        .collect();
    until(|| aboard(&group, "key") == 5).await;
    calls[0].abort();
    settle().await;
    gate.open();
    let mut ok = 0;
    for call in calls {
        ok += u32::from(call.await.is_ok_and(|flown| *flown.unwrap().value == 7));
    }
    assert_eq!((ok, gate.arrived()), (4, 1));
}

#[test]
fn without_a_runtime_a_load_that_is_not_ready_is_refused() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut ready = Box::pin(group.work("ready", || async { Ok(7) }));
    assert!(matches!(poll_once(&mut ready), Poll::Ready(Ok(_))));
    let mut slow = Box::pin(group.work("slow", || gate.load(7)));
    assert!(matches!(
        poll_once(&mut slow),
        Poll::Ready(Err(Error::NoRuntime))
    ));
    let mut started = group.start("slow", CallOptions::default(), |_| gate.load(7));
    assert!(matches!(
        poll_once(&mut started),
        Poll::Ready(Err(Error::NoRuntime))
    ));
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_leader_dropped_outside_the_runtime_leaves_its_load_running_inside() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    runtime.block_on(async { assert!(poll_once(&mut leader).is_pending()) });
    drop(leader);
    gate.open();
    runtime.block_on(until(|| group.in_flight() == 0));
    assert_eq!(group.stats().ok, 1);
}

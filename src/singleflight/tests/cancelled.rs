//! Callers that go away, or stay and are not polled: the load and the others do not depend on them.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn a_load_outlives_the_caller_that_started_it() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let mut follower = Box::pin(group.report("key", |_| never_called()));
    assert!(poll_once(&mut follower).is_pending());
    drop(leader);
    gate.open();
    let report = follower.await;
    assert_eq!(seen(&report), (7, Role::Follower, 2));
    assert_eq!(gate.arrived(), 1);
}

#[tokio::test]
async fn a_load_finishes_although_everyone_has_left() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    drop(leader);
    gate.open();
    until(|| in_flight(&group) == 0).await;
    assert_eq!((group.stats().ok, gate.arrived()), (1, 1));
}

#[tokio::test]
async fn an_abandoned_load_is_dropped_if_that_was_asked_for() {
    let gate = Gate::new();
    let group: TextGroup = Group::builder().abort_when_abandoned().build();
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
    assert_eq!(in_flight(&group), 1, "a follower still waits");
    drop(follower);
    assert_eq!((in_flight(&group), group.stats().aborted), (0, 1));
    settle().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_follower_that_leaves_disturbs_nobody() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let mut followers: Vec<_> = (0..3)
        .map(|_| Box::pin(group.work("key", never_called)))
        .collect();
    for follower in &mut followers {
        assert!(poll_once(follower).is_pending());
    }
    drop(followers.swap_remove(1));
    gate.open();
    assert_eq!(part(leader.await).callers, 4);
    for follower in followers {
        assert_eq!(*follower.await.unwrap(), 7);
    }
}

/// The leader is kept, but its task has gone on to other things.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_alive_but_not_polled_holds_nobody_up() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    gate.open();
    let report = group.report("key", |_| never_called()).await;
    assert_eq!(seen(&report), (7, Role::Follower, 2));
    assert_eq!(part(report).waited, Duration::ZERO);
    assert_eq!(*leader.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_leader_is_not_polled_finishes_without_any_follower() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    gate.open();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((in_flight(&group), group.stats().ok), (0, 1));
    assert_eq!(*leader.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_told_of_a_landing_that_takes_its_time() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let leader = group.clone();
    let load = gate.load(7);
    let leader = tokio::spawn(async move { leader.report("key", move |_| load).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let report = leader.await.unwrap();
    assert_eq!(seen(&report), (7, Role::Leader, 1));
    assert_eq!(gate.arrived(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_late_does_not_take_its_load_along() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(leader);
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    gate.open();
    assert_eq!(*follower.await.unwrap(), 7);
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
        group.start("key", |_| gate.load(7))
    };
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert!(matches!(other.block_on(handle).result, Err(Error::Aborted)));
    let again = other.block_on(group.work("key", || async { Ok(8) }));
    assert_eq!(*again.unwrap(), 8);
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
        ok += u32::from(call.await.is_ok_and(|value| *value.unwrap() == 7));
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
    let mut started = group.start("slow", |_| gate.load(7));
    let Poll::Ready(started) = poll_once(&mut started) else {
        panic!("decided")
    };
    assert!(matches!(started.result, Err(Error::NoRuntime)));
    assert_eq!(in_flight(&group), 0);
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
    runtime.block_on(until(|| in_flight(&group) == 0));
    assert_eq!(group.stats().ok, 1);
}

//! Deadlines of flights and limits of callers, in paused time.

use super::*;
use std::time::Duration;
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_millis(500);

fn group() -> TextGroup {
    Group::builder().deadline(DEADLINE).build()
}

#[tokio::test(start_paused = true)]
async fn a_flight_ends_at_its_deadline_for_everyone() {
    let (group, gate, begun) = (group(), Gate::new(), Instant::now());
    let late = async {
        tokio::time::sleep(DEADLINE / 2).await;
        group.work("key", never_called).await
    };
    let (leader, follower) = tokio::join!(group.work("key", || gate.load(7)), late);
    assert!(matches!(
        (leader, follower),
        (Err(Error::TimedOut), Err(Error::TimedOut))
    ));
    assert!(
        begun.elapsed() - DEADLINE <= Duration::from_millis(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((in_flight(&group), group.stats().timeouts), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_shortest_deadline_is_kept_to_the_millisecond() {
    let group: TextGroup = Group::builder().deadline(Duration::ZERO).build();
    let (gate, begun) = (Gate::new(), Instant::now());
    assert!(matches!(
        group.work("key", || gate.load(7)).await,
        Err(Error::TimedOut)
    ));
    assert!(
        begun.elapsed() <= Duration::from_millis(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_drops_the_load() {
    let (group, held) = (group(), Arc::new(()));
    let alive = Arc::clone(&held);
    let call = group.work("key", move || async move {
        std::future::pending::<()>().await;
        drop(alive);
        Ok(7)
    });
    assert!(matches!(call.await, Err(Error::TimedOut)));
    settle().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wedged_key_can_be_loaded_again_after_the_deadline() {
    let (group, gate) = (group(), Gate::new());
    assert!(group.work("key", || gate.load(7)).await.is_err());
    assert_eq!(*group.work("key", || async { Ok(8) }).await.unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_orphaned_load_that_never_ends_is_ended_by_the_deadline() {
    let (group, gate) = (group(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    drop(leader);
    assert!(matches!(
        group.work("key", never_called).await,
        Err(Error::TimedOut)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_flight_keeps_its_deadline() {
    let (group, gate) = (group(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    group.forget("key").unwrap();
    assert!(matches!(leader.await, Err(Error::TimedOut)));
    assert_eq!(in_flight(&group), 0);
}

#[tokio::test(start_paused = true)]
async fn a_callers_limit_ends_only_its_own_call() {
    let (group, gate, begun) = (group(), Gate::new(), Instant::now());
    let limit = Duration::from_millis(40);
    let impatient = async {
        let result = group.work("key", never_called).wait_limit(limit).await;
        gate.open();
        (result, begun.elapsed())
    };
    let (leader, (impatient, after)) = tokio::join!(group.work("key", || gate.load(7)), impatient);
    assert!(matches!(impatient, Err(Error::WaitLimit)));
    assert!(after - limit <= Duration::from_millis(1));
    assert_eq!(*leader.unwrap(), 7);
    assert_eq!(group.stats().wait_limits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_limit_ends_its_call_and_not_the_load() {
    let (group, gate) = (group(), Gate::new());
    let leader = async {
        let call = group.work("key", || gate.load(7));
        let result = call.wait_limit(Duration::from_millis(5)).await;
        gate.open();
        result
    };
    let (leader, follower) = tokio::join!(leader, group.work("key", never_called));
    assert!(matches!(leader, Err(Error::WaitLimit)));
    assert_eq!(*follower.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_started_call_can_have_a_limit_too() {
    let (group, gate) = (group(), Gate::new());
    let started = group.start("key", |_| gate.load(7));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (begun, limit) = (Instant::now(), Duration::from_millis(5));
    let report = started.wait_limit(limit).await;
    assert!(matches!(report.result, Err(Error::WaitLimit)));
    assert_eq!((begun.elapsed(), part(report).waited), (limit, limit));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_done_in_time_is_not_touched_by_its_deadline() {
    let group = group();
    let slow = || async {
        tokio::time::sleep(DEADLINE - Duration::from_millis(2)).await;
        Ok(7)
    };
    assert_eq!(*group.work("key", slow).await.unwrap(), 7);
}

/// With a hook as without one. Real time, because a paused clock stands still while a load blocks.
#[tokio::test]
async fn a_deadline_counts_from_the_first_suspension() {
    let deadline = Duration::from_secs(1);
    let load = || async move {
        std::thread::sleep(deadline * 3 / 4);
        tokio::time::sleep(deadline / 2).await;
        Ok(7)
    };
    let plain: TextGroup = Group::builder().deadline(deadline).build();
    assert_eq!(*plain.work("key", load).await.unwrap(), 7);
    let hooked: TextGroup = Group::builder()
        .deadline(deadline)
        .on_landing(|_| ())
        .build();
    assert_eq!(*hooked.work("key", load).await.unwrap(), 7);
}

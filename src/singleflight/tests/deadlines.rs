//! Deadlines of flights and patience of callers, in paused time.

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
    assert_eq!((group.in_flight(), group.stats().timeouts), (0, 1));
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
    assert_eq!(
        *group.work("key", || async { Ok(8) }).await.unwrap().value,
        8
    );
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
    assert_eq!(group.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_callers_patience_ends_only_its_own_call() {
    let (group, gate, begun) = (group(), Gate::new(), Instant::now());
    let patience = CallOptions::default().wait_at_most(Duration::from_millis(40));
    let impatient = async {
        let result = group.work_with("key", patience, |_| never_called()).await;
        gate.open();
        (result, begun.elapsed())
    };
    let (leader, (impatient, after)) = tokio::join!(group.work("key", || gate.load(7)), impatient);
    assert!(matches!(impatient, Err(Error::WaitedTooLong)));
    assert!(after - Duration::from_millis(40) <= Duration::from_millis(1));
    assert_eq!(*leader.unwrap().value, 7);
    assert_eq!(group.stats().waited_too_long, 1);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_patience_ends_its_call_and_not_the_load() {
    let (group, gate) = (group(), Gate::new());
    let patience = CallOptions::default().wait_at_most(Duration::from_millis(5));
    let leader = async {
        let result = group.work_with("key", patience, |_| gate.load(7)).await;
        gate.open();
        result
    };
    let (leader, follower) = tokio::join!(leader, group.work("key", never_called));
    assert!(matches!(leader, Err(Error::WaitedTooLong)));
    assert_eq!(*follower.unwrap().value, 7);
}

#[tokio::test(start_paused = true)]
async fn a_started_call_can_be_impatient_too() {
    let (group, gate) = (group(), Gate::new());
    let patience = CallOptions::default().wait_at_most(Duration::from_millis(5));
    assert!(matches!(
        group.start("key", patience, |_| gate.load(7)).await,
        Err(Error::WaitedTooLong)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_done_in_time_is_not_touched_by_its_deadline() {
    let group = group();
    let slow = || async {
        tokio::time::sleep(DEADLINE - Duration::from_millis(2)).await;
        Ok(7)
    };
    assert_eq!(*group.work("key", slow).await.unwrap().value, 7);
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_with_the_last_flight_and_begins_again_with_the_next() {
    let (group, gate) = (group(), Gate::new());
    for _ in 0..2 {
        assert!(matches!(
            group.work("key", || gate.load(7)).await,
            Err(Error::TimedOut)
        ));
        assert!(group.inner.watched.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!group.inner.watched.load(Ordering::SeqCst));
    }
}

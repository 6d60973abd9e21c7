//! How many may be aboard, and what is refused.

use super::*;

#[tokio::test]
async fn a_full_flight_takes_nobody_else() {
    let gate = Gate::new();
    let group: TextGroup = Group::builder().max_callers(2).build();
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut leader).is_pending());
    assert!(poll_once(&mut follower).is_pending());
    let report = group.report("key", |_| never_called()).await;
    assert!(matches!(report.result, Err(Error::Saturated)));
    assert!(report.part.is_none());
    gate.open();
    assert_eq!(part(leader.await).callers, 2);
    assert_eq!(group.stats().saturated, 1);
}

#[tokio::test]
async fn a_caller_that_left_makes_room_for_another() {
    let gate = Gate::new();
    let group: TextGroup = Group::builder().max_callers(2).build();
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    for _ in 0..5 {
        let mut follower = Box::pin(group.work("key", never_called));
        assert!(poll_once(&mut follower).is_pending());
    }
    gate.open();
    assert_eq!(part(leader.await).callers, 6);
}

#[tokio::test]
async fn other_keys_are_not_saturated_by_a_full_flight() {
    let gate = Gate::new();
    let group: TextGroup = Group::builder().max_callers(1).build();
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    assert!(group.work("other", || async { Ok(1) }).await.is_ok());
}

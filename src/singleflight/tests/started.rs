//! Calls that are started: aboard at once, awaited later or never.

use super::*;

/// Go: TestDoChan.
#[tokio::test]
async fn a_started_call_delivers_its_value() {
    let group = TextGroup::new();
    let report = group.start("key", |_| async { Ok(7) }).await;
    assert_eq!(seen(&report), (7, Role::Leader, 1));
}

/// Go: ExampleGroup.
#[tokio::test]
async fn two_started_calls_share_one_load() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let first = group.start("key", |_| gate.load(7));
    let second = group.start("key", |_| never_called());
    gate.open();
    let (first, second) = (first.await, second.await);
    assert_eq!(seen(&first), (7, Role::Leader, 2));
    assert_eq!(seen(&second), (7, Role::Follower, 2));
    assert!(Arc::ptr_eq(&first.result.unwrap(), &second.result.unwrap()));
}

#[tokio::test]
async fn a_started_call_is_aboard_before_it_is_polled() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let started = group.start("key", |_| gate.load(7));
    assert_eq!(aboard(&group, "key"), 1);
    gate.open();
    until(|| in_flight(&group) == 0).await;
    assert_eq!(*started.await.result.unwrap(), 7);
}

#[tokio::test]
async fn a_load_outlives_the_handle_that_started_it() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    drop(group.start("key", |_| gate.load(7)));
    gate.open();
    assert_eq!(*group.work("key", never_called).await.unwrap(), 7);
}

#[tokio::test]
async fn a_loader_that_panics_when_it_is_started_is_an_error_of_its_flight() {
    let group = TextGroup::new();
    let started = group.start("key", |_| -> std::future::Ready<_> { panic!("boom") });
    assert!(matches!(started.await.result, Err(Error::Panicked(_))));
    assert_eq!(in_flight(&group), 0);
}

#[tokio::test]
async fn a_started_call_may_be_refused() {
    let gate = Gate::new();
    let group: TextGroup = Group::builder().max_callers(1).build();
    let _first = group.start("key", |_| gate.load(7));
    let second = group.start("key", |_| never_called());
    assert!(matches!(second.await.result, Err(Error::Saturated)));
}

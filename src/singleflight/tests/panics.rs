//! Loaders, keys and hooks that panic: one run, a typed error for everyone, and a group that works on.

use super::*;
use crate::singleflight::Panic;

fn panicked(result: TextResult) -> Arc<Panic> {
    match result {
        Err(Error::Panicked(panic)) => panic,
        other => panic!("expected a panic, got {other:?}"),
    }
}

/// Go: TestPanicDo, TestPanicDoChan and TestPanicDoSharedByDoChan; here a started call gets the error as well, and
/// nothing crashes.
#[tokio::test]
async fn a_panic_reaches_everyone_and_its_loader_runs_once() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let load = gate.load(7);
    let mut leader = Box::pin(group.work("key", move || async move {
        load.await?;
        panic!("boom")
    }));
    assert!(poll_once(&mut leader).is_pending());
    let started = group.start("key", CallOptions::default(), |_| never_called());
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    gate.open();
    let (leader, follower, started) = (
        panicked(leader.await),
        panicked(follower.await),
        panicked(started.await),
    );
    assert_eq!(leader.message(), Some("boom"));
    assert!(Arc::ptr_eq(&leader, &follower) && Arc::ptr_eq(&leader, &started));
    assert_eq!(
        *group.work("key", || async { Ok(7) }).await.unwrap().value,
        7
    );
}

#[tokio::test]
async fn a_panic_in_the_call_of_the_loader_counts_as_the_loads() {
    let group = TextGroup::new();
    let call = group.work("key", || -> std::future::Ready<Result<u32, String>> {
        panic!("in the call")
    });
    assert_eq!(panicked(call.await).message(), Some("in the call"));
    assert_eq!(group.in_flight(), 0);
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("in the drop");
    }
}

/// A future whose own drop panics after it has returned a value.
struct Brittle(PanicsOnDrop);

impl Future for Brittle {
    type Output = Result<u32, String>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(7))
    }
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_load_counts_as_the_loads() {
    let group = TextGroup::new();
    let call = group.work("key", || Brittle(PanicsOnDrop));
    assert_eq!(panicked(call.await).message(), Some("in the drop"));
    assert_eq!(group.in_flight(), 0);
}

#[tokio::test]
async fn aborting_a_load_whose_drop_panics_still_ends_its_flight() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let load = gate.load(7);
    let mut leader = Box::pin(group.work("key", move || async move {
        let _brittle = PanicsOnDrop;
        load.await
    }));
    assert!(poll_once(&mut leader).is_pending());
    assert!(group.abort("key"));
    assert!(matches!(leader.await, Err(Error::Aborted)));
}

/// Go: TestPanicErrorUnwrap.
#[tokio::test]
async fn a_panic_keeps_its_payload_whatever_its_type() {
    #[derive(Debug, PartialEq)]
    struct Typed(u8);
    let group = TextGroup::new();
    let raise = |payload: Box<dyn std::any::Any + Send>| {
        group.work(
            "key",
            move || async move { std::panic::resume_unwind(payload) },
        )
    };
    assert_eq!(
        panicked(raise(Box::new("text")).await).message(),
        Some("text")
    );
    assert_eq!(
        panicked(raise(Box::new("owned".to_owned())).await).message(),
        Some("owned")
    );
    let typed = panicked(raise(Box::new(Typed(3))).await);
    assert_eq!(typed.message(), None);
    assert_eq!(typed.inspect(|Typed(number)| *number), Some(3));
    assert_eq!(
        *typed.take().unwrap().downcast::<Typed>().unwrap(),
        Typed(3)
    );
    assert!(typed.take().is_none());
}

#[derive(PartialEq, Hash)]
struct Brief(u8);

impl Eq for Brief {}

impl Clone for Brief {
    fn clone(&self) -> Self {
        assert!(self.0 != 13, "this key cannot be cloned");
        Self(self.0)
    }
}

#[tokio::test]
async fn a_key_whose_clone_panics_locks_nobody_out() {
    let group: Arc<Group<Brief, u32, String>> = Arc::default();
    let unlucky = Arc::clone(&group);
    let call =
        tokio::spawn(async move { unlucky.work(&Brief(13), never_called).await.map(|_| ()) });
    assert!(call.await.unwrap_err().is_panic());
    for key in 0..100 {
        if key != 13 {
            group.work(&Brief(key), || async { Ok(7) }).await.unwrap();
        }
    }
    assert_eq!(group.in_flight(), 0);
}

#[tokio::test]
async fn a_key_whose_eq_panics_locks_nobody_out() {
    /// Every key in one bucket, so that they are compared.
    #[derive(Clone, Debug)]
    struct Same(bool);
    impl std::hash::Hash for Same {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            0.hash(state);
        }
    }
    impl PartialEq for Same {
        fn eq(&self, other: &Self) -> bool {
            assert!(!self.0 && !other.0, "this key cannot be compared");
            true
        }
    }
    impl Eq for Same {}

    let (group, gate) = (Arc::new(Group::<Same, u32, String>::new()), Gate::new());
    let mut held = Box::pin(group.work(&Same(false), || gate.load(7)));
    assert!(poll_once(&mut held).is_pending());
    let unlucky = Arc::clone(&group);
    let call =
        tokio::spawn(async move { unlucky.work(&Same(true), never_called).await.map(|_| ()) });
    assert!(call.await.unwrap_err().is_panic());
    gate.open();
    assert_eq!(*held.await.unwrap().value, 7);
    assert_eq!(group.in_flight(), 0);
}

#[tokio::test]
async fn a_hook_that_panics_keeps_nobody_from_the_outcome() {
    let group: TextGroup = Group::builder()
        .on_landing(|_| panic!("in the hook"))
        .build();
    assert_eq!(
        *group.work("key", || async { Ok(7) }).await.unwrap().value,
        7
    );
}

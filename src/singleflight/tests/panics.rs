//! Loaders, keys and hooks that panic: one run, a typed error for everyone, and a group that works on.

use super::*;

fn panicked(result: TextResult) -> Arc<str> {
    match result {
        Err(Error::Panicked(message)) => message,
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
    let started = group.start("key", |_| never_called());
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut follower).is_pending());
    gate.open();
    let (leader, follower, started) = (
        panicked(leader.await),
        panicked(follower.await),
        panicked(started.await.result),
    );
    assert_eq!(&*leader, "boom");
    assert!(Arc::ptr_eq(&leader, &follower) && Arc::ptr_eq(&leader, &started));
    assert_eq!(*group.work("key", || async { Ok(7) }).await.unwrap(), 7);
}

#[tokio::test]
async fn a_panic_in_the_call_of_the_loader_counts_as_the_loads() {
    let group = TextGroup::new();
    let call = group.work("key", || -> std::future::Ready<Result<u32, String>> {
        panic!("in the call")
    });
    assert_eq!(&*panicked(call.await), "in the call");
    assert_eq!(in_flight(&group), 0);
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
    assert_eq!(&*panicked(call.await), "in the drop");
    assert_eq!(in_flight(&group), 0);
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
    assert_eq!(in_flight(&group), 0);
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
    assert_eq!(*held.await.unwrap(), 7);
    assert_eq!(in_flight(&group), 0);
}

#[tokio::test]
async fn a_hook_that_panics_keeps_nobody_from_the_outcome() {
    let group: TextGroup = Group::builder()
        .on_landing(|_| panic!("in the hook"))
        .build();
    assert_eq!(*group.work("key", || async { Ok(7) }).await.unwrap(), 7);
}

/// Go: TestPanicErrorUnwrap, which asks for the payload. Here everyone gets its text.
#[tokio::test]
async fn a_panic_is_told_by_its_text() {
    struct Typed;
    let group = TextGroup::new();
    let raise = |payload: Box<dyn std::any::Any + Send>| {
        let load = move || async move { std::panic::resume_unwind(payload) };
        group.work("key", load)
    };
    for (payload, message) in [
        (Box::new("text") as Box<dyn std::any::Any + Send>, "text"),
        (Box::new("owned".to_owned()), "owned"),
        (Box::new(Typed), "(a payload that is no text)"),
    ] {
        assert_eq!(&*panicked(raise(payload).await), message);
    }
}

#[tokio::test]
async fn a_load_that_is_cut_short_and_whose_drop_panics_still_ends_its_flight() {
    let group: TextGroup = Group::builder().abort_when_abandoned().build();
    let load = || async {
        let _brittle = PanicsOnDrop;
        std::future::pending().await
    };
    let mut leader = Box::pin(group.work("key", load));
    assert!(poll_once(&mut leader).is_pending());
    drop(leader);
    settle().await;
    assert_eq!((in_flight(&group), group.stats().aborted), (0, 1));
}

/// What a panic that panics when it is dropped is made of.
struct PanicsTwice;

impl Drop for PanicsTwice {
    fn drop(&mut self) {
        std::panic::panic_any(PanicsOnDrop);
    }
}

#[tokio::test]
async fn payloads_that_panic_leave_no_key_behind() {
    let group: TextGroup = Group::builder()
        .on_landing(|_| std::panic::panic_any(PanicsTwice))
        .build();
    let gate = Gate::new();
    let load = gate.load(7);
    let mut leader = Box::pin(group.work("key", || async move {
        load.await?;
        std::panic::panic_any(PanicsTwice)
    }));
    let mut follower = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut follower).is_pending());
    gate.open();
    let message = "(a payload that is no text)";
    assert_eq!(
        (&*panicked(leader.await), &*panicked(follower.await)),
        (message, message)
    );
    assert_eq!(in_flight(&group), 0);
    assert_eq!(*group.work("key", || async { Ok(8) }).await.unwrap(), 8);
}

//! Nothing is left behind: entries, waiters, slots.
//!
//! Live bytes are measured where an allocator can count them, outside this crate.

use super::*;

#[tokio::test]
async fn twenty_thousand_cancelled_calls_leave_no_flight_behind() {
    let group: Group<u32, u32, String> = Group::builder().abort_when_abandoned().build();
    let value = Arc::new(());
    for key in 0..20_000 {
        let held = Arc::clone(&value);
        let mut call = Box::pin(group.work(&key, move || async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok(1)
        }));
        assert!(poll_once(&mut call).is_pending());
    }
    assert_eq!((in_flight(&group), group.stats().aborted), (0, 20_000));
    until(|| Arc::strong_count(&value) == 1).await;
}

#[tokio::test]
async fn values_are_dropped_with_their_last_caller() {
    let (group, value) = (Group::<u8, Arc<()>, ()>::new(), Arc::new(()));
    let held = Arc::clone(&value);
    let call = || {
        let held = Arc::clone(&held);
        group.work(&1, || async {
            tokio::task::yield_now().await;
            Ok(held)
        })
    };
    let (one, two) = tokio::join!(call(), call());
    assert_eq!(Arc::strong_count(&value), 3);
    drop((one, two));
    assert_eq!(Arc::strong_count(&value), 2);
}

#[tokio::test]
async fn dropping_the_group_does_not_end_its_flights() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let started = group.start("key", |_| gate.load(7));
    drop(group);
    gate.open();
    assert_eq!(*started.await.result.unwrap(), 7);
}

#[tokio::test]
async fn a_follower_keeps_its_waker_up_to_date_and_gives_it_back() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..3 {
        let mut follower = Box::pin(group.work("key", never_called));
        assert!(poll_once(&mut follower).is_pending());
        assert!(
            Pin::new(&mut follower)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(
            Arc::strong_count(&woken),
            3,
            "the new waker has taken the old one's place"
        );
    }
    assert_eq!(Arc::strong_count(&woken), 2);
    gate.open();
    leader.await.unwrap();
    assert_eq!(
        woken.0.load(Ordering::SeqCst),
        0,
        "who has left is not woken"
    );
}

#[derive(Default)]
struct Woken(AtomicU32);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

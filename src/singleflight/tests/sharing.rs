//! Who gets what: values, errors, roles and counts.

use super::*;
use tokio::task::JoinSet;

/// Go: TestDo.
#[tokio::test]
async fn a_call_returns_what_its_loader_returns() {
    let group = TextGroup::new();
    assert_eq!(*group.work("key", || async { Ok(7) }).await.unwrap(), 7);
    let report = group.report("key", |_| async { Ok(8) }).await;
    assert_eq!(seen(&report), (8, Role::Leader, 1));
    assert!(!part(report).shared());
}

/// Go: TestDoErr.
#[tokio::test]
async fn everyone_on_a_flight_gets_the_same_error() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let call = || {
        let gate = gate.clone();
        group.work("key", move || async move {
            gate.pass().await;
            Err::<u32, _>("refused".to_owned())
        })
    };
    let (one, two, ()) = tokio::join!(call(), call(), async { gate.open() });
    let (Err(Error::Failed(one)), Err(Error::Failed(two))) = (one, two) else {
        panic!("two errors")
    };
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!((one.as_str(), gate.arrived()), ("refused", 1));
}

/// Go: TestDoDupSuppress, without its race: all are aboard before the load may end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_come_while_a_load_is_under_way_share_it() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let (group, load) = (group.clone(), gate.load(7));
        calls.spawn(async move { group.report("key", move |_| load).await });
    }
    until(|| aboard(&group, "key") == 64).await;
    gate.open();
    let all = calls.join_all().await;
    assert_eq!(gate.arrived(), 1);
    let leads = |report: &&Report<u32, String>| seen(report) == (7, Role::Leader, 64);
    let follows = |report: &&Report<u32, String>| seen(report) == (7, Role::Follower, 64);
    assert_eq!(
        (
            all.iter().filter(leads).count(),
            all.iter().filter(follows).count()
        ),
        (1, 63)
    );
    let values: Vec<_> = all
        .into_iter()
        .map(|report| report.result.unwrap())
        .collect();
    assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0])));
}

#[tokio::test]
async fn different_keys_are_loaded_independently() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut held = Box::pin(group.work("held", || gate.load(1)));
    assert!(poll_once(&mut held).is_pending());
    let other = group.work("other", || async { Ok(2) }).await.unwrap();
    assert_eq!(*other, 2);
    gate.open();
    assert_eq!(*held.await.unwrap(), 1);
}

#[tokio::test]
async fn a_key_is_loaded_again_once_its_flight_has_ended() {
    let group = TextGroup::new();
    let first = group.report("key", |_| async { Ok(1) }).await;
    let second = group.report("key", |_| async { Ok(2) }).await;
    assert_eq!((seen(&first).0, seen(&second).0), (1, 2));
    assert!(part(second).generation > part(first).generation);
}

#[tokio::test]
async fn an_error_is_forgotten_with_its_flight() {
    let group = TextGroup::new();
    assert!(
        group
            .work("key", || async { Err("no".to_owned()) })
            .await
            .is_err()
    );
    assert_eq!(*group.work("key", || async { Ok(1) }).await.unwrap(), 1);
}

#[tokio::test]
async fn clones_of_a_group_share_their_flights() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let (one, two) = (group.clone(), group.clone());
    let (one, two, ()) = tokio::join!(
        one.report("key", |_| gate.load(7)),
        two.report("key", |_| never_called()),
        async { gate.open() }
    );
    assert_eq!(
        (part(one).role, part(two).role),
        (Role::Leader, Role::Follower)
    );
}

#[tokio::test]
async fn two_groups_share_nothing() {
    let (one, two, gate) = (TextGroup::new(), TextGroup::new(), Gate::new());
    let mut held = Box::pin(one.work("key", || gate.load(1)));
    assert!(poll_once(&mut held).is_pending());
    assert_eq!(*two.work("key", || async { Ok(2) }).await.unwrap(), 2);
}

#[tokio::test]
async fn values_need_not_be_cloneable() {
    struct Opaque;
    let group: Group<u8, Opaque, ()> = Group::new();
    let call = || {
        group.work(&1, || async {
            tokio::task::yield_now().await;
            Ok(Opaque)
        })
    };
    let (one, two) = tokio::join!(call(), call());
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
}

#[tokio::test]
async fn a_call_does_nothing_before_it_is_polled() {
    let group = TextGroup::new();
    drop(group.work("key", never_called));
    assert_eq!(group.stats().flights, 0);
}

#[tokio::test]
async fn calls_awaited_one_after_the_other_need_not_be_awaited_together() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut calls: Vec<_> = (0..4)
        .map(|_| Box::pin(group.work("key", || gate.load(7))))
        .collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    gate.open();
    for call in calls {
        assert_eq!(*call.await.unwrap(), 7);
    }
    assert_eq!(gate.arrived(), 1);
}

#[tokio::test]
async fn a_follower_that_is_polled_late_still_gets_the_result_of_its_flight() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.report("key", |_| gate.load(7)));
    let mut late = Box::pin(group.report("key", |_| never_called()));
    assert!(poll_once(&mut leader).is_pending());
    assert!(poll_once(&mut late).is_pending());
    gate.open();
    let leader = leader.await;
    group.work("key", || async { Ok(8) }).await.unwrap();
    let late = late.await;
    assert_eq!(seen(&late), (7, Role::Follower, 2));
    assert_eq!(part(late).generation, part(leader).generation);
}

#[tokio::test]
async fn a_waiter_that_moves_to_another_task_is_woken_there() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut leader = Box::pin(group.work("key", || gate.load(7)));
    assert!(poll_once(&mut leader).is_pending());
    let follower = group.clone();
    let mut follower = Box::pin(async move { follower.work("key", never_called).await });
    assert!(poll_once(&mut follower).is_pending());
    let follower = tokio::spawn(follower);
    settle().await;
    gate.open();
    assert_eq!(*leader.await.unwrap(), 7);
    assert_eq!(*follower.await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn a_report_tells_of_the_flight_of_an_error_too() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let call = || {
        let gate = gate.clone();
        group.report("key", move |_| async move {
            gate.pass().await;
            Err("refused".to_owned())
        })
    };
    let (one, two, ()) = tokio::join!(call(), call(), async { gate.open() });
    let parts = [one.part.unwrap(), two.part.unwrap()];
    assert!(matches!(one.result, Err(Error::Failed(_))));
    assert_eq!(
        parts.each_ref().map(|part| (part.role, part.callers)),
        [(Role::Leader, 2), (Role::Follower, 2)]
    );
    assert!(parts.iter().all(|part| part.shared()));
}

#[tokio::test(start_paused = true)]
async fn everyone_is_told_how_long_they_waited() {
    let group = TextGroup::new();
    let slow = || async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        Ok(7)
    };
    let late = async {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        group.report("key", |_| never_called()).await
    };
    let (leader, follower) = tokio::join!(group.report("key", |_| slow()), late);
    assert_eq!(part(leader).waited.as_millis(), 30);
    assert_eq!(part(follower).waited.as_millis(), 20);
}

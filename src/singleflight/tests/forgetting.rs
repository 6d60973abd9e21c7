//! Forgetting: old flights and newer ones leave each other alone.

use super::*;
use std::sync::Mutex;

/// Go: TestForget.
#[tokio::test]
async fn an_old_flight_that_lands_does_not_remove_the_newer_one() {
    let (group, old, new) = (TextGroup::new(), Gate::new(), Gate::new());
    let mut first = Box::pin(group.report("key", |_| old.load(1)));
    assert!(poll_once(&mut first).is_pending());
    let forgotten = group.forget("key").unwrap();
    let second = group.start("key", |_| new.load(2));
    old.open();
    let first = first.await;
    assert_eq!((seen(&first).0, part(first).generation), (1, forgotten));
    let mut third = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut third).is_pending());
    new.open();
    assert_eq!(
        (*second.await.result.unwrap(), *third.await.unwrap()),
        (2, 2)
    );
}

#[tokio::test]
async fn forgetting_a_key_that_is_not_in_flight_does_nothing() {
    let group = TextGroup::new();
    assert_eq!(group.forget("key"), None);
    assert_eq!(group.stats().forgotten, 0);
}

#[tokio::test]
async fn everything_can_be_forgotten_at_once() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let mut calls: Vec<_> = ["a", "b", "c"]
        .map(|key| Box::pin(group.work(key, || gate.load(1))))
        .into();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    assert_eq!(group.forget_all(), 3);
    assert!(["a", "b", "c"].iter().all(|key| group.peek(*key).is_none()));
    assert_eq!(in_flight(&group), 3);
    gate.open();
    for call in calls {
        assert_eq!(*call.await.unwrap(), 1);
    }
    assert_eq!(in_flight(&group), 0);
}

/// Runs a load that asks, after the gate, whether it is still current.
async fn current_after(disturb: impl FnOnce(&TextGroup) -> bool) -> Option<bool> {
    let (group, gate, answer) = (TextGroup::new(), Gate::new(), Arc::new(Mutex::new(None)));
    let (pass, told) = (gate.clone(), Arc::clone(&answer));
    let call = group.report("key", |loading| async move {
        pass.pass().await;
        *told.lock().unwrap() = Some(loading.is_current());
        Ok(7)
    });
    let mut call = Box::pin(call);
    assert!(poll_once(&mut call).is_pending());
    assert!(disturb(&group));
    gate.open();
    drop(call.await);
    let answer = answer.lock().unwrap();
    *answer
}

#[tokio::test]
async fn a_loader_can_tell_that_it_has_been_forgotten() {
    assert_eq!(current_after(|_| true).await, Some(true));
    assert_eq!(
        current_after(|group| group.forget("key").is_some()).await,
        Some(false)
    );
}

#[tokio::test]
async fn a_loader_knows_its_generation() {
    let group = TextGroup::new();
    let generation = Arc::new(Mutex::new(None));
    let told = Arc::clone(&generation);
    let call = group.report("key", |loading| async move {
        *told.lock().unwrap() = Some(loading.generation());
        Ok(7)
    });
    let part = part(call.await);
    assert_eq!(*generation.lock().unwrap(), Some(part.generation));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_key_is_forgotten_its_load_has_written_back_or_never_will() {
    let group: Group<u8, u32, String> = Group::new();
    for _ in 0..500 {
        let (cache, gate) = (Arc::new(Mutex::new(None)), Gate::new());
        let (pass, filled) = (gate.clone(), Arc::clone(&cache));
        let started = group.start(&1, |loading| async move {
            pass.pass().await;
            loading.write_back(|| *filled.lock().unwrap() = Some("old"));
            Ok(7)
        });
        let (writer, written) = (group.clone(), Arc::clone(&cache));
        let writer = tokio::spawn(async move {
            writer.forget(&1);
            *written.lock().unwrap() = None;
        });
        gate.open();
        writer.await.unwrap();
        started.await.result.unwrap();
        assert_eq!(*cache.lock().unwrap(), None);
    }
}

#[tokio::test]
async fn a_load_that_is_not_forgotten_writes_back() {
    let group = TextGroup::new();
    let call = group.report("key", |loading| async move {
        loading.write_back(|| 7).ok_or("forgotten".to_owned())
    });
    assert_eq!(*call.await.result.unwrap(), 7);
}

/// So many of one key that looking each of them up among all would show.
#[tokio::test]
async fn many_forgotten_flights_of_one_key_are_not_in_each_others_way() {
    let group: TextGroup = Group::builder().abort_when_abandoned().build();
    let each = |count: u32| {
        let begun = std::time::Instant::now();
        let calls: Vec<_> = (0..count)
            .map(|_| {
                let mut call = Box::pin(group.work("key", std::future::pending));
                assert!(poll_once(&mut call).is_pending());
                group.forget("key");
                call
            })
            .collect();
        drop(calls);
        begun.elapsed() / count
    };
    let group_of = each(2_000);
    let more = each(32_000);
    assert!(more < 6 * group_of, "{group_of:?} each, then {more:?}");
}

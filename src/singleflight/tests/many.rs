//! Many keys at once.

use super::*;

fn of_number(key: &u32) -> impl Future<Output = Result<u32, String>> + Send + use<> {
    let key = *key;
    async move {
        tokio::task::yield_now().await;
        match key {
            3 => Err("three".to_owned()),
            4 => panic!("four"),
            _ => Ok(key * 10),
        }
    }
}

/// In go-singleflightx one panicking key leaves the others of its batch hanging for ever.
#[tokio::test]
async fn every_key_is_completed_whatever_becomes_of_the_others() {
    let group: Group<u32, u32, String> = Group::new();
    let results = group.work_many([1, 4, 3, 2], of_number).await;
    let keys: Vec<_> = results.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [1, 4, 3, 2]);
    let [(_, one), (_, four), (_, three), (_, two)] = <[_; 4]>::try_from(results).unwrap();
    assert_eq!((*one.unwrap().value, *two.unwrap().value), (10, 20));
    assert!(matches!(four, Err(Error::Panicked(_))));
    assert!(matches!(three, Err(Error::Failed(_))));
    assert_eq!(group.in_flight(), 0);
}

#[tokio::test]
async fn a_loader_that_panics_in_its_call_spares_the_other_keys() {
    let group: Group<u32, u32, String> = Group::new();
    let results = group
        .work_many([1, 2], |key| {
            assert!(*key != 1, "one");
            of_number(key)
        })
        .await;
    assert!(matches!(results[0].1, Err(Error::Panicked(_))));
    assert_eq!(*results[1].1.as_ref().unwrap().value, 20);
}

#[tokio::test]
async fn keys_are_loaded_at_the_same_time() {
    let (group, gate) = (Group::<u32, u32, String>::new(), Gate::new());
    let many = group.work_many([1, 2, 3], |key| gate.load(*key));
    let (many, ()) = tokio::join!(many, async {
        until(|| gate.arrived() == 3).await;
        gate.open();
    });
    assert!(
        many.into_iter()
            .all(|(key, flown)| *flown.unwrap().value == key)
    );
}

#[tokio::test]
async fn a_key_that_is_named_twice_is_loaded_once() {
    let group: Group<u32, u32, String> = Group::new();
    let results = group.work_many([1, 1], of_number).await;
    let roles: Vec<_> = results
        .into_iter()
        .map(|(_, flown)| flown.unwrap().role)
        .collect();
    assert_eq!(roles, [Role::Leader, Role::Follower]);
}

#[tokio::test]
async fn no_keys_are_no_work() {
    let group: Group<u32, u32, String> = Group::new();
    assert!(group.work_many([], of_number).await.is_empty());
}

//! Bringing a group to rest: no new flights, then the end of those in the air, then force.

use super::inner::Inner;
use super::landing::Drained;
use super::outcome::Ending;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// See [`Group::drain`](super::Group::drain).
pub(crate) async fn drain<K, V, E>(group: &Inner<K, V, E>, deadline: Duration) -> Drained
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    group.table.close();
    let before = group.table.tallies().in_flight;
    let at_rest = tokio::time::timeout(deadline, all_landed(group))
        .await
        .is_ok();
    let aborted = if at_rest { 0 } else { abort_all(group) };
    Drained {
        finished: before.saturating_sub(aborted),
        aborted,
    }
}

async fn all_landed<K, V, E>(group: &Inner<K, V, E>)
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    loop {
        let mut landing = pin!(group.landings.notified());
        // Before the count, so that a landing in between is not missed.
        landing.as_mut().enable();
        if group.table.tallies().in_flight == 0 {
            return;
        }
        landing.await;
    }
}

fn abort_all<K, V, E>(group: &Inner<K, V, E>) -> usize
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let mut left = Vec::new();
    group.table.survey(|flight| left.push(Arc::clone(flight)));
    left.iter()
        .filter(|flight| group.land(flight, Ending::Aborted))
        .count()
}

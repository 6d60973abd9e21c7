//! Many keys at once: every flight is begun before any is awaited, and each has its own result.

use super::error::Error;
use super::group::Group;
use super::handle::Handle;
use super::options::CallOptions;
use super::outcome::Flown;
use std::future::Future;
use std::hash::Hash;

/// A key and the call for it.
type Started<K, V, E> = Vec<(K, Handle<K, V, E>)>;

/// Boards a flight for every key.
pub(crate) fn start<K, V, E, F, Fut>(
    group: &Group<K, V, E>,
    keys: impl IntoIterator<Item = K>,
    loader: F,
) -> Started<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: Fn(&K) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    let board = |key: K| {
        let handle = group.start(&key, CallOptions::default(), |_| loader(&key));
        (key, handle)
    };
    keys.into_iter().map(board).collect()
}

/// Awaits them one after the other; they run all the same, each in its own task.
pub(crate) async fn collect<K, V, E>(
    started: Started<K, V, E>,
) -> Vec<(K, Result<Flown<V>, Error<E>>)>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let mut results = Vec::with_capacity(started.len());
    for (key, handle) in started {
        results.push((key, handle.await));
    }
    results
}

//! The group as its users see it. What stands behind the calls is in the files they name.

use super::call::Call;
use super::drain;
use super::handle::Handle;
use super::inner::{Craft, Inner};
use super::landing::Drained;
use super::options::{Builder, CallOptions, Config};
use super::outcome::{Ending, Flown, Generation, Report};
use super::standing::Flight;
use super::{Error, many};
use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

/// Shares loads by key: while one is under way, everyone who asks for its key gets its result.
///
/// Clones are cheap and share everything. The [module](super) says what a group promises.
pub struct Group<K, V, E> {
    pub(crate) inner: Arc<Inner<K, V, E>>,
}

impl<K, V, E> Group<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// A group with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A group with settings of its own.
    pub fn builder() -> Builder<K, V, E> {
        Builder::new()
    }

    pub(crate) fn with(config: Config<K>) -> Self {
        Self {
            inner: Arc::new(Inner::new(config)),
        }
    }

    /// Gets the value for `key` from the load that is under way, or else by calling `loader`. Nothing happens before the
    /// first poll.
    pub fn work<Q, F, Fut>(
        &self,
        key: &Q,
        loader: F,
    ) -> impl Future<Output = Result<Flown<V>, Error<E>>> + Send
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        Call::new(
            self,
            key,
            CallOptions::default(),
            |_: &Arc<Craft<K, V, E>>| loader(),
            Report::into_result,
        )
    }

    /// Like [`work`](Self::work), with options of this call's own and a loader that can ask about its flight.
    pub fn work_with<Q, F, Fut>(
        &self,
        key: &Q,
        options: CallOptions,
        loader: F,
    ) -> impl Future<Output = Result<Flown<V>, Error<E>>> + Send
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce(Flight) -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        Call::new(
            self,
            key,
            options,
            |flight: &Arc<Craft<K, V, E>>| loader(Flight::of(flight)),
            Report::into_result,
        )
    }

    /// Like [`work_with`](Self::work_with), for callers who want to know about the flight even if it ended in an error.
    pub fn report<Q, F, Fut>(
        &self,
        key: &Q,
        options: CallOptions,
        loader: F,
    ) -> impl Future<Output = Report<V, E>> + Send
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
        F: FnOnce(Flight) -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        Call::new(
            self,
            key,
            options,
            |flight: &Arc<Craft<K, V, E>>| loader(Flight::of(flight)),
            |report| report,
        )
    }

    /// Boards at once, without being polled, and hands back a future for the result. A loader that is called is called
    /// now; its load runs in a task of its own.
    pub fn start<Q, F, Fut>(&self, key: &Q, options: CallOptions, loader: F) -> Handle<K, V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Flight) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        Handle::start(self, key, options, |flight| loader(Flight::of(flight)))
    }

    /// Gets the value for every key, all at the same time, and completes each whatever becomes of the others. The results
    /// are in the order of the keys.
    pub async fn work_many<F, Fut>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<(K, Result<Flown<V>, Error<E>>)>
    where
        F: Fn(&K) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        many::collect(many::start(self, keys, loader)).await
    }

    /// Lets the flight of `key` go on for those aboard only: the next caller begins a new one.
    pub fn forget<Q>(&self, key: &Q) -> Option<Generation>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.table.forget(key, |_| true).map(Generation)
    }

    /// Forgets the flight of `key` if it is this one, and says whether it was.
    pub fn forget_if<Q>(&self, key: &Q, generation: Generation) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner
            .table
            .forget(key, |flight| flight.generation == generation.0)
            .is_some()
    }

    /// Forgets the flight of `key` if nobody has joined its leader, and says whether it did.
    pub fn forget_unshared<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner
            .table
            .forget(key, |flight| flight.roster.joined() == 1)
            .is_some()
    }

    /// Forgets every flight and says how many.
    pub fn forget_all(&self) -> usize {
        self.inner.table.forget_all()
    }

    /// Ends the flight of `key` with [`Error::Aborted`] for everyone aboard, drops its load and says whether there was one.
    pub fn abort<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let flight = self.inner.table.find(key);
        flight.is_some_and(|flight| self.inner.land(&flight, Ending::Aborted))
    }

    /// Begins no new flights from now on ([`Error::Draining`]), waits for those in the air, and aborts what is left of
    /// them at the deadline. The group stays closed.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        drain::drain(&self.inner, deadline).await
    }
}

impl<K, V, E> Clone for Group<K, V, E> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K, V, E> Default for Group<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, E> fmt::Debug for Group<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

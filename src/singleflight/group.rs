//! The group as its users see it: its calls, what they can see of it, and its options.

use super::caller::{Call, Calling};
use super::error::Error;
use super::flight::Note;
use super::inner::{Config, GroupFlight, Inner, Key, Shared};
use super::loading::Loading;
use super::outcome::{Generation, InFlight, Landing, Report};
use super::stats::Stats;
use std::borrow::Borrow;
use std::convert::identity;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Shares loads by key: while one is under way, everyone who asks for its key gets its result.
///
/// Clones are cheap and share everything. The [module](super) says what a group promises.
pub struct Group<K, V, E> {
    pub(super) inner: Arc<Inner<K, V, E>>,
}

impl<K: Key, V: Shared, E: Shared> Group<K, V, E> {
    /// A group with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A group with settings of its own.
    pub fn builder() -> Builder<K, V, E> {
        Builder {
            config: Config {
                deadline: DEFAULT_DEADLINE,
                max_callers: u32::MAX,
                abort_when_abandoned: false,
                on_landing: None,
            },
            of: PhantomData,
        }
    }

    /// Gets the value for `key` from the load that is under way, or else by calling `loader`. Nothing happens before the
    /// first poll.
    pub fn work<Q, F, Fut>(
        &self,
        key: &Q,
        loader: F,
    ) -> impl Call<Output = Result<Arc<V>, Error<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let loader = |_: &Arc<GroupFlight<K, V, E>>| loader();
        let result = |report: Report<V, E>| report.result;
        Calling::new(&self.inner, key, false, result, loader)
    }

    /// Like [`work`](Self::work), with the caller's part in the flight beside the result, and a loader that can ask
    /// about its flight.
    pub fn report<Q, F, Fut>(&self, key: &Q, loader: F) -> impl Call<Output = Report<V, E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Loading) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let loader = |flight: &Arc<GroupFlight<K, V, E>>| loader(Loading::of(flight));
        Calling::new(&self.inner, key, true, identity::<Report<V, E>>, loader)
    }

    /// Like [`report`](Self::report), but joins or begins a flight at once, without being polled. Whether the call is
    /// awaited or dropped is then the caller's choice.
    pub fn start<Q, F, Fut>(
        &self,
        key: &Q,
        loader: F,
    ) -> impl Call<Output = Report<V, E>> + use<Q, F, Fut, K, V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Loading) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (group, key) = (Arc::clone(&self.inner), key.to_owned());
        let loader = |flight: &Arc<GroupFlight<K, V, E>>| loader(Loading::of(flight));
        Calling::new(group, key, true, identity::<Report<V, E>>, loader).started()
    }

    /// Lets the flight of `key` go on for its present callers only: the next one begins a new flight. When this
    /// returns, the forgotten load has written back, or never will ([`Loading::write_back`]).
    pub fn forget<Q>(&self, key: &Q) -> Option<Generation>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let flight = self.inner.table.find(key)?;
        self.inner
            .forget(&flight)
            .then_some(Generation(flight.generation))
    }

    /// Forgets every flight and says how many.
    pub fn forget_all(&self) -> usize {
        let all = self.inner.table.all();
        all.iter()
            .filter(|flight| self.inner.forget(flight))
            .count()
    }

    /// The flight that a caller for `key` would join.
    pub fn peek<Q>(&self, key: &Q) -> Option<InFlight<K>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let flight = self.inner.table.find(key);
        flight.map(|flight| self.describe(&flight))
    }

    /// The note of the load that a caller for `key` would join.
    pub fn note<Q>(&self, key: &Q) -> Option<Note>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.table.find(key)?.note().cloned()
    }

    /// Every flight that is under way, forgotten ones included, in no order.
    pub fn flights(&self) -> Vec<InFlight<K>> {
        let flights = self.inner.table.all();
        flights.iter().map(|flight| self.describe(flight)).collect()
    }

    /// What the group has counted so far.
    pub fn stats(&self) -> Stats {
        self.inner.table.stats()
    }

    fn describe(&self, flight: &GroupFlight<K, V, E>) -> InFlight<K> {
        let now = self.inner.clock.now();
        let age = flight.suspended_at().map_or(0, |at| now.saturating_sub(at));
        InFlight {
            key: flight.key.clone(),
            age: Duration::from_nanos(age),
            callers: flight.callers(),
            generation: Generation(flight.generation),
            current: flight.is_current(),
        }
    }
}

impl<K, V, E> Clone for Group<K, V, E> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K: Key, V: Shared, E: Shared> Default for Group<K, V, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, E> fmt::Debug for Group<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

/// Builds a [`Group`].
pub struct Builder<K, V, E> {
    config: Config<K>,
    of: PhantomData<fn() -> (V, E)>,
}

const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
const SHORTEST_DEADLINE: Duration = Duration::from_millis(1);
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

impl<K: Key, V: Shared, E: Shared> Builder<K, V, E> {
    /// When a flight has to have landed, counted from its load's first suspension: 30 s by default, at least a
    /// millisecond and at most a day.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline.clamp(SHORTEST_DEADLINE, LONGEST_DEADLINE);
        self
    }

    /// How many callers may wait on one flight, the leader included; the next gets [`Error::Saturated`].
    pub fn max_callers(mut self, callers: u32) -> Self {
        self.config.max_callers = callers;
        self
    }

    /// Drops a load when its last caller has left. By default it runs to its end: it may fill a cache.
    pub fn abort_when_abandoned(mut self) -> Self {
        self.config.abort_when_abandoned = true;
        self
    }

    /// Called once for each flight that has landed, when its callers have been woken. A panic in it is swallowed.
    pub fn on_landing(mut self, hook: impl Fn(&Landing<'_, K>) + Send + Sync + 'static) -> Self {
        self.config.on_landing = Some(Box::new(hook));
        self
    }

    /// The group.
    pub fn build(self) -> Group<K, V, E> {
        Group {
            inner: Arc::new(Inner::new(self.config)),
        }
    }
}

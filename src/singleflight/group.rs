//! The group as its users see it: its calls and options; and what its clones share.

use super::caller::{Call, Calling};
use super::cycles::FlightId;
use super::error::{Error, discard};
use super::flight::Flight;
use super::loading::Loading;
use super::outcome::{Ending, Generation, Report};
use super::stats::{Landing, OnLanding};
use super::table::{Refused, Table};
use super::task::Suspended;
use std::borrow::Borrow;
use std::convert::identity;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Span;

/// What a key has to be able to do. Every type that can is one.
pub trait Key: Eq + Hash + Clone + Send + Sync + 'static {}
impl<K: Eq + Hash + Clone + Send + Sync + 'static> Key for K {}

/// What a value or an error has to be able to do, to be shared. Every type that can is one.
pub trait Shared: Send + Sync + 'static {}
impl<T: Send + Sync + 'static> Shared for T {}

/// Shares loads by key: while one is under way, everyone who asks for its key gets its result.
///
/// Clones are cheap and share everything. The [module](super) says what a group promises.
pub struct Group<K, V, E> {
    pub(crate) inner: Arc<Inner<K, V, E>>,
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
                span: None,
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
        Calling::new(self, key, false, result, loader)
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
        Calling::new(self, key, true, identity::<Report<V, E>>, loader)
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
        let (group, key) = (self.clone(), key.to_owned());
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
        self.forget_this(&flight)
            .then_some(Generation(flight.generation))
    }

    /// Forgets every flight and says how many.
    pub fn forget_all(&self) -> usize {
        let all = self.inner.table.all();
        all.iter().filter(|flight| self.forget_this(flight)).count()
    }

    /// Seals first: whoever finds the flight gone may rely on its load to write nothing more.
    fn forget_this(&self, flight: &Arc<GroupFlight<K, V, E>>) -> bool {
        if !flight.is_current() {
            return false;
        }
        flight.seal();
        self.inner.table.forget(flight)
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

/// A group's settings.
pub(crate) struct Config<K> {
    pub(crate) deadline: Duration,
    pub(crate) max_callers: u32,
    pub(crate) abort_when_abandoned: bool,
    pub(crate) on_landing: Option<Box<OnLanding<K>>>,
    pub(crate) span: Option<Box<LoadSpan<K>>>,
}

type LoadSpan<K> = dyn Fn(&K) -> Span + Send + Sync;

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

    /// Drops a load that nobody waits for any more. By default it runs to its end: it may fill a cache.
    pub fn abort_when_abandoned(mut self) -> Self {
        self.config.abort_when_abandoned = true;
        self
    }

    /// Called once for each flight that has landed, when its callers have been woken. A panic in it is swallowed.
    pub fn on_landing(mut self, hook: impl Fn(&Landing<'_, K>) + Send + Sync + 'static) -> Self {
        self.config.on_landing = Some(Box::new(hook));
        self
    }

    /// Opens the span that a load runs in, from its first poll to its last; by default the load runs in its leader's.
    /// Each caller's [`Part`](super::Part) has it, to link to.
    pub fn load_span(mut self, span: impl Fn(&K) -> Span + Send + Sync + 'static) -> Self {
        self.config.span = Some(Box::new(span));
        self
    }

    /// The group.
    pub fn build(self) -> Group<K, V, E> {
        Group {
            inner: Arc::new(Inner::new(self.config)),
        }
    }
}

/// A flight of a group.
pub(crate) type GroupFlight<K, V, E> = Flight<K, Ending<V, E>, Suspended>;

/// There is no runtime that could finish a load.
pub(crate) struct NoRuntime;

/// What the clones of a group share.
pub(crate) struct Inner<K, V, E> {
    id: u64,
    pub(crate) table: Table<K, Ending<V, E>, Suspended>,
    pub(crate) config: Config<K>,
    pub(crate) clock: Clock,
    pub(crate) reentrant: AtomicU64,
    pub(crate) wait_limits: AtomicU64,
    /// Told of every landing once the group is draining.
    pub(crate) landings: Notify,
}

impl<K: Key, V: Shared, E: Shared> Inner<K, V, E> {
    fn new(config: Config<K>) -> Self {
        static GROUPS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: GROUPS.fetch_add(1, Ordering::Relaxed),
            table: Table::new(shards()),
            config,
            clock: Clock {
                epoch: Instant::now(),
            },
            reentrant: AtomicU64::new(0),
            wait_limits: AtomicU64::new(0),
            landings: Notify::new(),
        }
    }

    /// What this flight is called among those of all groups.
    pub(crate) fn id_of(&self, flight: &GroupFlight<K, V, E>) -> FlightId {
        FlightId {
            group: self.id,
            generation: flight.generation,
        }
    }

    pub(crate) fn refuse(&self, reason: Refused) -> Error<E> {
        match reason {
            Refused::Saturated => Error::Saturated,
            Refused::Closed => Error::Draining,
            Refused::Reentrant => {
                self.reentrant.fetch_add(1, Ordering::Relaxed);
                Error::Reentrant
            }
        }
    }

    /// Lands a flight whose load goes on, and says whether nobody else has.
    pub(crate) fn cut_short(
        &self,
        flight: &Arc<GroupFlight<K, V, E>>,
        ending: Ending<V, E>,
    ) -> bool {
        // The next load of this key must not be overtaken by this one.
        flight.seal();
        let landed = self.land(flight, ending, false).is_some();
        if let Some(suspended) = flight.suspended_load() {
            suspended.rest.abort();
        }
        landed
    }

    /// Lands a flight: takes it out of the table, so that nobody can join it any more, publishes its ending, wakes its
    /// callers and calls the hook. Hands the ending back, or none if somebody else has landed it.
    ///
    /// By `its_leader` nothing has to be published if it is alone.
    pub(crate) fn land(
        &self,
        flight: &Arc<GroupFlight<K, V, E>>,
        ending: Ending<V, E>,
        its_leader: bool,
    ) -> Option<Ending<V, E>> {
        // A load may have left its `Loading` with somebody else.
        if flight.has_loading() {
            flight.seal();
        }
        let is_told = self.config.on_landing.is_some();
        let removed =
            self.table
                .remove(flight, ending.outcome() as usize, is_told || !its_leader)?;
        let is_alone = its_leader && flight.callers() == 1;
        if !is_alone {
            flight.land(self.clock.now());
            flight.publish(ending.clone());
        }
        drop(removed);
        if is_told {
            self.tell(flight, &ending);
        }
        if is_told || !is_alone {
            self.table.landed(flight);
        }
        if self.table.is_closed() {
            self.landings.notify_waiters();
        }
        Some(ending)
    }

    fn tell(&self, flight: &GroupFlight<K, V, E>, ending: &Ending<V, E>) {
        let Some(hook) = &self.config.on_landing else {
            return;
        };
        let suspended_at = flight.suspended_at();
        let took = suspended_at.map_or(0, |at| flight.landed_at().saturating_sub(at));
        let landing = Landing {
            key: &flight.key,
            outcome: ending.outcome(),
            panic: match ending {
                Ending::Panicked(message) => Some(message),
                _ => None,
            },
            callers: flight.callers(),
            took: Duration::from_nanos(took),
            generation: Generation(flight.generation),
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(&landing))) {
            discard(payload);
        }
    }
}

/// Four shards a core keep two callers of different keys apart; beyond 64 they only cost memory.
fn shards() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (4 * cores).next_power_of_two().clamp(8, 64)
}

/// Nanoseconds since the group was built, on tokio's clock, which tests can pause. A u64 holds 584 years of them.
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Never 0, which stands for "not yet".
    pub(crate) fn now(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.epoch);
        since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()) + 1
    }

    pub(crate) fn instant(&self, now: u64) -> Instant {
        self.epoch + Duration::from_nanos(now - 1)
    }
}

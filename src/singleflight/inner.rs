//! What the clones of a group share: its settings, its flights, and how one of them lands.

use super::circles::FlightId;
use super::error::{Error, discard};
use super::flight::Flight;
use super::outcome::{Ending, Generation, Landing, outcome_of};
use super::runtime::Rest;
use super::table::Table;
use std::hash::Hash;
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

/// A flight of a group.
pub(crate) type GroupFlight<K, V, E> = Flight<K, Ending<V, E>, Suspended>;

/// A load that was suspended.
pub(crate) struct Suspended {
    /// The span that it runs in, from its first poll to its last.
    pub(crate) span: Span,
    pub(crate) rest: Box<dyn Rest>,
}

/// A group's settings.
pub(crate) struct Config<K> {
    pub(crate) deadline: Duration,
    pub(crate) max_callers: u32,
    pub(crate) abort_when_abandoned: bool,
    pub(crate) on_landing: Option<Box<OnLanding<K>>>,
}

type OnLanding<K> = dyn Fn(&Landing<'_, K>) + Send + Sync;

/// The shared part of a group.
pub(crate) struct Inner<K, V, E> {
    id: u64,
    pub(crate) table: Table<K, Ending<V, E>, Suspended>,
    pub(crate) config: Config<K>,
    pub(crate) clock: Clock,
    /// Told of every landing once the group is draining.
    pub(crate) landings: Notify,
}

impl<K: Key, V: Shared, E: Shared> Inner<K, V, E> {
    pub(crate) fn new(config: Config<K>) -> Self {
        static GROUPS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: GROUPS.fetch_add(1, Ordering::Relaxed),
            table: Table::new(shards()),
            config,
            clock: Clock {
                epoch: Instant::now(),
            },
            landings: Notify::new(),
        }
    }

    /// The flight's id among the flights of all groups.
    pub(crate) fn id_of(&self, flight: &GroupFlight<K, V, E>) -> FlightId {
        FlightId {
            group: self.id,
            generation: flight.generation,
        }
    }

    /// Seals a flight and takes it out of the callers' reach; true if it was current.
    pub(crate) fn forget(&self, flight: &Arc<GroupFlight<K, V, E>>) -> bool {
        if !flight.is_current() {
            return false;
        }
        // A caller that finds no flight relies on the old load to write nothing more.
        flight.seal();
        self.table.forget(flight)
    }

    /// Lands a flight whose load goes on, and aborts that load; false if the flight had landed before.
    pub(crate) fn cut_short(&self, flight: &Arc<GroupFlight<K, V, E>>, error: Error<E>) -> bool {
        // The next load of this key must not be overtaken by this one.
        flight.seal();
        let has_landed = self.land(flight, &Some(Err(error)), false);
        if let Some(suspended) = flight.suspended_load() {
            suspended.rest.abort();
        }
        has_landed
    }

    /// Takes a flight out of the table, publishes its ending, wakes its callers and calls the hook; false if the flight
    /// had landed before. `its_leader` publishes nothing if it is the only caller.
    pub(crate) fn land(
        &self,
        flight: &Arc<GroupFlight<K, V, E>>,
        ending: &Ending<V, E>,
        its_leader: bool,
    ) -> bool {
        // The load may have given its `Loading` away, to a task that outlives it.
        if flight.has_loading() {
            flight.seal();
        }
        let is_told = self.config.on_landing.is_some();
        // First, so that no caller joins a flight whose outcome is known.
        let Some(removed) = self
            .table
            .remove(flight, outcome_of(ending), is_told || !its_leader)
        else {
            return false;
        };
        let is_alone = its_leader && flight.callers() == 1;
        if !is_alone {
            flight.note_landing(self.clock.now());
            flight.publish(ending.clone());
        }
        drop(removed);
        if is_told {
            self.tell(flight, ending);
        }
        if is_told || !is_alone {
            self.table.settle(flight);
        }
        if self.table.is_closed() {
            self.landings.notify_waiters();
        }
        true
    }

    fn tell(&self, flight: &GroupFlight<K, V, E>, ending: &Ending<V, E>) {
        let Some(hook) = &self.config.on_landing else {
            return;
        };
        let suspended_at = flight.suspended_at();
        let took = suspended_at.map_or(0, |at| flight.landed_at().saturating_sub(at));
        let landing = Landing {
            key: &flight.key,
            outcome: outcome_of(ending),
            panic: match ending {
                Some(Err(Error::Panicked(message))) => Some(message),
                _ => None,
            },
            callers: flight.callers(),
            took: Duration::from_nanos(took),
            generation: Generation(flight.generation),
            note: flight.note(),
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

//! What the clones of a group share, and the one way in which its flights begin and end.

use super::clock::Clock;
use super::driver::Driver;
use super::error::Error;
use super::kernel::{self, Boarding, Landed, Refused, Table, Ticket};
use super::landing::Landing;
use super::lineage::{self, FlightId, Wait};
use super::load::{self, Load};
use super::options::{CallOptions, Config, WhenAbandoned};
use super::outcome::{Ending, Generation, Outcome};
use super::watch;
use std::borrow::Borrow;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime;

/// A flight of a group.
pub(crate) type Craft<K, V, E> = kernel::Flight<K, Ending<V, E>, Load<V, E>>;

/// See the module.
pub(crate) struct Inner<K, V, E> {
    id: u64,
    pub(crate) table: Table<K, Ending<V, E>, Load<V, E>>,
    pub(crate) config: Config<K>,
    pub(crate) clock: Clock,
    /// Whether the watch is kept.
    pub(crate) watched: AtomicBool,
    /// Where the watch was begun, for loads that lose their leader outside any runtime.
    runtime: parking_lot::Mutex<Option<runtime::Handle>>,
    pub(crate) reentrant: AtomicU64,
    pub(crate) waited_too_long: AtomicU64,
    /// Told of every landing once the group is draining.
    pub(crate) landings: tokio::sync::Notify,
}

/// Where a caller is; a load that calls from inside its flight brings its own wait along.
pub(crate) enum Boarded<K, V, E> {
    Leader(Arc<Craft<K, V, E>>, Option<Box<Wait>>),
    Follower(Arc<Craft<K, V, E>>, Option<Box<Wait>>),
    Refused(Error<E>),
}

/// There is no runtime that could finish a load.
pub(crate) struct NoRuntime;

impl<K, V, E> Inner<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) fn new(config: Config<K>) -> Self {
        static GROUPS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: GROUPS.fetch_add(1, Ordering::Relaxed),
            table: Table::new(shards()),
            config,
            clock: Clock::start(),
            watched: AtomicBool::new(false),
            runtime: parking_lot::Mutex::new(None),
            reentrant: AtomicU64::new(0),
            waited_too_long: AtomicU64::new(0),
            landings: tokio::sync::Notify::new(),
        }
    }

    /// What this flight is called among those of all groups.
    pub(crate) fn id_of(&self, flight: &Craft<K, V, E>) -> FlightId {
        FlightId {
            group: self.id,
            generation: flight.generation,
        }
    }

    /// Finds the flight for `key` or begins one.
    pub(crate) fn board<Q>(&self, key: &Q, options: &CallOptions) -> Boarded<K, V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let load = lineage::polled();
        let mut wait = None;
        let boarding = self.table.board(key, &self.ticket(options), |flight| {
            let Some(load) = load else { return true };
            wait = Wait::begin(load, self.id_of(flight));
            wait.is_some()
        });
        match boarding {
            Boarding::Follower(flight) => Boarded::Follower(flight, wait),
            Boarding::Leader(flight) => {
                if self.config.on_landing.is_some() {
                    flight.depart(self.clock.now());
                }
                // Nothing waits for a flight this new, so that no circle can be closed.
                let wait = load.and_then(|load| Wait::begin(load, self.id_of(&flight)));
                Boarded::Leader(flight, wait)
            }
            Boarding::Refused(reason) => Boarded::Refused(self.refuse(reason)),
        }
    }

    fn ticket(&self, options: &CallOptions) -> Ticket {
        let age = |age: Duration| self.clock.now().saturating_sub(age.as_nanos() as u64);
        Ticket {
            max_callers: options.max_callers.unwrap_or(self.config.max_callers),
            finish: options.when_abandoned.unwrap_or(self.config.when_abandoned)
                == WhenAbandoned::Finish,
            not_before: options.max_join_age.map_or(0, age),
        }
    }

    fn refuse(&self, reason: Refused) -> Error<E> {
        match reason {
            Refused::Saturated => Error::Saturated,
            Refused::Closed => Error::Draining,
            Refused::Reentrant => {
                self.reentrant.fetch_add(1, Ordering::Relaxed);
                Error::Reentrant
            }
        }
    }

    /// Starts the flight's clock at its load's first suspension, and sees to it that somebody watches it.
    pub(crate) fn suspend(self: &Arc<Self>, flight: &Craft<K, V, E>) -> Result<(), NoRuntime> {
        if flight.departed_at().is_none() {
            flight.depart(self.clock.now());
        }
        if self.watched.load(Ordering::SeqCst) {
            return Ok(());
        }
        let runtime = self.runtime().ok_or(NoRuntime)?;
        if !self.watched.swap(true, Ordering::SeqCst) {
            *self.runtime.lock() = Some(runtime.clone());
            runtime.spawn(watch::keep(Arc::downgrade(self)));
        }
        Ok(())
    }

    /// The runtime of whoever asks, or else the watch's.
    pub(crate) fn runtime(&self) -> Option<runtime::Handle> {
        runtime::Handle::try_current()
            .ok()
            .or_else(|| self.runtime.lock().clone())
    }

    /// How long a round of the watch is: no deadline may fall into the round in which its flight began.
    pub(crate) fn round_length(&self) -> Duration {
        watch::ROUND.min(self.config.deadline / 2)
    }

    /// Gives a load a task of its own.
    pub(crate) fn detach(self: &Arc<Self>, flight: &Arc<Craft<K, V, E>>, load: Load<V, E>) {
        flight.detach();
        let driver = Driver {
            group: Arc::clone(self),
            flight: Arc::clone(flight),
            load: Some(load),
        };
        // Without a runtime the driver is dropped here, which ends the flight as aborted.
        if let Some(runtime) = self.runtime() {
            runtime.spawn(driver);
        }
    }

    /// Ends a flight for everyone aboard. Nothing happens, and false comes back, if it has ended before.
    pub(crate) fn land(&self, flight: &Arc<Craft<K, V, E>>, ending: Ending<V, E>) -> bool {
        let outcome = ending.outcome();
        let landed = self.table.land(flight, outcome as usize, ending, || {
            self.tell(flight, outcome)
        });
        let Some(Landed { parked }) = landed else {
            return false;
        };
        if let Some(load) = parked {
            load::discard(load);
        }
        self.tell_drain();
        true
    }

    /// Ends a flight whose leader drove it: see [`Table::land_own`].
    pub(crate) fn land_own(
        &self,
        flight: &Arc<Craft<K, V, E>>,
        ending: Ending<V, E>,
    ) -> Option<Ending<V, E>> {
        let outcome = ending.outcome();
        let ending = self.table.land_own(flight, outcome as usize, ending, || {
            self.tell(flight, outcome)
        })?;
        self.tell_drain();
        Some(ending)
    }

    /// Stops the flight's clock, if anybody was suspended on it, and calls the landing hook, if there is one.
    fn tell(&self, flight: &Craft<K, V, E>, outcome: Outcome) {
        if flight.departed_at().is_some() || flight.roster.joined() > 1 {
            flight.arrive(self.clock.now());
        }
        let Some(hook) = &self.config.on_landing else {
            return;
        };
        let took = flight
            .departed_at()
            .map_or(0, |at| flight.landed_at().saturating_sub(at));
        let landing = Landing {
            key: &flight.key,
            outcome,
            callers: flight.roster.joined(),
            took: Duration::from_nanos(took),
            generation: Generation(flight.generation),
        };
        // A panic here must not keep the outcome from those who wait for it.
        drop(catch_unwind(AssertUnwindSafe(|| hook(&landing))));
    }

    fn tell_drain(&self) {
        if self.table.is_closed() {
            self.landings.notify_waiters();
        }
    }
}

/// Four shards a core keep two callers of different keys apart; beyond 64 they only cost memory.
fn shards() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (4 * cores).next_power_of_two().clamp(8, 64)
}

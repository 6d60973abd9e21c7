//! The table of flights: which flight a caller is given, and who takes a flight out again.
//!
//! A shard's lock covers a look-up and a few counters. Of the user's code only the key's `Eq` and `Clone` run under it;
//! what leaves the table is handed out, so that keys and values are dropped outside.

use super::flight::Flight;
use super::stats::{Outcome, Stats};
use super::sync::{AtomicBool, AtomicU32, Mutex, Ordering};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ops::Add;
use std::sync::Arc;

/// Flights by key, in shards.
pub(crate) struct Table<K, T, R> {
    hasher: foldhash::fast::RandomState,
    shards: Box<[Shard<K, T, R>]>,
    closed: AtomicBool,
}

/// Two cache lines wide, so that neighbours do not share one (processors fetch lines in pairs).
#[repr(align(128))]
struct Shard<K, T, R> {
    flights: Mutex<Flights<K, T, R>>,
    /// Flights that have left the table, and whose callers or hook have not all been told yet.
    landing: AtomicU32,
}

struct Flights<K, T, R> {
    /// Current flights by the hash of their key, forgotten ones by a hash of their generation: many forgotten ones of one
    /// key would collide.
    table: HashTable<Arc<Flight<K, T, R>>>,
    last_generation: u64,
    /// What this shard has counted, but for the flights that are under way.
    stats: Stats,
}

/// Where a caller ends up.
pub(crate) enum Boarding<K, T, R> {
    /// On a new flight, whose load is this caller's to run.
    Leader(Arc<Flight<K, T, R>>),
    /// On a flight that is under way.
    Follower(Arc<Flight<K, T, R>>),
    /// On none.
    Refused(Refused),
}

/// Why a caller is on no flight.
pub(crate) enum Refused {
    /// The flight is full.
    Saturated,
    /// Waiting for this flight would close a circle.
    Reentrant,
    /// No new flights are begun any more.
    Closed,
}

/// A table that grew beyond this many flights gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 64;

impl<K: Eq + Hash + Clone, T: Clone, R> Table<K, T, R> {
    /// An empty table; `shards` is a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        debug_assert!(shards.is_power_of_two(), "the shard is chosen by a mask");
        let shard = |_| Shard {
            flights: Mutex::new(Flights {
                table: HashTable::new(),
                last_generation: 0,
                stats: Stats::default(),
            }),
            landing: AtomicU32::new(0),
        };
        Self {
            hasher: foldhash::fast::RandomState::default(),
            shards: (0..shards).map(shard).collect(),
            closed: AtomicBool::new(false),
        }
    }

    /// Finds the flight for `key` or begins one. `closes_no_circle` is asked under the lock before an
    /// existing one is joined.
    pub(crate) fn board<Q>(
        &self,
        key: &Q,
        most_callers: u32,
        closes_no_circle: impl FnOnce(&Flight<K, T, R>) -> bool,
    ) -> Boarding<K, T, R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let index = self.index(hash);
        let mut guard = self.shards[index].flights.lock();
        let flights = &mut *guard;
        match flights.table.entry(hash, is_for(key), place) {
            Entry::Vacant(entry) => {
                if self.closed.load(Ordering::Relaxed) {
                    return Boarding::Refused(Refused::Closed);
                }
                flights.last_generation += 1;
                // A key stays in its shard, so numbers that rise within each shard and differ between them will do.
                let generation = flights.last_generation * self.shards.len() as u64 + index as u64;
                let flight = Arc::new(Flight::new(key.to_owned(), hash, generation));
                flights.stats.flights += 1;
                entry.insert(Arc::clone(&flight));
                Boarding::Leader(flight)
            }
            Entry::Occupied(entry) => {
                let flight = entry.get();
                if !closes_no_circle(flight) {
                    flights.stats.reentrant += 1;
                    return Boarding::Refused(Refused::Reentrant);
                }
                if !flight.join(most_callers) {
                    flights.stats.saturated += 1;
                    return Boarding::Refused(Refused::Saturated);
                }
                flights.stats.joins += 1;
                Boarding::Follower(Arc::clone(flight))
            }
        }
    }

    /// Takes out exactly this flight, so that no caller can join it any more; none if it was taken out before. If it is
    /// `to_be_settled`, or has followers, it counts as unsettled until [`Table::settle`] is called.
    pub(crate) fn remove(
        &self,
        flight: &Arc<Flight<K, T, R>>,
        outcome: Outcome,
        to_be_settled: bool,
    ) -> Option<Arc<Flight<K, T, R>>> {
        let shard = &self.shards[self.index(flight.hash)];
        let mut flights = shard.flights.lock();
        let entry = flights.take(flight)?;
        entry.current.store(false, Ordering::Release);
        flights.stats.count(outcome);
        if to_be_settled || flight.callers() > 1 {
            shard.landing.fetch_add(1, Ordering::Relaxed);
        }
        Some(entry)
    }

    /// Notes that callers and hook have been told of a flight that was removed.
    pub(crate) fn settle(&self, flight: &Flight<K, T, R>) {
        let shard = &self.shards[self.index(flight.hash)];
        shard.landing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Takes a caller off a flight. True if it was the last, and `abort` is set: then no caller can join the flight any
    /// more, and its load writes nothing back.
    pub(crate) fn leave(&self, flight: &Arc<Flight<K, T, R>>, abort: bool) -> bool {
        let shard = &self.shards[self.index(flight.hash)];
        let mut flights = shard.flights.lock();
        if !flight.leave() || !abort {
            return false;
        }
        if !flight.try_seal() {
            // The load writes at this moment. Another caller may join meanwhile, and gets a result.
            drop(flights);
            flight.seal();
            flights = shard.flights.lock();
        }
        let is_abandoned = flight.is_abandoned();
        if is_abandoned {
            flights.hide(flight);
        }
        is_abandoned
    }

    /// Lets a flight go on for those on it only; true if it was current.
    pub(crate) fn forget(&self, flight: &Arc<Flight<K, T, R>>) -> bool {
        let mut flights = self.shards[self.index(flight.hash)].flights.lock();
        let is_current = flight.is_current();
        if is_current {
            flights.hide(flight);
            flights.stats.forgotten += 1;
        }
        is_current
    }

    /// The flight that a caller for `key` would join.
    pub(crate) fn find<Q>(&self, key: &Q) -> Option<Arc<Flight<K, T, R>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let flights = self.shards[self.index(hash)].flights.lock();
        flights.table.find(hash, is_for(key)).cloned()
    }

    /// Every flight that has not landed, forgotten ones included.
    pub(crate) fn all(&self) -> Vec<Arc<Flight<K, T, R>>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.flights.lock().table.iter().cloned());
        }
        all
    }

    /// Counts something that happened to a flight.
    pub(crate) fn count(&self, flight: &Flight<K, T, R>, counter: impl Fn(&mut Stats) -> &mut u64) {
        let shard = &self.shards[self.index(flight.hash)];
        *counter(&mut shard.flights.lock().stats) += 1;
    }

    /// What all shards have counted together.
    pub(crate) fn stats(&self) -> Stats {
        let of = |shard: &Shard<K, T, R>| {
            let flights = shard.flights.lock();
            Stats {
                in_flight: flights.table.len(),
                ..flights.stats
            }
        };
        self.shards
            .iter()
            .map(of)
            .fold(Stats::default(), Stats::add)
    }

    /// Begins no new flights from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether new flights are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// How many flights are under way, or have landed but their callers or hook have not been told yet.
    pub(crate) fn unsettled(&self) -> usize {
        let of = |shard: &Shard<K, T, R>| {
            // A flight that leaves the table begins to land under the same lock.
            let flights = shard.flights.lock();
            flights.table.len() + shard.landing.load(Ordering::SeqCst) as usize
        };
        self.shards.iter().map(of).sum()
    }

    /// The low bits of a hash choose the bucket and the highest seven its tag, so the shard is taken from between.
    fn index(&self, hash: u64) -> usize {
        (hash >> 40) as usize & (self.shards.len() - 1)
    }
}

impl<K, T: Clone, R> Flights<K, T, R> {
    /// Takes this flight out, and no other one of its key.
    fn take(&mut self, flight: &Arc<Flight<K, T, R>>) -> Option<Arc<Flight<K, T, R>>> {
        let same = |entry: &Arc<Flight<K, T, R>>| Arc::ptr_eq(entry, flight);
        let (entry, _) = self.table.find_entry(place(flight), same).ok()?.remove();
        if self.table.is_empty() && self.table.capacity() > KEPT_CAPACITY {
            self.table = HashTable::new();
        }
        Some(entry)
    }

    /// Keeps callers from finding this flight.
    fn hide(&mut self, flight: &Arc<Flight<K, T, R>>) {
        if let Some(entry) = self.take(flight) {
            entry.current.store(false, Ordering::Release);
            self.table.insert_unique(place(&entry), entry, place);
        }
    }
}

/// Where a flight is kept: see [`Flights::table`].
fn place<K, T: Clone, R>(flight: &Arc<Flight<K, T, R>>) -> u64 {
    if flight.is_current() {
        flight.hash
    } else {
        flight.generation.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

fn is_for<'a, Q, K, T, R>(key: &'a Q) -> impl Fn(&Arc<Flight<K, T, R>>) -> bool + 'a
where
    K: Borrow<Q>,
    T: Clone,
    Q: Eq + ?Sized,
{
    move |flight| flight.is_current() && flight.key.borrow() == key
}

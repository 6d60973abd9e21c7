//! The table of flights: which flight a caller is given, and who takes a flight out again. Looking at flights and
//! forgetting them have files of their own.
//!
//! A shard's lock covers a probe and a few counters. Of the user's code only the key's `Eq` and `Clone` run under it; an
//! entry that leaves is handed out, so that keys and values are dropped outside.

use super::super::sync::{AtomicBool, Mutex, Ordering};
use super::flight::Flight;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Flights by key, in shards.
pub(crate) struct Table<K, T, L> {
    pub(super) hasher: foldhash::fast::RandomState,
    pub(super) shards: Box<[Shard<K, T, L>]>,
    closed: AtomicBool,
}

/// Two cache lines wide, so that neighbours do not share one (processors fetch lines in pairs).
#[repr(align(128))]
pub(super) struct Shard<K, T, L>(pub(super) Mutex<Hangar<K, T, L>>);

pub(super) struct Hangar<K, T, L> {
    pub(super) flights: HashTable<Arc<Flight<K, T, L>>>,
    /// Flights that were forgotten or superseded and have not landed: no caller finds them, the watch must.
    pub(super) strays: Vec<Arc<Flight<K, T, L>>>,
    last_generation: u64,
    pub(super) tallies: Tallies,
}

/// What a shard has counted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tallies {
    pub(crate) flights: u64,
    pub(crate) joins: u64,
    pub(crate) saturated: u64,
    pub(crate) forgotten: u64,
    /// Flights ended, by the number their way of ending has.
    pub(crate) landings: [u64; WAYS_TO_LAND],
    pub(crate) in_flight: usize,
}

/// A caller's wishes at boarding.
pub(crate) struct Ticket {
    pub(crate) max_callers: u32,
    pub(crate) finish: bool,
    /// A flight that departed before this is too old to be joined.
    pub(crate) not_before: u64,
}

/// Where a caller ends up.
pub(crate) enum Boarding<K, T, L> {
    /// At the head of a new flight, which it has to load.
    Leader(Arc<Flight<K, T, L>>),
    /// On a flight that somebody else loads.
    Follower(Arc<Flight<K, T, L>>),
    /// Nowhere.
    Refused(Refused),
}

/// Why a caller is not let aboard.
pub(crate) enum Refused {
    /// The flight is full.
    Saturated,
    /// Waiting for this flight would close a circle.
    Reentrant,
    /// No new flights are accepted any more.
    Closed,
}

/// How many ways of ending are told apart.
pub(crate) const WAYS_TO_LAND: usize = 5;

/// Tables that grew beyond this many entries give their memory back when they are empty.
const KEPT_CAPACITY: usize = 64;

impl<K: Eq + Hash + Clone, T: Clone, L> Table<K, T, L> {
    /// An empty table; `shards` is a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        debug_assert!(shards.is_power_of_two(), "the shard is chosen by a mask");
        let hangar = || Hangar {
            flights: HashTable::new(),
            strays: Vec::new(),
            last_generation: 0,
            tallies: Tallies::default(),
        };
        Self {
            hasher: foldhash::fast::RandomState::default(),
            shards: (0..shards).map(|_| Shard(Mutex::new(hangar()))).collect(),
            closed: AtomicBool::new(false),
        }
    }

    /// Finds the flight for `key` or begins one; `admit` is asked, under the lock, before an existing one is joined.
    pub(crate) fn board<Q>(
        &self,
        key: &Q,
        ticket: &Ticket,
        admit: impl FnOnce(&Flight<K, T, L>) -> bool,
    ) -> Boarding<K, T, L>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let index = self.shard_of(hash);
        let mut guard = self.shards[index].0.lock();
        let hangar = &mut *guard;
        let mut entry = match hangar.flights.entry(
            hash,
            |flight| flight.key.borrow() == key,
            |flight| flight.hash,
        ) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                if self.closed.load(Ordering::Relaxed) {
                    return Boarding::Refused(Refused::Closed);
                }
                let generation = hangar.last_generation + 1;
                let number = self.number(generation, index);
                let flight = Arc::new(Flight::new(key.to_owned(), hash, number, ticket.finish));
                hangar.last_generation = generation;
                hangar.tallies.flights += 1;
                entry.insert(Arc::clone(&flight));
                return Boarding::Leader(flight);
            }
        };
        let flight = entry.get();
        if flight
            .departed_at()
            .is_some_and(|at| at < ticket.not_before)
            && !self.closed.load(Ordering::Relaxed)
        {
            let number = self.number(hangar.last_generation + 1, index);
            let newer = Arc::new(Flight::new(key.to_owned(), hash, number, ticket.finish));
            hangar.last_generation += 1;
            hangar.tallies.flights += 1;
            let older = std::mem::replace(entry.get_mut(), Arc::clone(&newer));
            hangar.stray(older);
            return Boarding::Leader(newer);
        }
        if !admit(flight) {
            return Boarding::Refused(Refused::Reentrant);
        }
        if !flight.roster.join(ticket.max_callers, ticket.finish) {
            hangar.tallies.saturated += 1;
            return Boarding::Refused(Refused::Saturated);
        }
        hangar.tallies.joins += 1;
        Boarding::Follower(Arc::clone(flight))
    }

    /// Takes exactly this flight out, wherever it is kept; `None` if somebody else has landed it before. Whoever gets
    /// `Some` (the table's own reference, to be dropped outside the lock) is the one to publish.
    pub(super) fn remove(
        &self,
        flight: &Arc<Flight<K, T, L>>,
        way: usize,
    ) -> Option<Arc<Flight<K, T, L>>> {
        let mut hangar = self.shards[self.shard_of(flight.hash)].0.lock();
        let entry = hangar.take(flight)?;
        entry.current.store(false, Ordering::Release);
        hangar.tallies.landings[way] += 1;
        hangar.give_back();
        Some(entry)
    }

    /// Takes a caller off a flight; true if that abandons it, in which case nobody can join it any more and it is to be
    /// landed.
    pub(crate) fn leave(&self, flight: &Arc<Flight<K, T, L>>) -> bool {
        let mut hangar = self.shards[self.shard_of(flight.hash)].0.lock();
        let abandoned = flight.roster.leave();
        if abandoned && let Some(entry) = hangar.take(flight) {
            entry.current.store(false, Ordering::Release);
            hangar.strays.push(entry);
        }
        abandoned
    }

    /// Refuses new flights from now on. A survey that begins after this sees every flight there will ever be.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether new flights are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The low bits choose the bucket and the highest seven its tag, so the shard is taken from between.
    pub(super) fn shard_of(&self, hash: u64) -> usize {
        (hash >> 40) as usize & (self.shards.len() - 1)
    }

    /// A key never changes its shard, so a number that rises within each shard and differs between them will do.
    fn number(&self, generation: u64, shard: usize) -> u64 {
        generation * self.shards.len() as u64 + shard as u64
    }
}

impl<K, T, L> Hangar<K, T, L> {
    /// Gives back the memory of a rush that is over.
    fn give_back(&mut self) {
        if self.flights.is_empty() && self.flights.capacity() > KEPT_CAPACITY {
            self.flights = HashTable::new();
        }
        if self.strays.is_empty() && self.strays.capacity() > KEPT_CAPACITY {
            self.strays = Vec::new();
        }
    }

    /// Takes this flight out, and no other one of its key.
    fn take(&mut self, flight: &Arc<Flight<K, T, L>>) -> Option<Arc<Flight<K, T, L>>> {
        let same = |entry: &Arc<Flight<K, T, L>>| Arc::ptr_eq(entry, flight);
        if let Ok(found) = self.flights.find_entry(flight.hash, same) {
            return Some(found.remove().0);
        }
        self.strays
            .iter()
            .position(same)
            .map(|at| self.strays.swap_remove(at))
    }

    pub(super) fn stray(&mut self, flight: Arc<Flight<K, T, L>>) {
        flight.current.store(false, Ordering::Release);
        self.tallies.forgotten += 1;
        self.strays.push(flight);
    }
}

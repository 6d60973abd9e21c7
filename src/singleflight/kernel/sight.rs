//! Looking at the table: one flight, all of them, and what has been counted.

use super::flight::Flight;
use super::table::{Table, Tallies};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

impl<K: Eq + Hash + Clone, T: Clone, L> Table<K, T, L> {
    /// The flight a caller for `key` would join.
    pub(crate) fn find<Q>(&self, key: &Q) -> Option<Arc<Flight<K, T, L>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let hangar = self.shards[self.shard_of(hash)].0.lock();
        hangar
            .flights
            .find(hash, |flight| flight.key.borrow() == key)
            .cloned()
    }

    /// Hands every flight that has not landed to `look`, under the lock of its shard.
    pub(crate) fn survey(&self, mut look: impl FnMut(&Arc<Flight<K, T, L>>)) {
        for shard in &self.shards {
            let hangar = shard.0.lock();
            hangar
                .flights
                .iter()
                .chain(&hangar.strays)
                .for_each(&mut look);
        }
    }

    /// What all shards have counted together.
    pub(crate) fn tallies(&self) -> Tallies {
        self.shards.iter().fold(Tallies::default(), |sum, shard| {
            let hangar = shard.0.lock();
            let of = &hangar.tallies;
            Tallies {
                flights: sum.flights + of.flights,
                joins: sum.joins + of.joins,
                saturated: sum.saturated + of.saturated,
                forgotten: sum.forgotten + of.forgotten,
                landings: std::array::from_fn(|way| sum.landings[way] + of.landings[way]),
                in_flight: sum.in_flight + hangar.flights.len() + hangar.strays.len(),
            }
        })
    }
}

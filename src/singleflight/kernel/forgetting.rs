//! Forgetting: a flight that no caller finds any more, while those aboard fly on.

use super::flight::Flight;
use super::table::{Shard, Table};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

impl<K: Eq + Hash + Clone, T: Clone, L> Table<K, T, L> {
    /// Lets the flight of `key` go astray, if there is one and `wanted` agrees: it flies on for those aboard, and the
    /// next caller begins another.
    pub(crate) fn forget<Q>(
        &self,
        key: &Q,
        wanted: impl FnOnce(&Flight<K, T, L>) -> bool,
    ) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut guard = self.shards[self.shard_of(hash)].0.lock();
        let hangar = &mut *guard;
        let found = hangar
            .flights
            .find_entry(hash, |flight| flight.key.borrow() == key)
            .ok()?;
        if !wanted(found.get()) {
            return None;
        }
        let flight = found.remove().0;
        let generation = flight.generation;
        hangar.stray(flight);
        Some(generation)
    }

    /// Lets every flight go astray and says how many.
    pub(crate) fn forget_all(&self) -> usize {
        let forget = |shard: &Shard<K, T, L>| {
            let mut hangar = shard.0.lock();
            let flights = std::mem::take(&mut hangar.flights);
            let count = flights.len();
            flights.into_iter().for_each(|flight| hangar.stray(flight));
            count
        };
        self.shards.iter().map(forget).sum()
    }
}

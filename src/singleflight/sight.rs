//! What can be seen of a group from outside: the flights in the air, and the sums.

use super::group::Group;
use super::inner::Craft;
use super::landing::{InFlight, Stats};
use super::outcome::{Generation, Outcome};
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl<K, V, E> Group<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The flight a caller for `key` would join.
    pub fn peek<Q>(&self, key: &Q) -> Option<InFlight<K>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner
            .table
            .find(key)
            .map(|flight| self.describe(&flight))
    }

    /// Every flight in the air, forgotten ones included, in no order.
    pub fn flights(&self) -> Vec<InFlight<K>> {
        let mut flights = Vec::new();
        self.inner
            .table
            .survey(|flight| flights.push(Arc::clone(flight)));
        flights.iter().map(|flight| self.describe(flight)).collect()
    }

    /// How many flights are in the air, forgotten ones included.
    pub fn in_flight(&self) -> usize {
        self.inner.table.tallies().in_flight
    }

    /// What the group has counted so far.
    pub fn stats(&self) -> Stats {
        let tallies = self.inner.table.tallies();
        let landed = |outcome: Outcome| tallies.landings[outcome as usize];
        Stats {
            flights: tallies.flights,
            joins: tallies.joins,
            ok: landed(Outcome::Ok),
            errors: landed(Outcome::Error),
            panics: landed(Outcome::Panic),
            timeouts: landed(Outcome::Timeout),
            aborted: landed(Outcome::Aborted),
            in_flight: tallies.in_flight,
            saturated: tallies.saturated,
            reentrant: self.inner.reentrant.load(Ordering::Relaxed),
            waited_too_long: self.inner.waited_too_long.load(Ordering::Relaxed),
            forgotten: tallies.forgotten,
        }
    }

    fn describe(&self, flight: &Craft<K, V, E>) -> InFlight<K> {
        let age = flight
            .departed_at()
            .map_or(0, |at| self.inner.clock.now().saturating_sub(at));
        InFlight {
            key: flight.key.clone(),
            age: Duration::from_nanos(age),
            callers: flight.roster.joined(),
            generation: Generation(flight.generation),
            current: flight.is_current(),
        }
    }
}

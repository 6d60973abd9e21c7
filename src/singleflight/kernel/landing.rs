//! The end of a flight, in its only order: out of the table, then told, then published.
//!
//! A caller that has seen the outcome and asks again must not find the same flight; and whoever did not take the flight
//! out of the table itself has nothing to publish.

use super::flight::Flight;
use super::table::Table;
use std::hash::Hash;
use std::sync::Arc;

/// A flight that has just landed.
pub(crate) struct Landed<L> {
    /// The load, if it was still parked: to be dropped.
    pub(crate) parked: Option<L>,
}

impl<K: Eq + Hash + Clone, T: Clone, L> Table<K, T, L> {
    /// Lands a flight, in one of the ways that are counted. `None` if it has landed before.
    pub(crate) fn land(
        &self,
        flight: &Arc<Flight<K, T, L>>,
        way: usize,
        outcome: T,
        told: impl FnOnce(),
    ) -> Option<Landed<L>> {
        let _entry = self.remove(flight, way)?;
        told();
        Some(Landed {
            parked: flight.publish(outcome),
        })
    }

    /// Lands a flight whose leader holds its load, and hands the outcome back to it. `None` if it has landed before, in
    /// which case the leader has to wait for what somebody else publishes.
    pub(crate) fn land_own(
        &self,
        flight: &Arc<Flight<K, T, L>>,
        way: usize,
        outcome: T,
        told: impl FnOnce(),
    ) -> Option<T> {
        let _entry = self.remove(flight, way)?;
        told();
        // Out of the table nobody can join any more, so that a leader which is alone stays so.
        if flight.roster.joined() > 1 {
            flight.publish(outcome.clone());
        }
        Some(outcome)
    }
}

//! Which loads wait for which: finds the call that would make a load wait for itself.
//!
//! A thread knows the load it is polling. A call made from there is an edge "that load waits for this flight"; an edge
//! that would close a circle is refused, whichever groups the flights belong to. Calls from outside a loader, nearly
//! all of them, cost one look at a thread-local. A loader that hands its call to another task escapes the search, and
//! then the deadline is what ends the circle.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A flight among those of all groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlightId {
    pub(crate) group: u64,
    pub(crate) generation: u64,
}

thread_local! {
    static POLLED: Cell<Option<FlightId>> = const { Cell::new(None) };
}

/// The waits of loads for flights. Its lock may be taken while a shard's is held, and nothing is locked under it.
static WAITS: Mutex<BTreeMap<FlightId, Vec<FlightId>>> = Mutex::new(BTreeMap::new());

/// The load this thread is polling.
pub(crate) fn polled() -> Option<FlightId> {
    POLLED.with(Cell::get)
}

/// For as long as it lives, this thread polls the load of one flight.
pub(crate) struct Polling {
    outer: Option<FlightId>,
}

impl Polling {
    pub(crate) fn of(flight: FlightId) -> Self {
        Self {
            outer: POLLED.with(|polled| polled.replace(Some(flight))),
        }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        POLLED.with(|polled| polled.set(self.outer));
    }
}

/// For as long as it lives, one load waits for one flight.
pub(crate) struct Wait {
    from: FlightId,
    to: FlightId,
}

impl Wait {
    /// Records the wait, or refuses one that would close a circle. In a box, because nearly every caller has none.
    pub(crate) fn begin(from: FlightId, to: FlightId) -> Option<Box<Self>> {
        let mut waits = lock_waits();
        if reaches(&waits, to, from) {
            return None;
        }
        waits.entry(from).or_default().push(to);
        Some(Box::new(Self { from, to }))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = lock_waits();
        let Some(targets) = waits.get_mut(&self.from) else {
            return;
        };
        if let Some(at) = targets.iter().position(|target| *target == self.to) {
            targets.swap_remove(at);
        }
        if targets.is_empty() {
            waits.remove(&self.from);
        }
    }
}

fn reaches(waits: &BTreeMap<FlightId, Vec<FlightId>>, from: FlightId, goal: FlightId) -> bool {
    let mut seen = Vec::new();
    let mut ahead = vec![from];
    while let Some(flight) = ahead.pop() {
        if flight == goal {
            return true;
        }
        if !seen.contains(&flight) {
            seen.push(flight);
            ahead.extend(waits.get(&flight).into_iter().flatten());
        }
    }
    false
}

fn lock_waits() -> MutexGuard<'static, BTreeMap<FlightId, Vec<FlightId>>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Loads that wait for loads, so that one that would wait for itself is refused instead.
//!
//! While a thread polls a load, a call from inside is a wait of that load for another flight. All such waits, of all
//! groups, are edges of one graph, and a wait that would close a circle is refused. Nearly no load waits for another, so
//! one lock for the graph is enough. A loader that passes its question to another task is not seen; the deadline ends
//! such a circle.

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

/// Which flights each load waits for. Taken while a shard is locked; nothing is locked under it.
static WAITS: Mutex<BTreeMap<FlightId, Vec<FlightId>>> = Mutex::new(BTreeMap::new());

/// The load that this thread polls.
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
    /// The load that waits.
    pub(crate) fn from(&self) -> FlightId {
        self.from
    }

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
    let (mut seen, mut ahead) = (Vec::new(), vec![from]);
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

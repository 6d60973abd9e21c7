//! One flight: its outcome, who waits for it, and its load while nobody polls it.
//!
//! Which flight belongs to which key is the table's business; what a load is and who polls it, the pilot's.
//!
//! The load lives in the cabin whenever it is not in somebody's hands. That is what makes a leader dispensable: whoever
//! finds the load parked can take it over, and whoever ends the flight early can drop it.

use super::super::sync::{AtomicBool, AtomicU64, Mutex, OnceLock, Ordering};
use super::roster::Roster;
use super::waiters::{SlotIndex, Waiters};
use std::task::{Context, Poll, Waker};

/// A load `L` in flight for `key`, ending in a `T`.
pub(crate) struct Flight<K, T, L> {
    pub(crate) key: K,
    pub(crate) hash: u64,
    /// Unique in its table, and rising for any one key.
    pub(crate) generation: u64,
    pub(crate) roster: Roster,
    /// Whether the table would hand this flight to the next caller; written under the shard's lock.
    pub(super) current: AtomicBool,
    /// When the flight's clock was started; 0 as long as it was not.
    departed_at: AtomicU64,
    /// When the flight landed; 0 before.
    landed_at: AtomicU64,
    /// Whether the load has left its leader, or is about to, for a task of its own; written under the cabin's lock.
    detached: AtomicBool,
    outcome: OnceLock<T>,
    cabin: Mutex<Cabin<L>>,
}

struct Cabin<L> {
    landed: bool,
    /// Whoever holds the load is to give it away at its next suspension.
    relief: bool,
    waiters: Waiters,
    parked: Option<Parked<L>>,
}

/// A suspended load, and whom it wakes. Both leave the cabin together, so that neither is dropped under its lock.
pub(crate) struct Parked<L> {
    pub(crate) load: L,
    pub(crate) driver: Waker,
}

/// What comes of parking a load.
pub(crate) enum Leg<L> {
    /// It waits in the cabin for its driver's waker.
    Parked,
    /// Its driver has been relieved and is to give the load a task of its own.
    Relieved(L),
    /// The flight has ended meanwhile; the load is to be dropped.
    Overtaken(L),
}

impl<K, T: Clone, L> Flight<K, T, L> {
    pub(super) fn new(key: K, hash: u64, generation: u64, finish: bool) -> Self {
        Self {
            key,
            hash,
            generation,
            roster: Roster::new(finish),
            current: AtomicBool::new(true),
            departed_at: AtomicU64::new(0),
            landed_at: AtomicU64::new(0),
            detached: AtomicBool::new(false),
            outcome: OnceLock::new(),
            cabin: Mutex::new(Cabin {
                landed: false,
                relief: false,
                waiters: Waiters::default(),
                parked: None,
            }),
        }
    }

    /// Whether a new caller would still be given this flight.
    pub(crate) fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire)
    }

    /// When the flight's clock was started, if it was.
    pub(crate) fn departed_at(&self) -> Option<u64> {
        Some(self.departed_at.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// Starts the flight's clock, from which its age and its deadline count; `now` is not 0.
    pub(crate) fn depart(&self, now: u64) {
        self.departed_at.store(now, Ordering::Relaxed);
    }

    /// When the flight landed, for those who have its outcome.
    pub(crate) fn landed_at(&self) -> u64 {
        self.landed_at.load(Ordering::Relaxed)
    }

    /// Stops the flight's clock, before the outcome is published.
    pub(crate) fn arrive(&self, now: u64) {
        self.landed_at.store(now, Ordering::Relaxed);
    }

    /// Whether the load has a task of its own, or is about to.
    pub(crate) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Relaxed)
    }

    /// Whether the flight has an outcome.
    pub(crate) fn has_landed(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// The outcome, once the flight has landed.
    pub(crate) fn outcome(&self) -> Option<T> {
        self.outcome.get().cloned()
    }

    /// Waits for the landing, keeping the caller's waker in `slot` meanwhile.
    pub(crate) fn poll_landed(
        &self,
        cx: &mut Context<'_>,
        slot: &mut Option<SlotIndex>,
    ) -> Poll<T> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        let waker = cx.waker().clone();
        match self.wait(slot, waker) {
            Ok(displaced) => {
                drop(displaced);
                Poll::Pending
            }
            Err(_unused) => Poll::Ready(
                self.outcome()
                    .expect("the outcome is set before the cabin is marked landed"),
            ),
        }
    }

    /// Looks for the landing and registers the waker under one lock: a landing between the two would wake nobody.
    fn wait(&self, slot: &mut Option<SlotIndex>, waker: Waker) -> Result<Option<Waker>, Waker> {
        let mut cabin = self.cabin.lock();
        if cabin.landed {
            return Err(waker);
        }
        Ok(cabin.waiters.keep(slot, waker))
    }

    /// Gives up the slot of a caller that waits no longer.
    pub(crate) fn unwait(&self, slot: SlotIndex) {
        let waker = self.cabin.lock().waiters.release(slot);
        drop(waker);
    }

    /// Takes the parked load for the task it has of its own.
    pub(crate) fn claim(&self) -> Option<Parked<L>> {
        self.cabin.lock().parked.take()
    }

    /// Takes the parked load for the leader, unless the leader has been relieved of it.
    pub(crate) fn claim_as_leader(&self) -> Option<Parked<L>> {
        let mut cabin = self.cabin.lock();
        if self.is_detached() {
            return None;
        }
        cabin.parked.take()
    }

    /// Relieves the leader: takes a load that is parked, and has one that is being polled given away afterwards.
    pub(crate) fn relieve(&self) -> Option<Parked<L>> {
        let mut cabin = self.cabin.lock();
        if cabin.landed || self.is_detached() {
            return None;
        }
        self.detached.store(true, Ordering::Relaxed);
        cabin.relief = cabin.parked.is_none();
        cabin.parked.take()
    }

    /// Notes that the load, which the caller holds, gets a task of its own; nobody needs to be relieved of it any more.
    pub(crate) fn detach(&self) {
        let mut cabin = self.cabin.lock();
        self.detached.store(true, Ordering::Relaxed);
        cabin.relief = false;
    }

    /// Puts a suspended load back, to be claimed when `driver` has been woken.
    pub(crate) fn park(&self, load: L, driver: Waker) -> Leg<L> {
        let mut cabin = self.cabin.lock();
        if cabin.landed {
            return Leg::Overtaken(load);
        }
        if std::mem::take(&mut cabin.relief) {
            return Leg::Relieved(load);
        }
        cabin.parked = Some(Parked { load, driver });
        Leg::Parked
    }

    /// Publishes the outcome and wakes everyone. Only whoever took the flight out of the table may call this, once, and
    /// only afterwards: a caller that sees the outcome and asks again must not be given the same flight.
    /// A load that was still parked is handed back, to be dropped.
    pub(crate) fn publish(&self, outcome: T) -> Option<L> {
        let first = self.outcome.set(outcome).is_ok();
        debug_assert!(first, "a flight lands once");
        let (waiters, parked) = {
            let mut cabin = self.cabin.lock();
            cabin.landed = true;
            (cabin.waiters.take_all(), cabin.parked.take())
        };
        waiters.for_each(Waker::wake);
        parked.map(|Parked { load, driver }| {
            driver.wake();
            load
        })
    }
}

//! A caller aboard a flight: waiting for its end, driving its load as long as that is this caller's, and getting off.
//!
//! Boarding belongs to the calls themselves; what a flight is, to the kernel.

use super::error::Error;
use super::inner::{Craft, Inner};
use super::kernel::{Leg, Parked, SlotIndex};
use super::lineage::Wait;
use super::load::{self, Load};
use super::outcome::{Ending, Generation, Report, Ride, Role};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// A caller that was suspended aboard.
pub(crate) struct Passenger<K, V, E> {
    pub(crate) flight: Arc<Craft<K, V, E>>,
    pub(crate) role: Role,
    /// Whether the load is this caller's to poll, unless it has been relieved meanwhile.
    pub(crate) driving: bool,
    pub(crate) boarded_at: u64,
    pub(crate) slot: Option<SlotIndex>,
    /// If the caller is itself a load: its wait for this flight.
    pub(crate) wait: Option<Box<Wait>>,
}

impl<K, V, E> Passenger<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Drives the load or waits for whoever does.
    pub(crate) fn poll(
        &mut self,
        group: &Arc<Inner<K, V, E>>,
        cx: &mut Context<'_>,
    ) -> Poll<Report<V, E>> {
        let ending = match self.drive(group, cx) {
            Some(driven) => ready!(driven),
            None => ready!(self.flight.poll_landed(cx, &mut self.slot)),
        };
        Poll::Ready(self.report(ending))
    }

    /// One leg in the leader's own task; `None` if the load is not, or no longer, this caller's.
    fn drive(
        &mut self,
        group: &Arc<Inner<K, V, E>>,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Ending<V, E>>> {
        if !self.driving {
            return None;
        }
        let Some(Parked { load, mut driver }) = self.flight.claim_as_leader() else {
            self.driving = false;
            return None;
        };
        match load::advance(group.id_of(&self.flight), load, cx) {
            Ok(ending) => {
                let own = group.land_own(&self.flight, ending);
                self.driving = own.is_some();
                own.map(Poll::Ready)
            }
            Err(load) => {
                // Without a clone, nearly always: the task is the one it was.
                driver.clone_from(cx.waker());
                self.park(group, load, driver);
                self.driving.then_some(Poll::Pending)
            }
        }
    }

    /// Leaves a suspended load where it can be taken over.
    pub(crate) fn park(&mut self, group: &Arc<Inner<K, V, E>>, load: Load<V, E>, driver: Waker) {
        match self.flight.park(load, driver) {
            Leg::Parked => return,
            Leg::Relieved(load) => group.detach(&self.flight, load),
            Leg::Overtaken(load) => drop(load::discard(load)),
        }
        self.driving = false;
    }

    fn ride(&self, until: u64) -> Ride {
        Ride {
            role: self.role,
            callers: self.flight.roster.joined(),
            generation: Generation(self.flight.generation),
            waited: Duration::from_nanos(until.saturating_sub(self.boarded_at)),
        }
    }

    /// What the caller is told: it has waited until the landing, however long its task then took to come round.
    fn report(&self, ending: Ending<V, E>) -> Report<V, E> {
        let ride = Some(self.ride(self.flight.landed_at()));
        Report {
            result: ending.into_result(),
            ride,
        }
    }

    /// Gets off because the caller's own patience has run out.
    pub(crate) fn give_up(self, group: &Arc<Inner<K, V, E>>) -> Report<V, E> {
        group.waited_too_long.fetch_add(1, Ordering::Relaxed);
        let ride = Some(self.ride(group.clock.now()));
        self.leave(group);
        Report {
            result: Err(Error::WaitedTooLong),
            ride,
        }
    }

    /// Gets off before the end. A load this caller was driving gets a task of its own, unless it is to be abandoned.
    pub(crate) fn leave(self, group: &Arc<Inner<K, V, E>>) {
        if let Some(slot) = self.slot {
            self.flight.unwait(slot);
        }
        if self.flight.has_landed() {
            return;
        }
        if group.table.leave(&self.flight) {
            group.land(&self.flight, Ending::Aborted);
        } else if self.driving
            && let Some(Parked { load, .. }) = self.flight.claim_as_leader()
        {
            group.detach(&self.flight, load);
        }
    }
}

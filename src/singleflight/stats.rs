//! What can be seen of a group: each flight when it lands, those under way, and the sums; and the drain, which waits
//! until nothing is left to be seen.

use super::group::{Group, GroupFlight, Inner, Key, Shared};
use super::outcome::{Ending, Generation, Outcome};
use super::runtime::Timer;
use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// A flight that has just landed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Landing<'a, K> {
    /// What was loaded.
    pub key: &'a K,
    /// How it ended.
    pub outcome: Outcome,
    /// What the load panicked with, if it did.
    pub panic: Option<&'a str>,
    /// All of its callers: 1 if nobody joined the leader.
    pub callers: u32,
    /// From its load's first suspension to its landing: zero if the load was ready at once.
    pub took: Duration,
    /// Which flight it was.
    pub generation: Generation,
}

/// A hook for landings.
pub(crate) type OnLanding<K> = dyn Fn(&Landing<'_, K>) + Send + Sync;

/// A flight that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight<K> {
    /// What is being loaded.
    pub key: K,
    /// How long ago its load was first suspended.
    pub age: Duration,
    /// All callers that have joined so far.
    pub callers: u32,
    /// Which flight it is.
    pub generation: Generation,
    /// Whether the next caller for the key would join it: false once it has been forgotten.
    pub current: bool,
}

/// What a group has counted since it was built: `flights` is the sum of `ok`, `errors`, `panics`, `timeouts`, `aborted`
/// and `in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Flights begun; each called its leader's loader.
    pub flights: u64,
    /// Callers that joined a flight instead of beginning one.
    pub joins: u64,
    /// Flights that ended with a value.
    pub ok: u64,
    /// Flights that ended with their load's error.
    pub errors: u64,
    /// Flights whose load panicked.
    pub panics: u64,
    /// Flights that reached their deadline.
    pub timeouts: u64,
    /// Flights that were aborted.
    pub aborted: u64,
    /// Flights under way, forgotten ones included.
    pub in_flight: usize,
    /// Callers refused because a flight was full.
    pub saturated: u64,
    /// Callers refused because a load would have waited for itself.
    pub reentrant: u64,
    /// Callers whose own wait limit passed.
    pub wait_limits: u64,
    /// Flights that were forgotten.
    pub forgotten: u64,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Flights that were under way and ended by themselves.
    pub finished: usize,
    /// Flights that were aborted at the drain's deadline.
    pub aborted: usize,
}

impl<K: Key, V: Shared, E: Shared> Group<K, V, E> {
    /// The flight that a caller for `key` would join.
    pub fn peek<Q>(&self, key: &Q) -> Option<InFlight<K>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let flight = self.inner.table.find(key);
        flight.map(|flight| self.describe(&flight))
    }

    /// Every flight that is under way, forgotten ones included, in no order.
    pub fn flights(&self) -> Vec<InFlight<K>> {
        let flights = self.inner.table.all();
        flights.iter().map(|flight| self.describe(flight)).collect()
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
            wait_limits: self.inner.wait_limits.load(Ordering::Relaxed),
            forgotten: tallies.forgotten,
        }
    }

    /// Begins no new flights from now on ([`Error::Draining`](super::Error::Draining)), and waits until each flight
    /// has landed, its callers have been woken and its hook has returned. What is left when the time is over is aborted,
    /// where no time is kept at once; an aborted load may still be stopping. The group stays closed.
    pub async fn drain(&self, longest: Duration) -> Drained {
        let group = &*self.inner;
        group.table.close();
        let before = group.table.unsettled();
        let end = Instant::now().checked_add(longest);
        let mut timer = end.and_then(Timer::at);
        let mut at_rest = pin!(all_landed(group));
        let is_at_rest = poll_fn(|cx| {
            if at_rest.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            match &mut timer {
                Some(timer) => timer.poll(cx).map(|()| false),
                // Where no time is kept, there is none to wait. An end that is too far away never comes.
                None if end.is_some() => Poll::Ready(false),
                None => Poll::Pending,
            }
        });
        let aborted = if is_at_rest.await {
            0
        } else {
            abort_all(group)
        };
        Drained {
            finished: before.saturating_sub(aborted),
            aborted,
        }
    }

    fn describe(&self, flight: &GroupFlight<K, V, E>) -> InFlight<K> {
        let now = self.inner.clock.now();
        let age = flight.suspended_at().map_or(0, |at| now.saturating_sub(at));
        InFlight {
            key: flight.key.clone(),
            age: Duration::from_nanos(age),
            callers: flight.callers(),
            generation: Generation(flight.generation),
            current: flight.is_current(),
        }
    }
}

async fn all_landed<K: Key, V: Shared, E: Shared>(group: &Inner<K, V, E>) {
    loop {
        let mut landing = pin!(group.landings.notified());
        // Before the look at the table, so that a landing in between is not missed.
        landing.as_mut().enable();
        if group.table.unsettled() == 0 {
            return;
        }
        landing.await;
    }
}

fn abort_all<K: Key, V: Shared, E: Shared>(group: &Inner<K, V, E>) -> usize {
    let left = group.table.all();
    let aborted = left
        .iter()
        .filter(|flight| group.cut_short(flight, Ending::Aborted));
    aborted.count()
}

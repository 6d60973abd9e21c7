//! The group's watch: one task, alive only while flights are, that ends the overdue and relieves slow leaders.
//!
//! A load starts in its leader's task, which is what makes short loads cheap. One that is still going at the end of a
//! round gets a task of its own: a leader that is alive but not polled cannot hold it up for longer than two rounds.
//! Deadlines cost nothing per flight, because the watch always wakes for the earliest of them.

use super::inner::{Craft, Inner};
use super::kernel::Parked;
use super::outcome::Ending;
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often the watch looks around at least, while there is anything to see.
pub(crate) const ROUND: Duration = Duration::from_millis(10);
/// Rounds without a flight after which the watch ends; beginning a new one costs more than a few empty rounds.
const IDLE_ROUNDS: u32 = 8;
/// A round takes at most this part of the time: with very many flights rounds come less often.
const DUTY: u32 = 50;

/// What one round found.
struct Round {
    flights: usize,
    /// When the earliest deadline is, in the group's time.
    earliest: u64,
}

/// Keeps watch until there has been nothing to see for a while, or the group is gone.
pub(crate) async fn keep<K, V, E>(group: Weak<Inner<K, V, E>>)
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let mut duty = OnDuty {
        group: Weak::clone(&group),
        ended: false,
    };
    let Some(mut pause) = group.upgrade().map(|group| group.round_length()) else {
        return;
    };
    let mut idle = 0;
    loop {
        tokio::time::sleep(pause).await;
        let Some(group) = group.upgrade() else { return };
        let begun = group.clock.now();
        let round = go_round(&group, begun);
        let now = group.clock.now();
        let rest = Duration::from_nanos(now.saturating_sub(begun)) * DUTY;
        let until_deadline = Duration::from_nanos(round.earliest.saturating_sub(now));
        pause = group
            .round_length()
            .max(rest.min(group.config.deadline / 2))
            .min(until_deadline);
        idle = if round.flights == 0 { idle + 1 } else { 0 };
        if idle > IDLE_ROUNDS && end(&group) {
            duty.ended = true;
            return;
        }
    }
}

/// Ends the watch unless a flight has begun that still counts on it.
fn end<K, V, E>(group: &Arc<Inner<K, V, E>>) -> bool
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    group.watched.store(false, Ordering::SeqCst);
    // A leader enters the table first and looks for a watch afterwards, so one that still saw this watch is in there.
    group.table.tallies().in_flight == 0 || group.watched.swap(true, Ordering::SeqCst)
}

fn go_round<K, V, E>(group: &Arc<Inner<K, V, E>>, now: u64) -> Round
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let (deadline, linger) = (nanos(group.config.deadline), nanos(group.round_length()));
    let mut round = Round {
        flights: 0,
        earliest: u64::MAX,
    };
    let mut overdue: Vec<Arc<Craft<K, V, E>>> = Vec::new();
    let mut lingering = Vec::new();
    group.table.survey(|flight| {
        round.flights += 1;
        let Some(departed_at) = flight.departed_at() else {
            return;
        };
        let due = departed_at + deadline;
        if due <= now {
            overdue.push(Arc::clone(flight));
            return;
        }
        round.earliest = round.earliest.min(due);
        if departed_at + linger <= now && !flight.is_detached() {
            lingering.push(Arc::clone(flight));
        }
    });
    for flight in &overdue {
        group.land(flight, Ending::TimedOut);
    }
    for flight in &lingering {
        if let Some(Parked { load, driver }) = flight.relieve() {
            group.detach(flight, load);
            driver.wake();
        }
    }
    round
}

/// Lets the next flight begin a new watch if this one is dropped with its runtime.
struct OnDuty<K, V, E> {
    group: Weak<Inner<K, V, E>>,
    ended: bool,
}

impl<K, V, E> Drop for OnDuty<K, V, E> {
    fn drop(&mut self) {
        if let Some(group) = self.group.upgrade()
            && !self.ended
        {
            group.watched.store(false, Ordering::SeqCst);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! A caller that is on a flight: it waits for the outcome, for its own limit, and at times for the flight's deadline.

use super::circles::{self, Wait};
use super::error::Error;
use super::inner::{GroupFlight, Inner, Key, Shared};
use super::outcome::{Ending, Generation, Part, Report, Role, result_of};
use super::runtime::Timer;
use super::wakers::SlotIndex;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// A caller that is on a flight.
pub(crate) struct Waiting<K: Key, V: Shared, E: Shared> {
    flight: Arc<GroupFlight<K, V, E>>,
    role: Role,
    /// When it began to wait; 0 if neither its part nor a limit needs it.
    pub(crate) since: u64,
    slot: Option<SlotIndex>,
    limit: Option<Timer>,
    /// When the flight has to have landed, if its own task may stand still.
    deadline: Option<Timer>,
    /// If the caller is a load itself, what it waits for.
    wait: Option<Box<Wait>>,
}

/// A caller's part in a flight, as it stands now.
pub(crate) fn part<K: Key, V: Shared, E: Shared>(
    flight: &GroupFlight<K, V, E>,
    role: Role,
    waited: Duration,
) -> Part {
    Part {
        role,
        callers: flight.callers(),
        generation: Generation(flight.generation),
        waited,
        note: flight.note().cloned(),
    }
}

impl<K: Key, V: Shared, E: Shared> Waiting<K, V, E> {
    /// A caller that has just joined or begun this flight.
    pub(crate) fn on(
        flight: Arc<GroupFlight<K, V, E>>,
        role: Role,
        since: u64,
        wait: Option<Box<Wait>>,
    ) -> Self {
        Self {
            flight,
            role,
            since,
            slot: None,
            limit: None,
            deadline: None,
            wait,
        }
    }

    /// How the flight ended, or why the caller stops waiting for that.
    pub(crate) fn poll(
        &mut self,
        group: &Inner<K, V, E>,
        limit: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Ending<V, E>, Error<E>>> {
        if let Some(ending) = self.flight.outcome() {
            return Poll::Ready(Ok(ending));
        }
        if let Some(error) = self.wait_as_polled(group) {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(ending) = self.flight.poll_outcome(cx, &mut self.slot) {
            return Poll::Ready(Ok(ending));
        }
        if let Some(limit) = limit {
            let at = || group.clock.instant(self.since).checked_add(limit);
            match has_come(&mut self.limit, at, cx) {
                None => return Poll::Ready(Err(Error::NoRuntime)),
                Some(true) => {
                    group
                        .table
                        .count(&self.flight, |stats| &mut stats.wait_limits);
                    return Poll::Ready(Err(Error::WaitLimit));
                }
                Some(false) => {}
            }
        }
        if self.load_may_stand_still() {
            return self.keep_the_deadline(group, cx);
        }
        Poll::Pending
    }

    /// Records that the load that polls this call waits for its flight, in place of a load that polled it before.
    fn wait_as_polled(&mut self, group: &Inner<K, V, E>) -> Option<Error<E>> {
        let polling_flight = circles::polled();
        if self.wait.as_ref().map(|wait| wait.from()) == polling_flight {
            return None;
        }
        self.wait = None;
        self.wait = Wait::begin(polling_flight?, group.id_of(&self.flight));
        if self.wait.is_some() {
            return None;
        }
        group
            .table
            .count(&self.flight, |stats| &mut stats.reentrant);
        Some(Error::Reentrant)
    }

    fn load_may_stand_still(&self) -> bool {
        let suspended = self.flight.suspended.get();
        suspended.is_some_and(|load| load.rest.may_stand_still())
    }

    fn keep_the_deadline(
        &mut self,
        group: &Inner<K, V, E>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Ending<V, E>, Error<E>>> {
        let at = || {
            let suspended_at = self.flight.suspended_at().unwrap_or_default();
            Some(group.clock.instant(suspended_at) + group.config.deadline)
        };
        // A caller whose runtime keeps no time waits for followers whose runtimes do.
        if has_come(&mut self.deadline, at, cx) != Some(true) {
            return Poll::Pending;
        }
        group.cut_short(&self.flight, Error::TimedOut);
        self.flight.poll_outcome(cx, &mut self.slot).map(Ok)
    }

    /// What the caller is given of its flight. Its timer is kept for the next call.
    pub(crate) fn report(
        &mut self,
        group: &Inner<K, V, E>,
        waited: Result<Ending<V, E>, Error<E>>,
        is_timed: bool,
    ) -> Report<V, E> {
        if let Some(limit) = self.limit.take() {
            limit.keep();
        }
        let part = is_timed.then(|| {
            let until = match &waited {
                // It waited until the landing, however long its task then took to be polled.
                Ok(_) => self.flight.landed_at(),
                Err(_) => group.clock.now(),
            };
            let waited = Duration::from_nanos(until.saturating_sub(self.since));
            part(&self.flight, self.role, waited)
        });
        Report {
            result: waited.and_then(result_of),
            part,
        }
    }

    /// Counts the limit from `now`; an earlier limit ends.
    pub(crate) fn count_from(&mut self, now: u64) {
        self.since = now;
        self.limit = None;
    }

    /// Takes the caller off the flight. If it was the last, and the group aborts abandoned loads, the flight is aborted.
    pub(crate) fn leave(&self, group: &Inner<K, V, E>) {
        if self.flight.has_landed() {
            return;
        }
        if let Some(slot) = self.slot {
            self.flight.unwait(slot);
        }
        if group
            .table
            .leave(&self.flight, group.config.abort_when_abandoned)
        {
            group.cut_short(&self.flight, Error::Aborted);
        }
    }
}

/// Whether a point in time has come; none where no time is kept. The timer is made at the first call, and again in
/// another runtime. A time that is too far away never comes.
fn has_come(
    timer: &mut Option<Timer>,
    at: impl FnOnce() -> Option<Instant>,
    cx: &mut Context<'_>,
) -> Option<bool> {
    if !timer.as_ref().is_some_and(Timer::is_of_this_runtime) {
        let Some(at) = at() else { return Some(false) };
        *timer = Timer::at(at);
    }
    let timer = timer.as_mut()?;
    Some(timer.poll(cx).is_ready())
}

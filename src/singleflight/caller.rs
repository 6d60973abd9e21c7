//! The future of a call: it joins a flight or begins one, and waits for the outcome.

use super::cycles::{self, Wait};
use super::error::Error;
use super::group::{Group, GroupFlight, Inner, Key, Shared};
use super::outcome::{Ending, Generation, Part, Report, Role};
use super::runtime::{Runtime, Timer};
use super::table::{Boarding, Refused};
use super::task::{self, Begun};
use super::wakers::SlotIndex;
use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A call of a group: a future that joins or begins a flight when it is first polled, and can be dropped at any time.
pub trait Call: Future {
    /// Ends this call, and no other, with [`Error::WaitLimit`] if it has waited for so long. The flight goes on.
    #[must_use = "this is the call with the limit"]
    fn wait_limit(self, limit: Duration) -> Self;
}

/// See [`Call`]. Group and key are borrowed if the caller waits at once, and owned if it may keep the call.
pub(crate) struct Calling<
    G: Borrow<Group<K, V, E>>,
    B,
    Q: ?Sized,
    K: Key,
    V: Shared,
    E: Shared,
    L,
    M,
> {
    group: G,
    key: B,
    /// Taken when this call leads a flight.
    loader: Option<L>,
    /// What the caller is given of its report.
    give: M,
    /// Whether that includes its part, which costs looks at the clock.
    is_timed: bool,
    limit: Option<Duration>,
    /// When it began to wait, if it did so for a flight that was lost.
    since: Option<u64>,
    state: State<K, V, E>,
    of: PhantomData<fn(&Q)>,
}

enum State<K: Key, V: Shared, E: Shared> {
    Fresh,
    Waiting(Waiting<K, V, E>),
    Decided(Report<V, E>),
    Over,
}

/// A caller that is on a flight.
struct Waiting<K: Key, V: Shared, E: Shared> {
    flight: Arc<GroupFlight<K, V, E>>,
    role: Role,
    /// When it began to wait, if anybody wants to know.
    since: u64,
    slot: Option<SlotIndex>,
    limit: Option<Timer>,
    /// When the flight has to have landed, if its own task may stand still.
    deadline: Option<Timer>,
    /// If the caller is a load itself, what it waits for.
    wait: Option<Box<Wait>>,
}

impl<G, B, Q, K, V, E, L, Fut, M, O> Calling<G, B, Q, K, V, E, L, M>
where
    G: Borrow<Group<K, V, E>>,
    B: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Key + Borrow<Q>,
    V: Shared,
    E: Shared,
    L: FnOnce(&Arc<GroupFlight<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    M: Fn(Report<V, E>) -> O,
{
    pub(crate) fn new(group: G, key: B, is_timed: bool, give: M, loader: L) -> Self {
        Self {
            group,
            key,
            loader: Some(loader),
            give,
            is_timed,
            of: PhantomData,
            limit: None,
            since: None,
            state: State::Fresh,
        }
    }

    /// Joins or begins a flight now. A load that makes this call begins to wait when it polls it.
    pub(crate) fn started(mut self) -> Self {
        self.state = match self.board(false) {
            Ok(waiting) => State::Waiting(waiting),
            Err(decided) => State::Decided(decided),
        };
        self
    }

    /// Joins or begins a flight, unless it can be told at once what the caller gets.
    fn board(&mut self, is_waited_for: bool) -> Result<Waiting<K, V, E>, Report<V, E>> {
        let group = &self.group.borrow().inner;
        let (caller, mut wait) = (cycles::polled().filter(|_| is_waited_for), None);
        let boarding = group
            .table
            .board(self.key.borrow(), group.config.max_callers, |flight| {
                let Some(caller) = caller else { return true };
                wait = Wait::begin(caller, group.id_of(flight));
                wait.is_some()
            });
        match boarding {
            Boarding::Follower(flight) => {
                let is_timed = self.is_timed || self.limit.is_some();
                let now = || if is_timed { group.clock.now() } else { 0 };
                let since = self.since.unwrap_or_else(now);
                Ok(Waiting::on(flight, Role::Follower, since, wait))
            }
            Boarding::Refused(reason) => Err(Report {
                result: Err(group.refuse(reason)),
                part: None,
            }),
            Boarding::Leader(flight) => {
                // Nothing waits for a flight this new, so that no circle can be closed.
                let wait = caller.and_then(|caller| Wait::begin(caller, group.id_of(&flight)));
                let loader = self.loader.take();
                let loader = loader.expect("a call leads at most one flight");
                match task::begin(group, &flight, loader) {
                    Begun::Ended(ending) => {
                        let part = self
                            .is_timed
                            .then(|| part(&flight, Role::Leader, Duration::ZERO));
                        Err(Report {
                            result: ending.into_result(),
                            part,
                        })
                    }
                    Begun::NoRuntime => Err(Report {
                        result: Err(Error::NoRuntime),
                        part: None,
                    }),
                    Begun::Suspended => {
                        let suspended_at = || flight.suspended_at().unwrap_or_default();
                        let since = self.since.unwrap_or_else(suspended_at);
                        Ok(Waiting::on(flight, Role::Leader, since, wait))
                    }
                }
            }
        }
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report<V, E>> {
        loop {
            match &mut self.state {
                State::Fresh => match self.board(true) {
                    Ok(waiting) => self.state = State::Waiting(waiting),
                    Err(decided) => {
                        self.state = State::Over;
                        return Poll::Ready(decided);
                    }
                },
                State::Waiting(waiting) => {
                    let group = &self.group.borrow().inner;
                    let waited = ready!(waiting.poll(group, self.limit, cx));
                    // Nobody ended the flight but the runtime of another caller: this one has a load of its own.
                    let is_lost = matches!(waited, Ok(Ending::Lost));
                    if is_lost && self.loader.is_some() && Runtime::current().is_some() {
                        // The limit counts from when this call began to wait for the first flight.
                        self.since = Some(waiting.since);
                        self.state = State::Fresh;
                        continue;
                    }
                    let told = waiting.report(group, waited, self.is_timed);
                    if let Some(limit) = waiting.limit.take() {
                        limit.keep();
                    }
                    self.leave();
                    return Poll::Ready(told);
                }
                State::Decided(_) | State::Over => {
                    let state = std::mem::replace(&mut self.state, State::Over);
                    let State::Decided(decided) = state else {
                        panic!("a call is not polled again after its end")
                    };
                    return Poll::Ready(decided);
                }
            }
        }
    }
}

impl<G: Borrow<Group<K, V, E>>, B, Q: ?Sized, K: Key, V: Shared, E: Shared, L, M>
    Calling<G, B, Q, K, V, E, L, M>
{
    fn leave(&mut self) {
        if let State::Waiting(waiting) = &self.state {
            waiting.leave(&self.group.borrow().inner);
        }
        self.state = State::Over;
    }
}

fn part<K: Key, V: Shared, E: Shared>(
    flight: &GroupFlight<K, V, E>,
    role: Role,
    waited: Duration,
) -> Part {
    Part {
        role,
        callers: flight.callers(),
        generation: Generation(flight.generation),
        waited,
        span: flight.suspended.get().map(|load| load.span.clone()),
    }
}

impl<K: Key, V: Shared, E: Shared> Waiting<K, V, E> {
    fn on(
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

    fn poll(
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
                    group.wait_limits.fetch_add(1, Ordering::Relaxed);
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

    /// The load that polls this call waits for its flight, and any load that polled it before does not.
    fn wait_as_polled(&mut self, group: &Inner<K, V, E>) -> Option<Error<E>> {
        let caller = cycles::polled();
        if self.wait.as_ref().map(|wait| wait.from()) == caller {
            return None;
        }
        self.wait = None;
        self.wait = Wait::begin(caller?, group.id_of(&self.flight));
        self.wait
            .is_none()
            .then(|| group.refuse(Refused::Reentrant))
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
        // Where this caller has no time either, it waits for others who have.
        if has_come(&mut self.deadline, at, cx) != Some(true) {
            return Poll::Pending;
        }
        group.cut_short(&self.flight, Ending::TimedOut);
        self.flight.poll_outcome(cx, &mut self.slot).map(Ok)
    }

    fn report(
        &self,
        group: &Inner<K, V, E>,
        waited: Result<Ending<V, E>, Error<E>>,
        is_timed: bool,
    ) -> Report<V, E> {
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
            result: waited.and_then(Ending::into_result),
            part,
        }
    }

    /// Leaves. A flight that has not landed, and that nobody is left on, may be aborted for it.
    fn leave(&self, group: &Inner<K, V, E>) {
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
            group.cut_short(&self.flight, Ending::Aborted);
        }
    }
}

/// Whether a point in time has come; none where no time is kept. The timer is made when it is first asked for, and again
/// in another runtime. A time that is too far away never comes.
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

/// Nothing in a call is pinned in place: a load has a box of its own.
impl<G: Borrow<Group<K, V, E>>, B, Q: ?Sized, K: Key, V: Shared, E: Shared, L, M> Unpin
    for Calling<G, B, Q, K, V, E, L, M>
{
}

impl<G, B, Q, K, V, E, L, Fut, M, O> Future for Calling<G, B, Q, K, V, E, L, M>
where
    G: Borrow<Group<K, V, E>>,
    B: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Key + Borrow<Q>,
    V: Shared,
    E: Shared,
    L: FnOnce(&Arc<GroupFlight<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    M: Fn(Report<V, E>) -> O,
{
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        self.poll_report(cx).map(|report| (self.give)(report))
    }
}

impl<G, B, Q, K, V, E, L, Fut, M, O> Call for Calling<G, B, Q, K, V, E, L, M>
where
    G: Borrow<Group<K, V, E>>,
    B: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Key + Borrow<Q>,
    V: Shared,
    E: Shared,
    L: FnOnce(&Arc<GroupFlight<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    M: Fn(Report<V, E>) -> O,
{
    fn wait_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        if let State::Waiting(waiting) = &mut self.state {
            waiting.since = self.group.borrow().inner.clock.now();
            waiting.limit = None;
        }
        self
    }
}

impl<G: Borrow<Group<K, V, E>>, B, Q: ?Sized, K: Key, V: Shared, E: Shared, L, M> Drop
    for Calling<G, B, Q, K, V, E, L, M>
{
    fn drop(&mut self) {
        self.leave();
    }
}

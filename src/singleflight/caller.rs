//! The future of a call: it joins a flight or begins one, and waits for the outcome.

use super::cycles::{self, Wait};
use super::error::Error;
use super::group::{Craft, Group, Inner, Key, Shared};
use super::outcome::{Ending, Generation, Part, Report, Role};
use super::runtime::{Runtime, Timer};
use super::table::{Boarding, Refused};
use super::task::{self, Begun};
use super::wakers::SlotIndex;
use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
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

/// Where a call has its group and its key from.
pub(crate) trait Asked<K, V, E> {
    type Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;
    fn group(&self) -> &Group<K, V, E>;
    fn key(&self) -> &Self::Q;
}

/// From its caller, who waits at once.
pub(crate) struct Borrowed<'g, 'k, Q: ?Sized, K, V, E> {
    pub(crate) group: &'g Group<K, V, E>,
    pub(crate) key: &'k Q,
}

impl<K, V, E, Q> Asked<K, V, E> for Borrowed<'_, '_, Q, K, V, E>
where
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    type Q = Q;

    fn group(&self) -> &Group<K, V, E> {
        self.group
    }

    fn key(&self) -> &Q {
        self.key
    }
}

/// From itself: it may be kept for as long as its caller likes.
pub(crate) struct Owned<K, V, E> {
    pub(crate) group: Group<K, V, E>,
    pub(crate) key: K,
}

impl<K: Key, V, E> Asked<K, V, E> for Owned<K, V, E> {
    type Q = K;

    fn group(&self) -> &Group<K, V, E> {
        &self.group
    }

    fn key(&self) -> &K {
        &self.key
    }
}

/// What a caller is told.
pub(crate) trait Told<V, E> {
    type Output;
    /// Whether it has to be known how long the caller waited, which costs a look at the clock.
    const IS_TIMED: bool;
    fn tell(result: Result<Arc<V>, Error<E>>, part: impl FnOnce() -> Option<Part>) -> Self::Output;
}

/// The result alone.
pub(crate) struct Value;

impl<V, E> Told<V, E> for Value {
    type Output = Result<Arc<V>, Error<E>>;
    const IS_TIMED: bool = false;

    fn tell(result: Result<Arc<V>, Error<E>>, _: impl FnOnce() -> Option<Part>) -> Self::Output {
        result
    }
}

/// The result, and the caller's part in the flight.
pub(crate) struct Everything;

impl<V, E> Told<V, E> for Everything {
    type Output = Report<V, E>;
    const IS_TIMED: bool = true;

    fn tell(result: Result<Arc<V>, Error<E>>, part: impl FnOnce() -> Option<Part>) -> Self::Output {
        let part = part();
        Report { result, part }
    }
}

/// See [`Call`].
pub(crate) struct Calling<A: Asked<K, V, E>, K: Key, V: Shared, E: Shared, L, T: Told<V, E>> {
    asked: A,
    /// Taken when this call leads a flight.
    loader: Option<L>,
    limit: Option<Duration>,
    state: State<K, V, E, T::Output>,
}

enum State<K: Key, V: Shared, E: Shared, O> {
    Fresh,
    Waiting(Waiting<K, V, E>),
    Decided(O),
    Over,
}

/// A caller that is on a flight.
struct Waiting<K: Key, V: Shared, E: Shared> {
    flight: Arc<Craft<K, V, E>>,
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

impl<A, K, V, E, L, Fut, T> Calling<A, K, V, E, L, T>
where
    A: Asked<K, V, E>,
    K: Key + Borrow<A::Q>,
    V: Shared,
    E: Shared,
    L: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    T: Told<V, E>,
{
    pub(crate) fn new(asked: A, _told: T, loader: L) -> Self {
        Self {
            asked,
            loader: Some(loader),
            limit: None,
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
    fn board(&mut self, is_waited_for: bool) -> Result<Waiting<K, V, E>, T::Output> {
        let group = &self.asked.group().inner;
        let (caller, mut wait) = (cycles::polled().filter(|_| is_waited_for), None);
        let boarding = group
            .table
            .board(self.asked.key(), group.config.max_callers, |flight| {
                let Some(caller) = caller else { return true };
                wait = Wait::begin(caller, group.id_of(flight));
                wait.is_some()
            });
        match boarding {
            Boarding::Follower(flight) => {
                let is_timed = T::IS_TIMED || self.limit.is_some();
                let since = if is_timed { group.clock.now() } else { 0 };
                Ok(Waiting::on(flight, Role::Follower, since, wait))
            }
            Boarding::Refused(reason) => Err(T::tell(Err(group.refuse(reason)), || None)),
            Boarding::Leader(flight) => {
                // Nothing waits for a flight this new, so that no circle can be closed.
                let wait = caller.and_then(|caller| Wait::begin(caller, group.id_of(&flight)));
                let loader = self.loader.take();
                let loader = loader.expect("a call leads at most one flight");
                match task::begin(group, &flight, loader) {
                    Begun::Ended(ending) => {
                        let part = || Some(part(&flight, Role::Leader, Duration::ZERO));
                        Err(T::tell(ending.into_result(), part))
                    }
                    Begun::NoRuntime => Err(T::tell(Err(Error::NoRuntime), || None)),
                    Begun::Suspended => {
                        let since = flight.suspended_at().unwrap_or_default();
                        Ok(Waiting::on(flight, Role::Leader, since, wait))
                    }
                }
            }
        }
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<T::Output> {
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
                    let group = &self.asked.group().inner;
                    let waited = ready!(waiting.poll(group, self.limit, cx));
                    // Nobody ended the flight but the runtime of another caller: this one has a load of its own.
                    let is_lost = matches!(waited, Ok(Ending::Lost));
                    if is_lost && self.loader.is_some() && Runtime::current().is_some() {
                        self.state = State::Fresh;
                        continue;
                    }
                    let told = waiting.tell::<T>(group, waited);
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

impl<A: Asked<K, V, E>, K: Key, V: Shared, E: Shared, L, T: Told<V, E>> Calling<A, K, V, E, L, T> {
    fn leave(&mut self) {
        if let State::Waiting(waiting) = &self.state {
            waiting.leave(&self.asked.group().inner);
        }
        self.state = State::Over;
    }
}

fn part<K: Key, V: Shared, E: Shared>(
    flight: &Craft<K, V, E>,
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
    fn on(flight: Arc<Craft<K, V, E>>, role: Role, since: u64, wait: Option<Box<Wait>>) -> Self {
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
        if let Some(error) = self.begin_to_wait(group) {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(ending) = self.flight.poll_outcome(cx, &mut self.slot) {
            return Poll::Ready(Ok(ending));
        }
        if let Some(limit) = limit {
            let at = || group.clock.instant(self.since) + limit;
            if ready_at(&mut self.limit, at, cx)? {
                group.wait_limits.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(Err(Error::WaitLimit));
            }
        }
        if self.load_may_stand_still() {
            return self.keep_the_deadline(group, cx);
        }
        Poll::Pending
    }

    /// A call that was started waits from its first poll on.
    fn begin_to_wait(&mut self, group: &Inner<K, V, E>) -> Option<Error<E>> {
        if self.slot.is_some() || self.wait.is_some() {
            return None;
        }
        let caller = cycles::polled()?;
        self.wait = Wait::begin(caller, group.id_of(&self.flight));
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
            group.clock.instant(suspended_at) + group.config.deadline
        };
        if !ready_at(&mut self.deadline, at, cx)? {
            return Poll::Pending;
        }
        group.cut_short(&self.flight, Ending::TimedOut);
        self.flight.poll_outcome(cx, &mut self.slot).map(Ok)
    }

    fn tell<T: Told<V, E>>(
        &self,
        group: &Inner<K, V, E>,
        waited: Result<Ending<V, E>, Error<E>>,
    ) -> T::Output {
        let until = match &waited {
            // It waited until the landing, however long its task then took to be polled.
            Ok(_) => self.flight.landed_at(),
            Err(_) => group.clock.now(),
        };
        T::tell(waited.and_then(Ending::into_result), || {
            let waited = Duration::from_nanos(until.saturating_sub(self.since));
            Some(part(&self.flight, self.role, waited))
        })
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

/// Whether a point in time has come. The timer is made when it is first asked for.
fn ready_at<E>(
    timer: &mut Option<Timer>,
    at: impl FnOnce() -> Instant,
    cx: &mut Context<'_>,
) -> Result<bool, Error<E>> {
    if timer.is_none() {
        *timer = Timer::at(at());
    }
    let timer = timer.as_mut().ok_or(Error::NoRuntime)?;
    Ok(timer.poll(cx).is_ready())
}

/// Nothing in a call is pinned in place: a load has a box of its own.
impl<A: Asked<K, V, E>, K: Key, V: Shared, E: Shared, L, T: Told<V, E>> Unpin
    for Calling<A, K, V, E, L, T>
{
}

impl<A, K, V, E, L, Fut, T> Future for Calling<A, K, V, E, L, T>
where
    A: Asked<K, V, E>,
    K: Key + Borrow<A::Q>,
    V: Shared,
    E: Shared,
    L: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    T: Told<V, E>,
{
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        self.poll_told(cx)
    }
}

impl<A, K, V, E, L, Fut, T> Call for Calling<A, K, V, E, L, T>
where
    A: Asked<K, V, E>,
    K: Key + Borrow<A::Q>,
    V: Shared,
    E: Shared,
    L: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    T: Told<V, E>,
{
    fn wait_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        if let State::Waiting(waiting) = &mut self.state {
            waiting.since = self.asked.group().inner.clock.now();
        }
        self
    }
}

impl<A: Asked<K, V, E>, K: Key, V: Shared, E: Shared, L, T: Told<V, E>> Drop
    for Calling<A, K, V, E, L, T>
{
    fn drop(&mut self) {
        self.leave();
    }
}

//! The future of a call: it joins a flight or begins one, and turns what it waited for into what the caller gets.

use super::circles::{self, Wait};
use super::error::Error;
use super::inner::{Inner, Key, Shared};
use super::outcome::{Report, Role};
use super::runtime::Runtime;
use super::table::{Boarding, Refused};
use super::task::{self, Loader};
use super::waiting::{Waiting, part};
use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A call of a group: a future that joins or begins a flight when it is first polled, and can be dropped at any time.
pub trait Call: Future {
    /// Ends this call, and no other, with [`Error::WaitLimit`] if it has waited for so long. The flight goes on.
    #[must_use = "this is the call with the limit"]
    fn wait_limit(self, limit: Duration) -> Self;
}

/// See [`Call`]. Group and key are borrowed if the caller waits at once, and owned if it may keep the call.
pub(crate) struct Calling<
    G: Borrow<Arc<Inner<K, V, E>>>,
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
    state: CallState<K, V, E>,
    of: PhantomData<fn(&Q)>,
}

enum CallState<K: Key, V: Shared, E: Shared> {
    Fresh,
    Waiting(Waiting<K, V, E>),
    Decided(Report<V, E>),
    Over,
}

impl<G, B, Q, K, V, E, L, M> Calling<G, B, Q, K, V, E, L, M>
where
    G: Borrow<Arc<Inner<K, V, E>>>,
    B: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Key + Borrow<Q>,
    V: Shared,
    E: Shared,
    L: Loader<K, V, E>,
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
            state: CallState::Fresh,
        }
    }

    /// Joins or begins a flight now. A load that makes this call begins to wait when it polls it.
    pub(crate) fn started(mut self) -> Self {
        self.state = match self.board(false) {
            Ok(waiting) => CallState::Waiting(waiting),
            Err(decided) => CallState::Decided(decided),
        };
        self
    }

    /// Joins or begins a flight, unless it can be told at once what the caller gets.
    fn board(&mut self, is_waited_for: bool) -> Result<Waiting<K, V, E>, Report<V, E>> {
        let group = self.group.borrow();
        // If a load makes this call, the call is a wait of that load.
        let polling_flight = circles::polled().filter(|_| is_waited_for);
        let mut wait = None;
        let boarding = group
            .table
            .board(self.key.borrow(), group.config.max_callers, |flight| {
                let Some(polling_flight) = polling_flight else {
                    return true;
                };
                wait = Wait::begin(polling_flight, group.id_of(flight));
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
                result: Err(reason.into()),
                part: None,
            }),
            Boarding::Leader(flight) => {
                // No flight waits for one this new, so that no circle can be closed.
                let wait = polling_flight.and_then(|from| Wait::begin(from, group.id_of(&flight)));
                let loader = self.loader.take();
                let loader = loader.expect("a call leads at most one flight");
                if let Some(result) = task::begin(group, &flight, loader) {
                    let part = || part(&flight, Role::Leader, Duration::ZERO);
                    let part = self.is_timed.then(part);
                    return Err(Report { result, part });
                }
                let suspended_at = || flight.suspended_at().unwrap_or_default();
                let since = self.since.unwrap_or_else(suspended_at);
                Ok(Waiting::on(flight, Role::Leader, since, wait))
            }
        }
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report<V, E>> {
        loop {
            match &mut self.state {
                CallState::Fresh => match self.board(true) {
                    Ok(waiting) => self.state = CallState::Waiting(waiting),
                    Err(decided) => {
                        self.state = CallState::Over;
                        return Poll::Ready(decided);
                    }
                },
                CallState::Waiting(waiting) => {
                    let group = self.group.borrow();
                    let waited = ready!(waiting.poll(group, self.limit, cx));
                    // The load went down with the runtime of its leader. This caller has a load of its own.
                    let is_lost = matches!(waited, Ok(None));
                    if is_lost && self.loader.is_some() && Runtime::current().is_some() {
                        // The limit counts from when this call began to wait for the first flight.
                        self.since = Some(waiting.since);
                        self.state = CallState::Fresh;
                        continue;
                    }
                    let report = waiting.report(group, waited, self.is_timed);
                    self.leave();
                    return Poll::Ready(report);
                }
                CallState::Decided(_) | CallState::Over => {
                    let state = std::mem::replace(&mut self.state, CallState::Over);
                    let CallState::Decided(decided) = state else {
                        panic!("a call is not polled again after its end")
                    };
                    return Poll::Ready(decided);
                }
            }
        }
    }
}

impl<G: Borrow<Arc<Inner<K, V, E>>>, B, Q: ?Sized, K: Key, V: Shared, E: Shared, L, M>
    Calling<G, B, Q, K, V, E, L, M>
{
    fn leave(&mut self) {
        if let CallState::Waiting(waiting) = &self.state {
            waiting.leave(self.group.borrow());
        }
        self.state = CallState::Over;
    }
}

/// Nothing in a call is pinned in place: a load has a box of its own.
impl<G: Borrow<Arc<Inner<K, V, E>>>, B, Q: ?Sized, K: Key, V: Shared, E: Shared, L, M> Unpin
    for Calling<G, B, Q, K, V, E, L, M>
{
}

impl<G, B, Q, K, V, E, L, M, O> Future for Calling<G, B, Q, K, V, E, L, M>
where
    G: Borrow<Arc<Inner<K, V, E>>>,
    B: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Key + Borrow<Q>,
    V: Shared,
    E: Shared,
    L: Loader<K, V, E>,
    M: Fn(Report<V, E>) -> O,
{
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        self.poll_report(cx).map(|report| (self.give)(report))
    }
}

impl<G, B, Q: ?Sized, K, V, E, L, M> Call for Calling<G, B, Q, K, V, E, L, M>
where
    Self: Future,
    G: Borrow<Arc<Inner<K, V, E>>>,
    K: Key,
    V: Shared,
    E: Shared,
{
    fn wait_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        if let CallState::Waiting(waiting) = &mut self.state {
            waiting.count_from(self.group.borrow().clock.now());
        }
        self
    }
}

impl<G: Borrow<Arc<Inner<K, V, E>>>, B, Q: ?Sized, K: Key, V: Shared, E: Shared, L, M> Drop
    for Calling<G, B, Q, K, V, E, L, M>
{
    fn drop(&mut self) {
        self.leave();
    }
}

impl<E> From<Refused> for Error<E> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Saturated => Self::Saturated,
            Refused::Reentrant => Self::Reentrant,
            Refused::Closed => Self::Draining,
        }
    }
}

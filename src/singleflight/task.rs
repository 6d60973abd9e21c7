//! The load of a flight: its first poll, by the leader, and the rest of it, in a task of its own.
//!
//! The leader polls the load once. A load that is ready then costs no task, no timer and no look at the clock. The rest of
//! any other becomes a task of the leader's runtime, with a timer for its deadline, when it is first woken. From then on
//! it runs in one place, whether or not its callers stay or are polled.

use super::cycles::Polling;
use super::error::message_of;
use super::group::{GroupFlight, Inner, Key, NoRuntime, Shared};
use super::outcome::Ending;
use super::runtime::{Rest, Runtime, Sleeper, Timer};
use futures_util::task::{ArcWake, waker_ref};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tracing::Span;

/// A load that was suspended.
pub(crate) struct Suspended {
    /// The span that it runs in, from its first poll to its last.
    pub(crate) span: Span,
    pub(crate) rest: Box<dyn Rest>,
}

/// The load's waker, from its first poll until its task polls it.
impl<K: Key, V: Shared, E: Shared> ArcWake for GroupFlight<K, V, E> {
    fn wake_by_ref(flight: &Arc<Self>) {
        flight.note_woken();
        if let Some(suspended) = flight.suspended_load() {
            suspended.rest.wake();
        }
    }
}

/// What came of a load's first poll.
pub(crate) enum Begun<V, E> {
    /// The flight has landed.
    Ended(Ending<V, E>),
    /// The rest of the load is a task, or will be.
    Suspended,
    /// There is no runtime for the rest of the load.
    NoRuntime,
}

/// Calls the loader of a new flight and polls its load once. Whatever panics there is the load's outcome, so that no way
/// out leaves the key behind.
pub(crate) fn begin<K: Key, V: Shared, E: Shared, Fut>(
    group: &Arc<Inner<K, V, E>>,
    flight: &Arc<GroupFlight<K, V, E>>,
    loader: impl FnOnce(&Arc<GroupFlight<K, V, E>>) -> Fut,
) -> Begun<V, E>
where
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    let polling = Polling::of(group.id_of(flight));
    // Out here, so that a load that panicked is not dropped while that panic unwinds.
    let (mut span, mut load) = (None, None);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        if let Some(open) = &group.config.span {
            span = Some(open(&flight.key));
        }
        let _entered = span.as_ref().map(Span::enter);
        let waker = waker_ref(flight);
        let mut cx = Context::from_waker(&waker);
        load.insert(Box::pin(loader(flight))).as_mut().poll(&mut cx)
    }));
    let ending = match (polled, load) {
        (Ok(Poll::Pending), Some(load)) => {
            let Err(NoRuntime) = suspend(group, flight, load, span) else {
                return Begun::Suspended;
            };
            group.land(flight, Ending::Lost, false);
            return Begun::NoRuntime;
        }
        (polled, load) => ended(polled, load),
    };
    drop(polling);
    let landed = group.land(flight, ending, true);
    // A drain has aborted it meanwhile, if not this.
    let landed = landed.or_else(|| flight.outcome());
    Begun::Ended(landed.unwrap_or(Ending::Aborted))
}

/// Makes the rest of a load a task, which sees to it from then on that the flight lands.
fn suspend<K: Key, V: Shared, E: Shared, Fut>(
    group: &Arc<Inner<K, V, E>>,
    flight: &Arc<GroupFlight<K, V, E>>,
    load: Pin<Box<Fut>>,
    span: Option<Span>,
) -> Result<(), NoRuntime>
where
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    let now = group.clock.now();
    let timer = Timer::at(group.clock.instant(now) + group.config.deadline);
    let (Some(runtime), Some(mut timer)) = (Runtime::current(), timer) else {
        discard(Some(load));
        return Err(NoRuntime);
    };
    flight.suspend(now);
    let waker = waker_ref(flight);
    let is_late = timer.poll(&mut Context::from_waker(&waker)).is_ready();
    let task = Task {
        group: Arc::clone(group),
        flight: Arc::clone(flight),
        load: Some(load),
        timer: Some(timer),
    };
    let Suspended { rest, .. } = flight.suspend_load(|| Suspended {
        span: span.unwrap_or_else(Span::current),
        rest: Box::new(Sleeper::new(runtime, task)),
    });
    if is_late || flight.was_woken() {
        rest.wake();
    }
    // Those who wait already may have to keep the time themselves.
    if rest.has_to_be_driven() {
        flight.wake_all();
    }
    // It may have been aborted when there was nothing to abort yet.
    if flight.has_landed() {
        rest.abort();
    }
    Ok(())
}

/// The rest of a load. Dropped before its end, by its runtime or by who aborts it, it lands the flight as lost.
struct Task<K: Key, V: Shared, E: Shared, Fut> {
    group: Arc<Inner<K, V, E>>,
    flight: Arc<GroupFlight<K, V, E>>,
    /// None when the flight has landed.
    load: Option<Pin<Box<Fut>>>,
    timer: Option<Timer>,
}

/// Nothing in it is pinned in place.
impl<K: Key, V: Shared, E: Shared, Fut> Unpin for Task<K, V, E, Fut> {}

impl<K: Key, V: Shared, E: Shared, Fut> Future for Task<K, V, E, Fut>
where
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            group,
            flight,
            load,
            timer,
        } = &mut *self;
        let (Some(pending), Some(deadline)) = (load.as_mut(), timer.as_mut()) else {
            return Poll::Ready(());
        };
        let _entered = flight.suspended.get().map(|load| load.span.enter());
        let polling = Polling::of(group.id_of(flight));
        let polled = catch_unwind(AssertUnwindSafe(|| pending.as_mut().poll(cx)));
        drop(polling);
        if !matches!(polled, Ok(Poll::Pending)) {
            let ending = ended(polled, load.take());
            group.land(flight, ending, false);
        } else if deadline.poll(cx).is_ready() {
            flight.seal();
            group.land(flight, Ending::TimedOut, false);
            discard(load.take());
        } else {
            return Poll::Pending;
        }
        if let Some(timer) = timer.take() {
            timer.keep();
        }
        Poll::Ready(())
    }
}

impl<K: Key, V: Shared, E: Shared, Fut> Drop for Task<K, V, E, Fut> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            // First, so that no caller waits for what the load does when it is dropped.
            self.group.land(&self.flight, Ending::Lost, false);
            discard(Some(load));
        }
    }
}

/// What a load that is not pending has come to. It is dropped before anyone learns of it: a panic in its `Drop` is
/// the load's.
fn ended<V, E, Fut>(
    polled: std::thread::Result<Poll<Result<V, E>>>,
    load: Option<Pin<Box<Fut>>>,
) -> Ending<V, E> {
    let ending = match polled {
        Ok(Poll::Ready(result)) => result.into(),
        Ok(Poll::Pending) => unreachable!("a load that is pending has not ended"),
        Err(payload) => Ending::Panicked(message_of(payload)),
    };
    discard(load).map_or(ending, Ending::Panicked)
}

/// Drops a load, and says what its `Drop` panicked with.
fn discard<Fut>(load: Option<Pin<Box<Fut>>>) -> Option<Arc<str>> {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(load)));
    dropped.err().map(message_of)
}

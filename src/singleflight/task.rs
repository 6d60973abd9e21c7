//! The load of a flight: its first poll, by the leader, and the rest of it, in a task of its own.
//!
//! The leader polls the load once. A load that is ready then costs no task, no timer and no look at the clock. The rest of
//! any other becomes a task of the leader's runtime, with a timer for its deadline, when it is first woken. From then on
//! it runs in one place, whether or not its callers stay or are polled.

use super::circles::Polling;
use super::error::{Error, message_of};
use super::inner::{GroupFlight, Inner, Key, Shared, Suspended};
use super::outcome::{SharedResult, result_of};
use super::runtime::{Runtime, Sleeper, Timer};
use futures_util::task::{ArcWake, waker_ref};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tracing::Span;

/// The load's waker, from its first poll until its task polls it.
impl<K: Key, V: Shared, E: Shared> ArcWake for GroupFlight<K, V, E> {
    fn wake_by_ref(flight: &Arc<Self>) {
        flight.note_woken();
        if let Some(suspended) = flight.suspended_load() {
            suspended.rest.wake();
        }
    }
}

/// A caller's loader, which is given the flight that it loads for.
pub(crate) trait Loader<K, V, E>: FnOnce(&Arc<GroupFlight<K, V, E>>) -> Self::Load {
    type Load: Future<Output = Result<V, E>> + Send + 'static;
}

impl<K, V, E, L, Fut> Loader<K, V, E> for L
where
    L: FnOnce(&Arc<GroupFlight<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    type Load = Fut;
}

/// Calls the loader of a new flight and polls its load once. The result, if the flight has landed; none if the rest of the
/// load is a task, or will be. A panic in here is the load's outcome, so that no way out leaves the key behind.
pub(crate) fn begin<K: Key, V: Shared, E: Shared>(
    group: &Arc<Inner<K, V, E>>,
    flight: &Arc<GroupFlight<K, V, E>>,
    loader: impl Loader<K, V, E>,
) -> Option<SharedResult<V, E>> {
    let polling = Polling::of(group.id_of(flight));
    // Out here, so that a load that panicked is not dropped while that panic unwinds.
    let mut load = None;
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let waker = waker_ref(flight);
        let mut cx = Context::from_waker(&waker);
        load.insert(Box::pin(loader(flight))).as_mut().poll(&mut cx)
    }));
    let ending = match (polled, load) {
        (Ok(Poll::Pending), Some(load)) => {
            if make_task(group, flight, load) {
                return None;
            }
            group.land(flight, &None, false);
            return Some(Err(Error::NoRuntime));
        }
        (polled, load) => Some(ended(polled, load)),
    };
    drop(polling);
    if group.land(flight, &ending, true) {
        return ending;
    }
    // A drain has landed the flight before, with another ending.
    Some(result_of(flight.outcome().flatten()))
}

/// Makes the rest of a load a task, which sees to it from then on that the flight lands; false if there is no runtime for
/// it.
fn make_task<K: Key, V: Shared, E: Shared, Fut>(
    group: &Arc<Inner<K, V, E>>,
    flight: &Arc<GroupFlight<K, V, E>>,
    load: Pin<Box<Fut>>,
) -> bool
where
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    let now = group.clock.now();
    let timer = Timer::at(group.clock.instant(now) + group.config.deadline);
    let (Some(runtime), Some(mut timer)) = (Runtime::current(), timer) else {
        drop_load(Some(load));
        return false;
    };
    flight.note_suspension(now);
    let waker = waker_ref(flight);
    let is_late = timer.poll(&mut Context::from_waker(&waker)).is_ready();
    let task = Task {
        group: Arc::clone(group),
        flight: Arc::clone(flight),
        load: Some(load),
        timer: Some(timer),
    };
    let Suspended { rest, .. } = flight.keep_load(|| Suspended {
        span: Span::current(),
        rest: Box::new(Sleeper::new(runtime, task)),
    });
    if is_late || flight.was_woken() {
        rest.wake();
    }
    // Followers that wait already may have to keep the deadline themselves.
    if rest.is_on_current_thread() {
        flight.wake_all();
    }
    // It may have been aborted when there was nothing to abort yet.
    if flight.has_landed() {
        rest.abort();
    }
    true
}

/// The rest of a load. If it is aborted, or its runtime ends, its `Drop` lands the flight as lost.
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
            group.land(flight, &Some(ending), false);
        } else if deadline.poll(cx).is_ready() {
            flight.seal();
            group.land(flight, &Some(Err(Error::TimedOut)), false);
            drop_load(load.take());
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
            // First, so that no caller waits for the load's own `Drop`.
            self.group.land(&self.flight, &None, false);
            drop_load(Some(load));
        }
    }
}

/// What a load that is not pending has come to. It is dropped before anyone learns of it: a panic in its `Drop` is
/// the load's.
fn ended<V, E, Fut>(
    polled: std::thread::Result<Poll<Result<V, E>>>,
    load: Option<Pin<Box<Fut>>>,
) -> SharedResult<V, E> {
    let result = match polled {
        Ok(Poll::Ready(Ok(value))) => Ok(Arc::new(value)),
        Ok(Poll::Ready(Err(error))) => Err(Error::Failed(Arc::new(error))),
        Ok(Poll::Pending) => unreachable!("a load that is pending has not ended"),
        Err(payload) => Err(Error::Panicked(message_of(payload))),
    };
    drop_load(load).map_or(result, |message| Err(Error::Panicked(message)))
}

/// Drops a load, and says what its `Drop` panicked with.
fn drop_load<Fut>(load: Option<Pin<Box<Fut>>>) -> Option<Arc<str>> {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(load)));
    dropped.err().map(message_of)
}

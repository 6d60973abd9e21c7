//! Loads: calling a loader, polling what it returns and dropping that, with every panic turned into an outcome.
//!
//! Where a load is kept between polls, and who polls it, belongs elsewhere.

use super::error::Panic;
use super::lineage::{FlightId, Polling};
use super::outcome::Ending;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A load of any loader.
pub(crate) type Load<V, E> = Pin<Box<dyn Future<Output = Result<V, E>> + Send>>;

/// Calls the loader of `flight` and polls its load, all in one guard against panics: most loads that are ready at once
/// are ready here.
pub(crate) fn begin_and_advance<V, E, Fut>(
    flight: FlightId,
    loader: impl FnOnce() -> Fut,
    cx: &mut Context<'_>,
) -> Result<Ending<V, E>, Pin<Box<Fut>>>
where
    Fut: Future<Output = Result<V, E>>,
{
    let _polling = Polling::of(flight);
    // Out here, so that a load that panicked is not dropped while that panic unwinds.
    let mut begun = None;
    let leg = catch_unwind(AssertUnwindSafe(|| {
        begun.insert(Box::pin(loader())).as_mut().poll(cx)
    }));
    match begun {
        Some(load) => ended(leg, load),
        None => Ok(leg.map_or_else(panicked, |_| unreachable!("only a load is polled"))),
    }
}

/// Calls the loader of `flight`.
pub(crate) fn begin<V, E, Fut>(
    flight: FlightId,
    loader: impl FnOnce() -> Fut,
) -> Result<Pin<Box<Fut>>, Ending<V, E>> {
    let _polling = Polling::of(flight);
    catch_unwind(AssertUnwindSafe(|| Box::pin(loader()))).map_err(panicked)
}

/// Polls the load of `flight` and, once it has ended, drops it before anybody learns of the outcome: a panic in its
/// `Drop` counts as the load's. A load that is still pending is handed back.
pub(crate) fn advance<V, E, Fut>(
    flight: FlightId,
    mut load: Pin<Box<Fut>>,
    cx: &mut Context<'_>,
) -> Result<Ending<V, E>, Pin<Box<Fut>>>
where
    Fut: Future<Output = Result<V, E>> + ?Sized,
{
    let _polling = Polling::of(flight);
    let leg = catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(cx)));
    ended(leg, load)
}

fn ended<V, E, Fut: ?Sized>(
    leg: std::thread::Result<Poll<Result<V, E>>>,
    load: Pin<Box<Fut>>,
) -> Result<Ending<V, E>, Pin<Box<Fut>>> {
    let ending = match leg {
        Ok(Poll::Pending) => return Err(load),
        Ok(Poll::Ready(result)) => result.into(),
        Err(payload) => panicked(payload),
    };
    Ok(discard(load).map_or(ending, panicked))
}

/// Drops a load and hands back what its `Drop` panicked with.
pub(crate) fn discard<Fut: ?Sized>(load: Pin<Box<Fut>>) -> Option<Box<dyn std::any::Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| drop(load))).err()
}

#[cold]
fn panicked<V, E>(payload: Box<dyn std::any::Any + Send>) -> Ending<V, E> {
    Ending::Panicked(Arc::new(Panic::new(payload)))
}

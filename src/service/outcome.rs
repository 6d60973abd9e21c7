//! What the ends of loads and flights mean: to a caller, and to the counters.

use tracing::error;

use super::answer::Refusal;
use crate::metrics::Metrics;
use crate::metrics::labels::{FlightOutcome, ShedReason};
use crate::singleflight::{Error, Landing, Outcome};
use crate::store::LoadError;
use crate::template::TemplateId;

pub(super) fn refusal(error: &Error<LoadError>) -> Refusal {
    match error {
        Error::Failed(error) => load_refusal(**error),
        Error::Saturated => Refusal::Shed(ShedReason::Waiters),
        Error::TimedOut | Error::WaitLimit => Refusal::Shed(ShedReason::Deadline),
        Error::Aborted | Error::Draining => Refusal::Unavailable,
        Error::Panicked(_) | Error::Reentrant | Error::NoRuntime => Refusal::Failed,
    }
}

pub(super) fn load_refusal(error: LoadError) -> Refusal {
    match error {
        LoadError::Busy => Refusal::Shed(ShedReason::DbQueue),
        LoadError::Unavailable | LoadError::TimedOut | LoadError::Failed => Refusal::Unavailable,
    }
}

pub(super) fn count_landing(metrics: &Metrics, landing: &Landing<'_, TemplateId>) {
    let outcome = match landing.outcome {
        Outcome::Ok => FlightOutcome::Ok,
        Outcome::Error => FlightOutcome::Error,
        Outcome::Panic => FlightOutcome::Panic,
        Outcome::Timeout => FlightOutcome::Timeout,
        Outcome::Aborted => FlightOutcome::Aborted,
    };
    if outcome == FlightOutcome::Panic {
        error!(template = %landing.key, "a load panicked");
    }
    metrics.singleflight_flights.of(outcome).inc();
    metrics
        .singleflight_callers
        .observe(f64::from(landing.callers));
}

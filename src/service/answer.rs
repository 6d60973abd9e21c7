//! What a request for a template comes to: an [`Answer`] or a [`Refusal`].

use std::time::Duration;

use thiserror::Error;

use crate::freshness::{Entry, Moment};
use crate::outcomes::{ShedReason, Source};
use crate::singleflight;
use crate::store::LoadError;

/// What is known of a template, and where it came from.
#[derive(Debug)]
pub struct Answer {
    /// What is known.
    pub entry: Entry,
    /// When the answer was made.
    pub now: Moment,
    /// Where it came from, if there is such a template.
    pub source: Source,
    /// Whether the cache answered, be it with a miss.
    pub cache_answered: bool,
    /// Whether this caller's own load stored it in the cache or in the local copy.
    pub stored: bool,
    /// How long the parts took.
    pub timings: Timings,
}

/// How long the parts of an answer took. A part that the answer did not need has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Asking the cache.
    pub cache: Duration,
    /// Waiting for another caller's load, or for another replica's.
    pub wait: Option<Duration>,
    /// This caller's own load: the wait for a permit, and the query.
    pub database: Option<Duration>,
}

/// How asking the cache went.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// When the request began.
    pub(super) at: Moment,
    pub(super) took: Duration,
    pub(super) answered: bool,
}

impl Asked {
    /// An answer that needed no load.
    pub(super) fn answer(self, entry: Entry, now: Moment, source: Source) -> Answer {
        Answer {
            entry,
            now,
            source,
            cache_answered: self.answered,
            stored: false,
            timings: Timings {
                cache: self.took,
                ..Timings::default()
            },
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A limit was reached.
    #[error("a limit was reached")]
    Shed(ShedReason),
    /// The database did not answer, and there is no copy.
    #[error("the database did not answer")]
    Unavailable,
    /// The load panicked.
    #[error("the load failed")]
    Failed,
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Busy => Self::Shed(ShedReason::DbQueue),
            LoadError::Unavailable | LoadError::TimedOut | LoadError::Failed => Self::Unavailable,
        }
    }
}

impl From<singleflight::Error<LoadError>> for Refusal {
    fn from(error: singleflight::Error<LoadError>) -> Self {
        use singleflight::Error;
        match error {
            Error::Failed(error) => (*error).into(),
            Error::Saturated => Self::Shed(ShedReason::Waiters),
            Error::TimedOut | Error::WaitLimit => Self::Shed(ShedReason::Deadline),
            Error::Aborted | Error::Draining => Self::Unavailable,
            Error::Panicked(_) | Error::Reentrant | Error::NoRuntime => Self::Failed,
        }
    }
}

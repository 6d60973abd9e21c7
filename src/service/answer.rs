//! What a request for a template comes to: an [`Answer`], or a [`Refusal`].

use std::time::Duration;

use thiserror::Error;

use crate::freshness::entry::{Entry, Moment};
use crate::metrics::labels::{ShedReason, Source};

/// What is known of a template, and how it came to be known.
#[derive(Debug)]
pub struct Answer {
    /// What is known.
    pub entry: Entry,
    /// When that was.
    pub now: Moment,
    /// Where it came from, there being such a template.
    pub source: Source,
    /// Whether the cache could be asked.
    pub cache_answered: bool,
    /// Whether this caller's own load left it in the cache or in the local copy.
    pub stored: bool,
    /// How long the parts took.
    pub timings: Timings,
}

/// How long the parts of an answer took; none for a part that it did not need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Asking the cache.
    pub cache: Duration,
    /// Waiting for another caller's load.
    pub wait: Option<Duration>,
    /// This caller's own load: the slot and the query.
    pub database: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A limit was reached.
    #[error("a limit was reached")]
    Shed(ShedReason),
    /// The database could not say, and there is no copy.
    #[error("the database could not say")]
    Unavailable,
    /// The load panicked.
    #[error("the load failed")]
    Failed,
}

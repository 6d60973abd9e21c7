//! How a flight ends, and what its callers are told.

use super::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;

/// Which flight it was: unique within its group, and rising for any one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub(crate) u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a caller came by its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its own load ran.
    Leader,
    /// It joined a flight that was under way; its own loader was never called.
    Follower,
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The load returned a value.
    Ok,
    /// The load returned its error.
    Error,
    /// The load panicked.
    Panic,
    /// The deadline passed first.
    Timeout,
    /// The flight was aborted: by its last caller's leaving, by a drain, or with the runtime that its load ran on.
    Aborted,
}

/// A caller's part in a flight, however it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Part {
    /// Whether this caller's load was the one that ran.
    pub role: Role,
    /// All callers of the flight, this one included; those so far if this one left before its end.
    pub callers: u32,
    /// Which flight it was.
    pub generation: Generation,
    /// How long this caller was suspended: zero if the load was ready at its first poll.
    pub waited: Duration,
    /// The span that the load ran in; none if it was ready at its first poll and the group opens no spans.
    pub span: Option<Span>,
}

impl Part {
    /// Whether there was more than one caller.
    pub fn shared(&self) -> bool {
        self.callers > 1
    }
}

/// A call's result together with the caller's part in the flight.
#[derive(Debug)]
pub struct Report<V, E> {
    /// The value, or why there is none.
    pub result: Result<Arc<V>, Error<E>>,
    /// The caller's part; none if it was on no flight (saturated, re-entrant, draining).
    pub part: Option<Part>,
}

/// A flight's outcome as its callers share it.
pub(crate) enum Ending<V, E> {
    Ok(Arc<V>),
    Failed(Arc<E>),
    Panicked(Arc<str>),
    TimedOut,
    Aborted,
    /// The load went down with the runtime that it ran on.
    Lost,
}

impl<V, E> Ending<V, E> {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Ok(_) => Outcome::Ok,
            Self::Failed(_) => Outcome::Error,
            Self::Panicked(_) => Outcome::Panic,
            Self::TimedOut => Outcome::Timeout,
            Self::Aborted | Self::Lost => Outcome::Aborted,
        }
    }

    #[inline]
    pub(crate) fn into_result(self) -> Result<Arc<V>, Error<E>> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Failed(error) => Err(Error::Failed(error)),
            Self::Panicked(message) => Err(Error::Panicked(message)),
            Self::TimedOut => Err(Error::TimedOut),
            Self::Aborted | Self::Lost => Err(Error::Aborted),
        }
    }
}

impl<V, E> From<Result<V, E>> for Ending<V, E> {
    fn from(result: Result<V, E>) -> Self {
        match result {
            Ok(value) => Self::Ok(Arc::new(value)),
            Err(error) => Self::Failed(Arc::new(error)),
        }
    }
}

impl<V, E> Clone for Ending<V, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Ok(value) => Self::Ok(Arc::clone(value)),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked(message) => Self::Panicked(Arc::clone(message)),
            Self::TimedOut => Self::TimedOut,
            Self::Aborted => Self::Aborted,
            Self::Lost => Self::Lost,
        }
    }
}

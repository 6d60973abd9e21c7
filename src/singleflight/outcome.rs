//! What callers get: the value with the story of its flight, and how a flight can end.
//!
//! Errors have a file of their own.

use super::error::{Error, Panic};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// Its own loader ran.
    Leader,
    /// It joined a flight that was under way; its own loader was never called.
    Follower,
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The loader returned a value.
    Ok,
    /// The loader returned its error.
    Error,
    /// The loader panicked.
    Panic,
    /// The deadline passed first.
    Timeout,
    /// The flight was aborted: by `abort`, by its last caller's leaving, by a drain or by the end of the runtime.
    Aborted,
}

/// A value, and the flight it came with.
#[derive(Debug)]
pub struct Flown<V> {
    /// The value itself, the same allocation for every caller.
    pub value: Arc<V>,
    /// Whether this caller's loader produced it.
    pub role: Role,
    /// Everyone who was on the flight, this caller included: 1 if it was alone.
    pub callers: u32,
    /// Which flight it was.
    pub generation: Generation,
    /// How long this caller was suspended: zero if the load was ready at its first poll.
    pub waited: Duration,
}

impl<V> Flown<V> {
    /// Whether the value went to more than one caller.
    pub fn shared(&self) -> bool {
        self.callers > 1
    }
}

impl<V> Clone for Flown<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            ..*self
        }
    }
}

/// A caller's part in a flight, whatever became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ride {
    /// Whether this caller's loader was the one that ran.
    pub role: Role,
    /// Everyone who was on the flight, this caller included; those so far, if this caller left before its end.
    pub callers: u32,
    /// Which flight it was.
    pub generation: Generation,
    /// How long this caller was suspended.
    pub waited: Duration,
}

impl Ride {
    /// Whether there was more than one caller.
    pub fn shared(&self) -> bool {
        self.callers > 1
    }
}

/// A call's result, error or not, together with the caller's part in the flight.
#[derive(Debug)]
pub struct Report<V, E> {
    /// The value, or why there is none.
    pub result: Result<Arc<V>, Error<E>>,
    /// The flight this call was on; `None` if it was never let aboard (saturated, re-entrant, draining).
    pub ride: Option<Ride>,
}

impl<V, E> Report<V, E> {
    pub(crate) fn refused(error: Error<E>) -> Self {
        Self {
            result: Err(error),
            ride: None,
        }
    }

    /// The result alone: a value with its story, or the error without.
    #[inline]
    pub fn into_result(self) -> Result<Flown<V>, Error<E>> {
        let value = self.result?;
        let Ride {
            role,
            callers,
            generation,
            waited,
        } = self.ride.expect("a value comes from a flight");
        Ok(Flown {
            value,
            role,
            callers,
            generation,
            waited,
        })
    }
}

/// A flight's outcome as its callers share it.
pub(crate) enum Ending<V, E> {
    Ok(Arc<V>),
    Failed(Arc<E>),
    Panicked(Arc<Panic>),
    TimedOut,
    Aborted,
}

impl<V, E> Ending<V, E> {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Ok(_) => Outcome::Ok,
            Self::Failed(_) => Outcome::Error,
            Self::Panicked(_) => Outcome::Panic,
            Self::TimedOut => Outcome::Timeout,
            Self::Aborted => Outcome::Aborted,
        }
    }

    #[inline]
    pub(crate) fn into_result(self) -> Result<Arc<V>, Error<E>> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Failed(error) => Err(Error::Failed(error)),
            Self::Panicked(panic) => Err(Error::Panicked(panic)),
            Self::TimedOut => Err(Error::TimedOut),
            Self::Aborted => Err(Error::Aborted),
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
            Self::Panicked(panic) => Self::Panicked(Arc::clone(panic)),
            Self::TimedOut => Self::TimedOut,
            Self::Aborted => Self::Aborted,
        }
    }
}

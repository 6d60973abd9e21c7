//! What is told of a flight: to its callers, to the hook when it lands, and to those who list it.

use super::error::Error;
use super::flight::Note;
use super::stats::Outcome;
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
    /// Its own load ran.
    Leader,
    /// It joined a flight that was under way; its own loader was never called.
    Follower,
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
    /// What the load has left for its callers ([`Loading::leave_note`](super::Loading::leave_note)).
    pub note: Option<Note>,
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

/// A flight that has just landed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Landing<'a, K> {
    /// What was loaded.
    pub key: &'a K,
    /// How it ended.
    pub outcome: Outcome,
    /// What the load panicked with, if it did.
    pub panic: Option<&'a str>,
    /// All of its callers: 1 if none joined the leader.
    pub callers: u32,
    /// From its load's first suspension to its landing: zero if the load was ready at once.
    pub took: Duration,
    /// Which flight it was.
    pub generation: Generation,
    /// What its load has left ([`Loading::leave_note`](super::Loading::leave_note)).
    pub note: Option<&'a Note>,
}

/// A flight that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight<K> {
    /// What is being loaded.
    pub key: K,
    /// How long ago its load was first suspended.
    pub age: Duration,
    /// All callers that have joined so far.
    pub callers: u32,
    /// Which flight it is.
    pub generation: Generation,
    /// Whether the next caller for the key would join it: false once it has been forgotten.
    pub current: bool,
}

/// The result that a flight's callers share.
pub(crate) type SharedResult<V, E> = Result<Arc<V>, Error<E>>;

/// How a flight ended: none if its load went down with the runtime that it ran on.
pub(crate) type Ending<V, E> = Option<SharedResult<V, E>>;

/// What an ending counts as.
pub(crate) fn outcome_of<V, E>(ending: &Ending<V, E>) -> Outcome {
    match ending {
        Some(Ok(_)) => Outcome::Ok,
        Some(Err(Error::Failed(_))) => Outcome::Error,
        Some(Err(Error::Panicked(_))) => Outcome::Panic,
        Some(Err(Error::TimedOut)) => Outcome::Timeout,
        _ => Outcome::Aborted,
    }
}

/// What an ending is for a caller that cannot load for itself.
pub(crate) fn result_of<V, E>(ending: Ending<V, E>) -> SharedResult<V, E> {
    ending.unwrap_or(Err(Error::Aborted))
}

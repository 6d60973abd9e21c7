//! What is told about flights: each one when it ends, those in the air when asked, and the sums of all.

use super::outcome::{Generation, Outcome};
use std::time::Duration;

/// A flight that has just ended.
#[derive(Debug)]
pub struct Landing<'a, K> {
    /// What was loaded.
    pub key: &'a K,
    /// How it ended.
    pub outcome: Outcome,
    /// Everyone who was on it: 1 if nobody joined its leader.
    pub callers: u32,
    /// From its beginning to now.
    pub took: Duration,
    /// Which flight it was.
    pub generation: Generation,
}

/// A hook for landings.
pub(crate) type OnLanding<K> = dyn Fn(&Landing<'_, K>) + Send + Sync;

/// A flight that is in the air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight<K> {
    /// What is being loaded.
    pub key: K,
    /// How long its load has been going since its first suspension.
    pub age: Duration,
    /// Everyone who has boarded so far.
    pub callers: u32,
    /// Which flight it is.
    pub generation: Generation,
    /// Whether the next caller for the key would join it: false once it has been forgotten.
    pub current: bool,
}

/// What a group has counted since it was built: `flights` is the sum of `ok`, `errors`, `panics`, `timeouts`, `aborted`
/// and `in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Flights begun; each called its leader's loader, unless it was aborted first.
    pub flights: u64,
    /// Callers who joined a flight instead of beginning one.
    pub joins: u64,
    /// Flights that ended with a value.
    pub ok: u64,
    /// Flights that ended with their loader's error.
    pub errors: u64,
    /// Flights whose loader panicked.
    pub panics: u64,
    /// Flights that reached their deadline.
    pub timeouts: u64,
    /// Flights that were aborted.
    pub aborted: u64,
    /// Flights in the air, forgotten ones included.
    pub in_flight: usize,
    /// Callers refused because a flight was full.
    pub saturated: u64,
    /// Callers refused because a load would have waited for itself.
    pub reentrant: u64,
    /// Callers whose own patience ran out.
    pub waited_too_long: u64,
    /// Flights that were forgotten, or superseded as too old to join.
    pub forgotten: u64,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Flights that were in the air and ended by themselves.
    pub finished: usize,
    /// Flights that were aborted at the drain's deadline.
    pub aborted: usize,
}

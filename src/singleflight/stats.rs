//! How flights end, and how many did.

use std::ops::Add;

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

/// What a group has counted since it was built: `flights` is the sum of `ok`, `errors`, `panics`, `timeouts`, `aborted`
/// and `in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Flights begun; each called its leader's loader.
    pub flights: u64,
    /// Callers that joined a flight instead of beginning one.
    pub joins: u64,
    /// Flights that ended with a value.
    pub ok: u64,
    /// Flights that ended with their load's error.
    pub errors: u64,
    /// Flights whose load panicked.
    pub panics: u64,
    /// Flights that reached their deadline.
    pub timeouts: u64,
    /// Flights that were aborted.
    pub aborted: u64,
    /// Flights under way, forgotten ones included.
    pub in_flight: usize,
    /// Callers refused because a flight was full.
    pub saturated: u64,
    /// Callers refused because a load would have waited for itself.
    pub reentrant: u64,
    /// Callers whose own wait limit passed.
    pub wait_limits: u64,
    /// Flights that were forgotten.
    pub forgotten: u64,
}

impl Stats {
    /// Counts one flight that ended.
    pub(super) fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Error => &mut self.errors,
            Outcome::Panic => &mut self.panics,
            Outcome::Timeout => &mut self.timeouts,
            Outcome::Aborted => &mut self.aborted,
        } += 1;
    }
}

impl Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            flights: self.flights + other.flights,
            joins: self.joins + other.joins,
            ok: self.ok + other.ok,
            errors: self.errors + other.errors,
            panics: self.panics + other.panics,
            timeouts: self.timeouts + other.timeouts,
            aborted: self.aborted + other.aborted,
            in_flight: self.in_flight + other.in_flight,
            saturated: self.saturated + other.saturated,
            reentrant: self.reentrant + other.reentrant,
            wait_limits: self.wait_limits + other.wait_limits,
            forgotten: self.forgotten + other.forgotten,
        }
    }
}

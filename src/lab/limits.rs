//! [`Limit`]: how much of anything the lab may be asked for.

use std::ops::RangeInclusive;

use serde::Serialize;

/// From so much to so much of something.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limit {
    least: u64,
    most: u64,
    #[serde(skip)]
    complaint: &'static str,
}

impl Limit {
    /// What was asked for, or what is allowed if nothing was; an error says which limit is in the way.
    pub(super) fn check(self, asked: Option<u64>, otherwise: u64) -> Result<u64, &'static str> {
        let asked = asked.unwrap_or(otherwise);
        if (self.least..=self.most).contains(&asked) {
            Ok(asked)
        } else {
            Err(self.complaint)
        }
    }
}

const fn limit(range: RangeInclusive<u64>, complaint: &'static str) -> Limit {
    Limit {
        least: *range.start(),
        most: *range.end(),
        complaint,
    }
}

/// The limits by the name of what they limit.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    pub(super) callers: Limit,
    pub(super) query_time_ms: Limit,
    pub(super) knee: Limit,
    pub(super) spread_ms: Limit,
    pub(super) rate_per_second: Limit,
    pub(super) ttl_ms: Limit,
    pub(super) duration_ms: Limit,
    pub(super) phase_ms: Limit,
    pub(super) traffic_per_second: Limit,
    pub(super) slow_ms: Limit,
}

/// As many queries as the service may have at once by default: its own limit keeps such a database at its best.
pub(super) const USUAL_KNEE: u64 = 10;

/// What a person can want to see fits in here, and what would hurt the machine does not.
pub(super) const LIMITS: Limits = Limits {
    callers: limit(1..=5_000, "callers must be from 1 to 5000"),
    query_time_ms: limit(0..=2_000, "query_time_ms must be from 0 to 2000"),
    knee: limit(1..=1_000, "knee must be from 1 to 1000"),
    spread_ms: limit(0..=2_000, "spread_ms must be from 0 to 2000"),
    rate_per_second: limit(1..=2_000, "rate_per_second must be from 1 to 2000"),
    ttl_ms: limit(100..=10_000, "ttl_ms must be from 100 to 10000"),
    duration_ms: limit(500..=30_000, "duration_ms must be from 500 to 30000"),
    phase_ms: limit(
        500..=15_000,
        "warm_ms, outage_ms and recovery_ms must be from 500 to 15000",
    ),
    traffic_per_second: limit(0..=2_000, "traffic_per_second must be from 0 to 2000"),
    slow_ms: limit(
        1..=5_000,
        "cache_slow_ms and database_slow_ms must be from 1 to 5000",
    ),
};

//! [`Clock`]: microseconds since the run began, which the checker and the database can agree on.

use std::time::{Duration, Instant, SystemTime};

/// A point in time, in microseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// The same moment, in microseconds since the Unix epoch.
    epoch: i64,
}

impl Clock {
    /// The run begins.
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            began: Instant::now(),
            epoch: epoch.unwrap_or_default().as_micros() as i64,
        }
    }

    /// Now.
    pub(crate) fn now(self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// What the database calls by its distance from the Unix epoch.
    pub(crate) fn at_epoch(self, micros: i64) -> u64 {
        micros.saturating_sub(self.epoch).max(0) as u64
    }

    /// The instant of a moment.
    pub(crate) fn instant(self, micros: u64) -> Instant {
        self.began + Duration::from_micros(micros)
    }
}

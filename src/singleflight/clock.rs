//! The group's time: nanoseconds since it was built, on the runtime's clock, so that paused time pauses it too.

use tokio::time::Instant;

/// Counts from an epoch of its own.
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// Nanoseconds since just before the start, which a u64 holds for 584 years: never 0, which stands for "not yet".
    pub(crate) fn now(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.epoch);
        since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()) + 1
    }
}

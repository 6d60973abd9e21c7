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

    /// Nanoseconds since the start, which a u64 holds for 584 years.
    pub(crate) fn now(&self) -> u64 {
        Instant::now()
            .saturating_duration_since(self.epoch)
            .as_nanos() as u64
    }
}

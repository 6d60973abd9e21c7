//! [`Silence`]: time-outs in a row, counted so that one wave of them is one.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Counts time-outs in a row. Calls that ran at the same time count once: a call that began before the last counted
/// time-out belongs to the same wave.
#[derive(Default)]
pub(super) struct Silence {
    heard_since: AtomicBool,
    waves: Mutex<Waves>,
}

#[derive(Default)]
struct Waves {
    count: u32,
    last: Option<Instant>,
}

impl Silence {
    const MOST: u32 = 3;

    /// The server answered.
    pub(super) fn broken(&self) {
        self.heard_since.store(true, Ordering::Relaxed);
    }

    /// A call that began then had no answer in time. Says whether that was one too many.
    pub(super) fn goes_on_since(&self, began: Instant) -> bool {
        let mut waves = self.waves.lock();
        if self.heard_since.swap(false, Ordering::Relaxed) {
            *waves = Waves::default();
        }
        if waves.last.is_none_or(|last| began >= last) {
            waves.count += 1;
            waves.last = Some(Instant::now());
        }
        waves.count >= Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn three_time_outs_in_a_row_are_too_many() {
        let silence = Silence::default();
        for expected in [false, false, true] {
            let began = Instant::now();
            tokio::time::advance(Duration::from_millis(50)).await;
            assert_eq!(silence.goes_on_since(began), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_ran_at_the_same_time_count_once() {
        let silence = Silence::default();
        let began = Instant::now();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!silence.goes_on_since(began));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_starts_the_count_again() {
        let silence = Silence::default();
        for _ in 0..10 {
            let began = Instant::now();
            tokio::time::advance(Duration::from_millis(50)).await;
            assert!(!silence.goes_on_since(began));
            silence.broken();
        }
    }
}

//! [`Breaker`]: when a cache that does not answer is given up. [`Backoff`]: how long to wait before it is tried again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Opens after [`Breaker::MOST_TIMEOUTS`] time-outs in a row. Calls that ran at the same time count once: a call that
/// began before the last counted time-out belongs to the same wave.
pub(super) struct Breaker {
    /// Whether an answer came since the last time-out.
    has_answered: AtomicBool,
    waves: Mutex<Waves>,
}

#[derive(Default)]
struct Waves {
    count: u32,
    last: Option<Instant>,
}

/// What a time-out means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask on.
    KeepAsking,
    /// It was one too many.
    GiveUp,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            has_answered: AtomicBool::new(true),
            waves: Mutex::default(),
        }
    }
}

impl Breaker {
    const MOST_TIMEOUTS: u32 = 3;

    /// Whether no time-out was recorded since the last answer.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Sets the count of time-outs back to zero.
    pub(super) fn record_answer(&self) {
        // Read first: the answers of all cores would otherwise write to the same cache line.
        if !self.has_answered() {
            self.has_answered.store(true, Ordering::Relaxed);
        }
    }

    /// Counts a call that began then and had no answer in time.
    pub(super) fn record_timeout(&self, began: Instant) -> Verdict {
        let mut waves = self.waves.lock();
        if self.has_answered.swap(false, Ordering::Relaxed) {
            *waves = Waves::default();
        }
        if waves.last.is_none_or(|last| began >= last) {
            waves.count += 1;
            waves.last = Some(Instant::now());
        }
        if waves.count >= Self::MOST_TIMEOUTS {
            Verdict::GiveUp
        } else {
            Verdict::KeepAsking
        }
    }
}

/// Pauses between attempts to connect. They grow, so that a flapping server is left in peace; they are jittered, so that
/// replicas spread; and they are short, so that the first hit comes within a second of the server's return.
#[derive(Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_millis(700);

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let full = Self::FIRST
            .saturating_mul(1 << self.attempts.min(8))
            .min(Self::LONGEST);
        self.attempts += 1;
        jittered(full)
    }
}

/// Up to a quarter less, at random.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + 0.25 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn three_time_outs_in_a_row_are_too_many() {
        let breaker = Breaker::default();
        for expected in [Verdict::KeepAsking, Verdict::KeepAsking, Verdict::GiveUp] {
            let began = Instant::now();
            tokio::time::advance(STEP).await;
            assert_eq!(breaker.record_timeout(began), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_ran_at_the_same_time_count_once() {
        let breaker = Breaker::default();
        let began = Instant::now();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(breaker.record_timeout(began), Verdict::KeepAsking);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_starts_the_count_again() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            let began = Instant::now();
            tokio::time::advance(STEP).await;
            assert_eq!(breaker.record_timeout(began), Verdict::KeepAsking);
            breaker.record_answer();
        }
    }

    #[test]
    fn pauses_grow_and_stay_under_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= Backoff::FIRST && pauses[1] > pauses[0] && pauses[9] > pauses[0]);
        assert!(pauses.iter().all(|pause| *pause <= Backoff::LONGEST));
    }
}

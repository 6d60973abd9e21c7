//! [`Tally`]: what came, how fast, and what must not have come.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Violations beyond these are counted, not shown.
const MOST_SHOWN: usize = 20;

/// What the run has brought so far.
pub(crate) struct Tally {
    began: Instant,
    counts: Mutex<Counts>,
}

/// The numbers behind a [`Tally`].
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) sources: BTreeMap<&'static str, u64>,
    /// Callers that hung up before there was an answer.
    pub(crate) hung_up: u64,
    /// Answers while the database was well.
    pub(crate) well: Latencies,
    /// Answers while it was not.
    pub(crate) broken: Latencies,
    pub(crate) violations: usize,
}

impl Counts {
    /// All answers.
    pub(crate) fn answers(&self) -> u64 {
        self.sources.values().sum()
    }

    /// Every source with its count.
    pub(crate) fn by_source(&self) -> String {
        let words: Vec<_> = self
            .sources
            .iter()
            .map(|(source, count)| format!("{source} {count}"))
            .collect();
        words.join(", ")
    }
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            counts: Mutex::default(),
        }
    }

    /// How long the run has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Counts one exchange.
    pub(crate) fn count(&self, source: &'static str, well: bool, latency: Duration) {
        let mut counts = self.lock();
        *counts.sources.entry(source).or_default() += 1;
        (if well {
            &mut counts.well
        } else {
            &mut counts.broken
        })
        .record(latency);
    }

    /// Counts a caller that hung up.
    pub(crate) fn hung_up(&self) {
        self.lock().hung_up += 1;
    }

    /// Notes that a promise was broken, and shows it at once.
    pub(crate) fn violation(&self, what: &str) {
        let mut counts = self.lock();
        counts.violations += 1;
        if counts.violations <= MOST_SHOWN {
            println!(
                "VIOLATION after {:.1} s: {what}",
                self.elapsed().as_secs_f64()
            );
        }
    }

    /// The numbers so far.
    pub(crate) fn so_far(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nobody panics with it")
    }
}

/// Latencies in buckets 5 % wide: a fixed size, however long the run.
#[derive(Clone)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
}

const WIDTH: f64 = 1.05;
const BUCKETS: usize = 400;

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
        }
    }
}

impl Latencies {
    fn record(&mut self, latency: Duration) {
        let microseconds = latency.as_micros().max(1) as f64;
        self.buckets[(microseconds.log(WIDTH) as usize).min(BUCKETS - 1)] += 1;
    }

    /// How many were recorded.
    pub(crate) fn len(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The latency that this share of the answers did not exceed, to 5 %.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.len() as f64 * share).ceil() as u64;
        let mut sum = 0;
        let bucket = self.buckets.iter().position(|count| {
            sum += count;
            sum >= rank.max(1)
        });
        Duration::from_secs_f64(bucket.map_or(0.0, |bucket| WIDTH.powi(bucket as i32 + 1)) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_5_percent() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=1_000).for_each(|milliseconds| latencies.record(Duration::from_millis(milliseconds)));
        for (share, exact) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let ratio = latencies.quantile(share).as_secs_f64() / exact;
            assert!((1.0..=1.06).contains(&ratio), "{share}: {ratio}");
        }
    }
}

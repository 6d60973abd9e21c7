//! [`Reading`]: the counters at one moment, so that the lab can compare two moments.

use std::time::Duration;

use prometheus::core::Metric as _;

use super::labels::{Labels as _, Method, Route};
use super::{Metrics, SECONDS};
use crate::outcomes::Source;

/// The counters at one moment, or their growth between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `template_responses_total`, in the order of [`Source::all`].
    pub sources: Vec<u64>,
    /// `db_hits_total`.
    pub queries: u64,
    /// `cache_hits_total`.
    pub hits: u64,
    /// `cache_misses_total`.
    pub misses: u64,
    /// `cache_errors_total{op="get"}` except `corrupt`, which is a miss too.
    pub unanswered: u64,
    /// `singleflight_shared_total`.
    pub shared: u64,
    /// `http_request_duration_seconds` of GETs for a template: the cumulative count of each bucket, then of all.
    durations: Vec<u64>,
}

impl Metrics {
    /// The counters now.
    pub fn read(&self) -> Reading {
        let durations = self
            .http
            .durations(Route::TemplateDetails, Method::Get)
            .metric();
        let durations = durations.get_histogram();
        let bounded = durations
            .get_bucket()
            .iter()
            .map(|bucket| bucket.cumulative_count());
        Reading {
            sources: Source::all()
                .into_iter()
                .map(|source| self.template_responses.of(source).get())
                .collect(),
            queries: self.db_hits.get(),
            hits: self.cache_hits.get(),
            misses: self.cache_misses.get(),
            unanswered: self.unanswered_lookups(),
            shared: self.singleflight_shared.get(),
            durations: bounded.chain([durations.get_sample_count()]).collect(),
        }
    }

    fn unanswered_lookups(&self) -> u64 {
        use crate::outcomes::{Operation, Reason};
        let reasons = [Reason::Timeout, Reason::Unavailable, Reason::Error];
        reasons
            .into_iter()
            .map(|reason| self.cache_errors.of((Operation::Get, reason)).get())
            .sum()
    }
}

impl Reading {
    /// The growth since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = |now: &[u64], then: &[u64]| {
            let pairs = now.iter().zip(then);
            pairs
                .map(|(now, then)| now.saturating_sub(*then))
                .collect::<Vec<_>>()
        };
        Self {
            sources: grown(&self.sources, &earlier.sources),
            queries: self.queries.saturating_sub(earlier.queries),
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
            unanswered: self.unanswered.saturating_sub(earlier.unanswered),
            shared: self.shared.saturating_sub(earlier.shared),
            durations: grown(&self.durations, &earlier.durations),
        }
    }

    /// Answered requests for a template.
    pub fn requests(&self) -> u64 {
        self.sources.iter().sum()
    }

    /// A quantile of the durations, estimated from the histogram as `histogram_quantile` does; none without requests.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all = *self.durations.last().filter(|all| **all > 0)?;
        let rank = all as f64 * share;
        let at = self
            .durations
            .iter()
            .position(|count| *count as f64 >= rank)?;
        let Some(upper) = SECONDS.get(at) else {
            // Beyond the last bound, that bound is all that is known.
            return SECONDS.last().copied().map(Duration::from_secs_f64);
        };
        let (lower, below) = match at {
            0 => (0.0, 0),
            at => (SECONDS[at - 1], self.durations[at - 1]),
        };
        let inside = (self.durations[at] - below) as f64;
        let part = if inside > 0.0 {
            (rank - below as f64) / inside
        } else {
            1.0
        };
        Some(Duration::from_secs_f64(lower + (upper - lower) * part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket_and_only_counts_what_was_added() {
        let metrics = Metrics::new("test");
        let observe = |seconds| {
            metrics
                .http
                .observe(Route::TemplateDetails, Method::Get, 200, seconds)
        };
        (0..1_000).for_each(|_| observe(2.0));
        let before = metrics.read();
        assert_eq!(before.since(&before).quantile(0.95), None);
        (0..90).for_each(|_| observe(0.000_05));
        (0..10).for_each(|_| observe(0.02));
        let p95 = metrics.read().since(&before).quantile(0.95);
        assert_eq!(p95, Some(Duration::from_micros(17_500)));
    }
}

//! How large a stampede will be, and how much a strategy that protects may ask for: known before it begins.

use std::time::Duration;

use crate::config::Config;
use crate::lab::plan::{DatabaseLimits, Load, StampedePlan};
use crate::lab::predict::stampede_size;
use crate::lab::strategy::Strategy;

/// Longest that the queries of one strategy may take the database.
const LONGEST_SECONDS: f64 = 60.0;

const TOO_LARGE: &str = "without protection these queries would take the database more than a minute: lower query_time_ms \
     or callers (in a burst), rate_per_second or duration_ms (under sustained traffic), or raise knee, or keep the limits";

impl StampedePlan {
    /// How many requests there will be.
    pub(super) fn requests(&self) -> f64 {
        match self.load {
            Load::Burst { callers, .. } => callers as f64,
            Load::Sustained {
                rate_per_second,
                duration_ms,
                ..
            } => rate_per_second as f64 * duration_ms as f64 / 1e3,
        }
    }

    /// How many ask before the first answer is there, if every miss is a query.
    pub(super) fn predicted_queries(&self) -> f64 {
        let at_once = match self.load {
            // A request after an answer that takes no time finds it in the cache.
            _ if self.query_time_ms == 0 => 1.0,
            Load::Burst { spread_ms: 0, .. } => self.requests(),
            _ => stampede_size(self.arrivals_per_query(), self.knee as f64),
        };
        at_once.min(self.requests()).max(1.0)
    }

    /// Arrival rate x query time: how many arrive while one query runs on a database that has nothing else to do.
    fn arrivals_per_query(&self) -> f64 {
        let query_time = self.query_time_ms as f64;
        match self.load {
            Load::Burst { spread_ms, .. } => self.requests() * query_time / spread_ms as f64,
            Load::Sustained {
                rate_per_second, ..
            } => rate_per_second as f64 * query_time / 1e3,
        }
    }

    /// How often a TTL can begin in the run, and so need a query.
    pub(super) fn expiries(&self) -> u64 {
        match self.load {
            Load::Burst { .. } => 1,
            Load::Sustained {
                ttl_ms,
                duration_ms,
                ..
            } => duration_ms.div_ceil(ttl_ms).max(1),
        }
    }

    /// The most queries that are as promised of a run whose requests took so long to arrive; none is promised without
    /// protection. On a busy machine the last requests are late, and one more TTL may have ended for them.
    pub(super) fn promised_queries(&self, strategy: Strategy, arrived: Duration) -> Option<u64> {
        let arrived = u64::try_from(arrived.as_millis()).unwrap_or(u64::MAX);
        match (strategy, self.load) {
            (
                Strategy::Early,
                Load::Sustained {
                    ttl_ms,
                    duration_ms,
                    ..
                },
            ) => {
                // XFetch is expected to load when chances add up to one, which is this long before the TTL ends.
                let query_time = self.query_time_ms as f64;
                let lead = query_time * self.arrivals_per_query().max(1.0).ln();
                let between = (ttl_ms as f64 - lead).max(0.0) + query_time;
                Some(2 * (duration_ms.max(arrived) as f64 / between).ceil().max(1.0) as u64)
            }
            (strategy, Load::Burst { .. }) => strategy.is_protected().then_some(1),
            (
                strategy,
                Load::Sustained {
                    ttl_ms,
                    duration_ms,
                    rate_per_second,
                },
            ) => {
                // The first TTL begins with the first request, which comes one interval after the beginning.
                let since_the_first = arrived.saturating_sub(1_000 / rate_per_second.max(1));
                let begun = since_the_first / ttl_ms + 1;
                strategy
                    .is_protected()
                    .then(|| begun.max(duration_ms.div_ceil(ttl_ms)))
            }
        }
    }

    /// Whether the database gets through with it, or gives up soon enough.
    pub(super) fn check_size(&self, config: &Config) -> Result<(), &'static str> {
        let bare = |strategy: &Strategy| !strategy.is_protected();
        if self.limits == DatabaseLimits::Kept || !self.strategies.iter().any(bare) {
            return Ok(());
        }
        let queries = (self.predicted_queries() * self.expiries() as f64).min(self.requests());
        let slots = config.db_max_connections;
        let at_best = slots.min(self.knee as usize);
        let to_the_end = queries * self.query_time_ms as f64 / 1e3 / at_best as f64;
        let all_given_up = (queries / slots as f64).ceil() * config.db_timeout.as_secs_f64();
        let seconds = to_the_end.min(all_given_up);
        if seconds > LONGEST_SECONDS {
            Err(TOO_LARGE)
        } else {
            Ok(())
        }
    }
}

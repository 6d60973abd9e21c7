//! What arithmetic says of a stampede before it happens. The runs confirm it: see the tests below and those of the lab.

use std::f64::consts::E;

use serde::Serialize;

/// How many callers arrive before the first answer is there, if every miss is a query. `arrivals` is arrival rate x query
/// time, `knee` how many queries at once are as fast as one.
///
/// Up to the knee the first answer is there after the query time `s`, so that `rate x s` have arrived. Beyond it the
/// queries share the database: when `rate x t` of them run, the first one advances at `knee / (rate x t)` of its speed.
/// It reaches the knee at `t1 = knee / rate` and ends at the `t` at which `t1 + t1 x ln(t / t1) = s`. So
/// `t = t1 x e^(s / t1 - 1)`, and `rate x t` have arrived.
pub(super) fn stampede_size(arrivals: f64, knee: f64) -> f64 {
    if arrivals <= knee {
        arrivals
    } else {
        knee * (arrivals / knee).exp() / E
    }
}

/// A service as its owner describes it. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Requests per second, to all replicas together, and spread evenly over them and over the keys.
    pub(super) rate: f64,
    pub(super) keys: f64,
    pub(super) query_time: f64,
    pub(super) ttl: f64,
    pub(super) replicas: f64,
    pub(super) knee: f64,
    /// Longest wait that is good enough.
    pub(super) goal: f64,
}

/// What to expect of it, with each measure.
#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    /// The most queries that the database answers.
    pub(super) capacity_per_second: f64,
    pub(super) measures: [Expected; 4],
}

/// What to expect with one measure, and those above it.
#[derive(Debug, Serialize)]
pub(super) struct Expected {
    measure: &'static str,
    setting: &'static str,
    pub(super) queries_at_expiry: f64,
    pub(super) queries_per_second: f64,
    longest_wait_ms: f64,
    pub(super) queries_per_second_without_cache: f64,
    meets_goal: bool,
}

impl Situation {
    pub(super) fn prediction(&self) -> Prediction {
        let Self {
            keys, query_time, ..
        } = *self;
        let per_key = self.rate / keys;
        let per_copy = per_key / self.replicas;
        // The first caller, and all who arrive before its answer.
        // Beyond this no figure means anything, and JSON has no infinity.
        let unprotected = 1.0 + stampede_size(per_key * query_time, self.knee).min(1e12);
        // Each replica that is asked meanwhile makes a query of its own.
        let others_ask = 1.0 - (-per_copy * query_time).exp();
        let shared = 1.0 + (self.replicas - 1.0) * others_ask;
        // Without a cache, a key of a replica is either loading or waiting for its next request.
        let one_at_a_time = self.rate / (1.0 + per_copy * query_time);
        // Copies in the process make each replica a cache of its own.
        let copies = keys * self.replicas / self.cycle(per_copy, 1.0);
        let expected = |measure, setting, at_expiry: f64, without_cache| {
            let wait = self.query_time(at_expiry);
            Expected {
                measure,
                setting,
                queries_at_expiry: at_expiry,
                queries_per_second: keys * at_expiry / self.cycle(per_key, at_expiry),
                longest_wait_ms: wait * 1e3,
                queries_per_second_without_cache: without_cache,
                meets_goal: wait <= self.goal,
            }
        };
        Prediction {
            capacity_per_second: self.knee / query_time,
            measures: [
                expected("none", "PROTECTION=off", unprotected, self.rate),
                expected(
                    "singleflight",
                    "PROTECTION=singleflight LOCAL_ENTRIES=0",
                    shared,
                    one_at_a_time,
                ),
                expected("and a lease", "FLEET_LEASE=true", 1.0, one_at_a_time),
                expected("and local copies", "LOCAL_ENTRIES=10000", 1.0, copies),
            ],
        }
    }

    /// How long so many queries take that run at once.
    fn query_time(&self, queries: f64) -> f64 {
        self.query_time * (queries / self.knee).max(1.0)
    }

    /// From one expiry of a key to the next: its TTL, until it is asked for again, and until it is loaded.
    fn cycle(&self, rate: f64, queries_at_expiry: f64) -> f64 {
        self.ttl + 1.0 / rate + self.query_time(queries_at_expiry)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;
    use crate::backends::Backends;
    use crate::config::Config;
    use crate::lab::experiments::{Bench, settings};
    use crate::lab::stage::Ground;
    use crate::lab::strategy::Strategy;
    use crate::metrics::Metrics;

    #[test]
    fn a_stampede_is_the_arrivals_up_to_the_knee_and_grows_beyond_all_bounds_above_it() {
        assert_eq!(stampede_size(5.0, 10.0), 5.0);
        assert_eq!(stampede_size(10.0, 10.0), 10.0);
        assert_eq!(stampede_size(20.0, 10.0).round(), 27.0);
        assert_eq!(stampede_size(100.0, 10.0).round(), 81_031.0);
    }

    /// Within 35 %: on a busy machine timers ring late, and queries take longer.
    fn assert_near(measured: f64, predicted: f64, what: &str) {
        let off_by = measured / predicted - 1.0;
        assert!(
            off_by.abs() < 0.35,
            "{what}: {measured:.0} queries, predicted {predicted:.0}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_confirm_the_queries_of_each_measure_with_the_cache_and_without_it() {
        let config = Config::from_variables(|_| None).expect("defaults");
        let ground = Ground {
            backends: Backends::new(&config).expect("no address"),
            config,
            metrics: Arc::new(Metrics::new("test")),
            flights: Arc::default(),
            traces: Arc::default(),
        };
        let lasts = Duration::from_secs(4);
        let (rate, keys, replicas) = (400, 20, 2u32);
        let situation = Situation {
            rate: rate as f64,
            keys: keys as f64,
            query_time: 0.05,
            ttl: 0.5,
            replicas: f64::from(replicas),
            // So many that the database is never full: what is counted is what callers ask for.
            knee: 1_000.0,
            goal: 1.0,
        };
        let [none, singleflight, _, copies] = situation.prediction().measures;
        for (strategy, local_entries, expected) in [
            (Strategy::Off, 0, none),
            (Strategy::Singleflight, 0, singleflight),
            (Strategy::Singleflight, 1_000, copies),
        ] {
            let config = Config {
                protection: strategy.protection(),
                local_entries,
                cache_ttl: Duration::from_secs_f64(situation.ttl),
                db_max_connections: 100,
                ..settings(&ground.config)
            };
            // A replica with a cache of its own, which is asked for everything: there is no shared cache here.
            let alone = Situation {
                replicas: 1.0,
                ..situation
            };
            let per_second = alone.prediction().measures;
            let with_cache = per_second
                .iter()
                .find(|known| known.measure == expected.measure);
            let with_cache = with_cache.expect("the same measure").queries_per_second;
            let bench = Bench::open(&ground, &config, strategy)
                .await
                .expect("a stage");
            bench.slow_down(Duration::from_secs_f64(situation.query_time));
            let counted = bench.traffic(rate, keys, lasts).await;
            assert_near(
                counted.queries,
                with_cache * lasts.as_secs_f64(),
                expected.measure,
            );

            let mut queries = 0.0;
            let mut away = Vec::new();
            for _ in 0..replicas {
                let bench = Bench::open(&ground, &config, strategy)
                    .await
                    .expect("a stage");
                bench.take_the_cache_away();
                bench.slow_down(Duration::from_secs_f64(situation.query_time));
                away.push(bench);
            }
            let each = away
                .iter()
                .map(|bench| bench.traffic(rate / u64::from(replicas), keys, lasts));
            for counted in join_all(each).await {
                queries += counted.queries;
            }
            let predicted = expected.queries_per_second_without_cache * lasts.as_secs_f64();
            assert_near(
                queries,
                predicted,
                &format!("{} without cache", expected.measure),
            );
        }
    }
}

//! [`Metrics`]: one field per series, in a registry of its own. No globals, and no label value that is not in
//! [`labels`].
//!
//! Every series exists at zero from the first scrape, and their number does not grow with traffic: each is resolved
//! to its handle here, once, so that counting is one atomic addition.
//!
//! The counters form equations, which their help texts state:
//! - requests to `/template-details` (`http_request_total`) = sum of `template_responses_total`;
//! - cache lookups = `cache_hits_total` + `cache_misses_total` + unanswered ones (`cache_errors_total{op="get"}`
//!   except `corrupt`, which is a miss as well).

mod family;
mod http;
pub mod labels;
mod reading;

pub use prometheus::IntGauge;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, Histogram, IntCounter, Registry, TextEncoder};

pub use family::{Family, GaugeGuard, Histograms};
pub use http::{HUNG_UP, HttpMetrics};
use labels::{
    FlightOutcome, LeaseOutcome, Operation, Origin, Reason, Refresh, ShedReason, Source,
    StaleReason,
};
pub use reading::Reading;

/// Every series that the service exports.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `http_request_total`, `http_request_duration_seconds`, `http_in_flight_requests`.
    pub http: HttpMetrics,
    /// `cache_hits_total`: Redis answered, and had it.
    pub cache_hits: IntCounter,
    /// `cache_misses_total`: Redis answered, and had nothing that could be used.
    pub cache_misses: IntCounter,
    /// `cache_errors_total{op,reason}`.
    pub cache_errors: Family<(Operation, Reason)>,
    /// `cache_up`: 1 while Redis is being asked.
    pub cache_up: IntGauge,
    /// `db_hits_total`: queries sent to the database for a template.
    pub db_hits: IntCounter,
    /// `db_query_duration_seconds`: one query, artificial delay included.
    pub db_query_duration: Histogram,
    /// `db_queries_in_flight`.
    pub db_queries_in_flight: IntGauge,
    /// `db_slots`: the most that `db_queries_in_flight` can be.
    pub db_slots: IntGauge,
    /// `template_responses_total{source}`: each request to the route exactly once.
    pub template_responses: Family<Source>,
    /// `stale_responses_total{reason}`: their sum is `template_responses_total{source="stale"}`.
    pub stale_responses: Family<StaleReason>,
    /// `template_age_seconds`: how long before a 200 was sent the database had said so.
    pub template_age: Histogram,
    /// `change_lag_seconds`: from a change to its being known here.
    pub change_lag: Histogram,
    /// `db_up`: 1 while the database can be asked.
    pub db_up: IntGauge,
    /// `singleflight_shared_total`: callers whose result somebody else got too.
    pub singleflight_shared: IntCounter,
    /// `singleflight_flights_total{outcome}`.
    pub singleflight_flights: Family<FlightOutcome>,
    /// `singleflight_flight_seconds{outcome}`.
    pub singleflight_flight_seconds: Histograms<FlightOutcome>,
    /// `singleflight_in_flight`.
    pub singleflight_in_flight: IntGauge,
    /// `singleflight_callers`: callers per flight.
    pub singleflight_callers: Histogram,
    /// `singleflight_wait_seconds`: a follower's wait.
    pub singleflight_wait: Histogram,
    /// `invalidations_total{origin}`.
    pub invalidations: Family<Origin>,
    /// `stale_writes_prevented_total`.
    pub stale_writes_prevented: IntCounter,
    /// `lease_total{outcome}`.
    pub leases: Family<LeaseOutcome>,
    /// `refresh_total{reason}`.
    pub refresh: Family<Refresh>,
    /// `requests_shed_total{reason}`.
    pub requests_shed: Family<ShedReason>,
}

/// From 100 µs, which a cache hit takes, to 2.5 s, which is longer than any query may.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// Up to the default of `CACHE_TTL` plus `STALE_FOR`.
const AGES: &[f64] = &[
    0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 330.0,
];

/// From 1 (nobody joined) to the default of `MAX_WAITERS`.
const CALLERS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0,
];

impl Metrics {
    /// Every series at zero. `revision` names the source that the binary was built from.
    pub fn new(revision: &str) -> Self {
        let registry = Registry::new();
        let family = family::Register(&registry);
        family.constant(
            "build_info",
            "What is running",
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("revision", revision),
            ],
        );
        #[cfg(target_os = "linux")]
        family.collector(ProcessCollector::for_self());
        Self {
            http: HttpMetrics::new(&family),
            cache_hits: family.counter("cache_hits_total", "Cache lookups that were answered: found"),
            cache_misses: family.counter("cache_misses_total", "Cache lookups that were answered: not found, or nothing usable"),
            cache_errors: family.counters(
                "cache_errors_total",
                "Cache calls that failed. A get that failed is neither hit nor miss, except corrupt, which is a miss too",
            ),
            cache_up: family.gauge("cache_up", "1 while the cache is being asked"),
            db_hits: family.counter("db_hits_total", "Queries sent to the database for a template"),
            db_query_duration: family.histogram("db_query_duration_seconds", "One database query, artificial delay included", SECONDS),
            db_queries_in_flight: family.gauge("db_queries_in_flight", "Database queries running now"),
            db_slots: family.gauge("db_slots", "Most database queries that may run at once"),
            template_responses: family.counters(
                "template_responses_total",
                "Where each answer came from. The sum over source is the number of requests to /template-details",
            ),
            stale_responses: family.counters(
                "stale_responses_total",
                "Why answers were stale. The sum over reason is template_responses_total{source=\"stale\"}",
            ),
            template_age: family.histogram(
                "template_age_seconds",
                "How long before a 200 was sent the database had said so. What another replica loaded is dated by its clock",
                AGES,
            ),
            change_lag: family.histogram(
                "change_lag_seconds",
                "From a change's statement to its being known here, by the database's clock as this process last read it",
                SECONDS,
            ),
            db_up: family.gauge("db_up", "1 while the database can be asked"),
            singleflight_shared: family.counter(
                "singleflight_shared_total",
                "Callers whose result was shared with at least one other, the leader included",
            ),
            singleflight_flights: family.counters("singleflight_flights_total", "Loads that ended, by how"),
            singleflight_flight_seconds: family.histograms_of(
                "singleflight_flight_seconds",
                "How long loads took, from their first wait to their end",
                SECONDS,
            ),
            singleflight_in_flight: family.gauge("singleflight_in_flight", "Loads running now"),
            singleflight_callers: family.histogram("singleflight_callers", "Callers per load; 1 = nobody joined", CALLERS),
            singleflight_wait: family.histogram("singleflight_wait_seconds", "How long a caller waited for another's load", SECONDS),
            invalidations: family.counters("invalidations_total", "Changes of templates that became known, by how"),
            stale_writes_prevented: family.counter(
                "stale_writes_prevented_total",
                "Fills of the cache or the local copy refused because something newer is known",
            ),
            leases: family.counters(
                "lease_total",
                "Loads that replicas had to agree on, by how they did; zero without FLEET_LEASE",
            ),
            refresh: family.counters("refresh_total", "Times that a cached template was to be loaded anew before anybody had to wait for it"),
            requests_shed: family.counters("requests_shed_total", "Refusals because a limit was reached"),
            registry,
        }
    }

    /// The exposition, in Prometheus' text format 0.0.4.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(64 * 1024);
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("names and labels were accepted at registration, and a Vec takes every byte");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_at_zero_and_their_number_stays_the_same() {
        let metrics = Metrics::new("test");
        let series = || {
            let text = String::from_utf8(metrics.encode()).unwrap();
            text.lines()
                .filter(|line| !line.starts_with('#') && !line.starts_with("process_"))
                .count()
        };
        let before = series();
        metrics
            .cache_errors
            .of((Operation::Set, Reason::Timeout))
            .inc();
        metrics.template_responses.of(Source::Shed).inc();
        metrics.cache_hits.inc();
        assert_eq!(series(), before);
    }

    #[test]
    fn two_services_in_one_process_count_apart() {
        let (one, other) = (Metrics::new("a"), Metrics::new("b"));
        one.db_hits.inc();
        assert_eq!((one.db_hits.get(), other.db_hits.get()), (1, 0));
    }
}

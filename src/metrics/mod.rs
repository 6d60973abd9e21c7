//! [`Metrics`]: every series, each stated in one line, in a registry of its own. There are no globals.
//!
//! Every series exists at zero from the first scrape, and their number does not grow with traffic. Each is resolved to
//! its handle once, so that counting is one atomic addition. Label values come only from the closed sets in [`labels`].
//! The help texts state equations between the counters. One more:
//! cache lookups = `cache_hits_total` + `cache_misses_total` + `cache_errors_total{op="get"}` except `corrupt`.

mod http;
pub mod labels;
mod reading;

use std::marker::PhantomData;

pub use prometheus::IntGauge;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder as _, TextEncoder};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

pub use http::{HUNG_UP, HttpMetrics};
use labels::Labels;
pub use reading::Reading;

use crate::outcomes::{
    LeaseOutcome, Operation, Origin, Reason, Refresh, ShedReason, Source, StaleReason,
};
use crate::singleflight::Outcome;

/// Declares [`Metrics`]: for each line a field, its documentation, and how [`Metrics::new`] registers the series.
macro_rules! series {
    ($($field:ident: $type:ty = $kind:ident($name:literal, $help:literal $(, $buckets:ident)?);)+) => {
        /// Every series that the service exports.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            /// The `http_` series.
            pub http: HttpMetrics,
            $(#[doc = concat!("`", $name, "`: ", $help)] pub $field: $type,)+
        }

        impl Metrics {
            /// Every series at zero. `revision` names the source that the binary was built from.
            pub fn new(revision: &str) -> Self {
                let registry = Registry::new();
                let register = Register(&registry);
                register.build_info(revision);
                #[cfg(target_os = "linux")]
                register.collector(ProcessCollector::for_self());
                Self {
                    http: HttpMetrics::new(&register),
                    $($field: register.$kind($name, $help $(, $buckets)?),)+
                    registry,
                }
            }
        }
    };
}

series! {
    cache_hits: IntCounter = counter("cache_hits_total", "Cache lookups that were answered: found");
    cache_misses: IntCounter = counter("cache_misses_total", "Cache lookups that were answered: not found, or nothing usable");
    cache_errors: Family<(Operation, Reason)> = counters("cache_errors_total", "Cache calls that failed. A get that failed is neither hit nor miss, except corrupt, which is a miss too");
    cache_up: IntGauge = gauge("cache_up", "1 while the cache is being asked");
    db_hits: IntCounter = counter("db_hits_total", "Queries sent to the database for a template");
    db_queries_repeated: IntCounter = counter("db_queries_repeated_total", "Queries that brought what this replica's own query had brought less than half a TTL before. One query per template, TTL and replica makes none");
    db_query_duration: Histogram = histogram("db_query_duration_seconds", "One database query, artificial delay included", SECONDS);
    db_queries_in_flight: IntGauge = gauge("db_queries_in_flight", "Database queries running now");
    db_slots: IntGauge = gauge("db_slots", "Most database queries that may run at once");
    template_responses: Family<Source> = counters("template_responses_total", "Where each answer came from. The sum over source is the number of requests to /template-details");
    stale_responses: Family<StaleReason> = counters("stale_responses_total", "Why answers were stale. The sum over reason is template_responses_total{source=\"stale\"}");
    template_age: Histogram = histogram("template_age_seconds", "How long before a 200 was sent the database had said so; by the clock of the replica that loaded it", AGES);
    change_lag: Histogram = histogram("change_lag_seconds", "From a change's statement to its being known here; by the database's clock, as this process last read it", SECONDS);
    change_listener_up: IntGauge = gauge("change_listener_up", "1 while this process hears of the changes that others make, or the database is its own");
    db_up: IntGauge = gauge("db_up", "1 while the database can be asked");
    singleflight_shared: IntCounter = counter("singleflight_shared_total", "Callers whose result was shared with at least one other, the leader included");
    singleflight_flights: Family<Outcome> = counters("singleflight_flights_total", "Loads that ended, by how");
    singleflight_flight_seconds: Family<Outcome, Histogram> = histograms_of("singleflight_flight_seconds", "How long loads took, from their first wait to their end", SECONDS);
    singleflight_in_flight: IntGauge = gauge("singleflight_in_flight", "Loads running now");
    singleflight_callers: Histogram = histogram("singleflight_callers", "Callers per load; 1 = no other caller joined", CALLERS);
    singleflight_wait: Histogram = histogram("singleflight_wait_seconds", "How long a caller waited for another's load", SECONDS);
    invalidations: Family<Origin> = counters("invalidations_total", "Changes of templates that became known, by how");
    stale_writes_prevented: IntCounter = counter("stale_writes_prevented_total", "Fills of the cache or the local copy refused because something newer is known");
    leases: Family<LeaseOutcome> = counters("lease_total", "Loads that replicas had to agree on, by how they did; zero without FLEET_LEASE");
    refresh: Family<Refresh> = counters("refresh_total", "Loads that replace a cached template before a caller has to wait for one");
    trace_spans_dropped: IntCounter = counter("trace_spans_dropped_total", "Spans that could not be exported: the queue was full, or the collector did not take them");
    requests_shed: Family<ShedReason> = counters("requests_shed_total", "Refusals because a limit was reached");
}

/// From 100 µs, which a cache hit takes, to 2.5 s, which is longer than any query may.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// Up to the defaults of `CACHE_TTL` and `STALE_FOR` together.
const AGES: &[f64] = &[
    0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 330.0,
];

/// From 1, the leader alone, to the default of `MAX_WAITERS`.
const CALLERS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0,
];

impl Metrics {
    /// The same counters for backends that are opened beside the service's own. Whether those are up, its gauges do not say.
    pub fn beside(&self) -> Self {
        let unseen = || IntGauge::new("unseen", "Belongs to no registry").expect(VALID);
        Self {
            cache_up: unseen(),
            db_up: unseen(),
            change_listener_up: unseen(),
            ..self.clone()
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

/// A series for each member of a closed set of labels.
#[derive(Clone, Debug)]
pub struct Family<L, S = IntCounter> {
    members: Vec<S>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels, S> Family<L, S> {
    fn new(member: impl Fn(&[&str]) -> S) -> Self {
        let all = L::all().into_iter();
        Self {
            members: all.map(|labels| member(&labels.values())).collect(),
            labels: PhantomData,
        }
    }

    /// The series of this member.
    pub fn of(&self, labels: L) -> &S {
        &self.members[labels.index()]
    }
}

/// Holds a gauge one higher until it is dropped, also when its future is cancelled.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Raises the gauge.
    pub fn raise(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes series in a registry.
struct Register<'a>(&'a Registry);

/// Names and labels are literals of this crate, so the first construction in any test finds a wrong one.
const VALID: &str = "series have valid names, and each is registered once per registry";

impl Register<'_> {
    fn collector<C: Collector + 'static>(&self, collector: C) {
        self.0.register(Box::new(collector)).expect(VALID);
    }

    fn added<C: Collector + Clone + 'static>(&self, series: prometheus::Result<C>) -> C {
        let series = series.expect(VALID);
        self.collector(series.clone());
        series
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.added(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.added(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.added(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        ))
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.added(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        ))
    }

    fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.added(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counters<L: Labels>(&self, name: &str, help: &str) -> Family<L> {
        let series = self.counter_vec(name, help, L::NAMES);
        Family::new(|values| series.with_label_values(values))
    }

    fn histograms_of<L: Labels>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Family<L, Histogram> {
        let series = self.histograms(name, help, buckets, L::NAMES);
        Family::new(|values| series.with_label_values(values))
    }

    /// A gauge that is always 1: its labels carry the information.
    fn build_info(&self, revision: &str) {
        let options = Opts::new("build_info", "What is running")
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("revision", revision);
        self.added(IntGauge::with_opts(options)).set(1);
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
    fn what_is_opened_beside_the_service_counts_with_it_and_sets_none_of_its_states() {
        let metrics = Metrics::new("test");
        let beside = metrics.beside();
        beside.cache_up.set(1);
        beside.db_up.set(1);
        beside.change_listener_up.set(1);
        beside.cache_hits.inc();
        let states = [
            &metrics.cache_up,
            &metrics.db_up,
            &metrics.change_listener_up,
        ];
        assert!(states.iter().all(|state| state.get() == 0));
        assert_eq!(metrics.cache_hits.get(), 1);
    }

    #[test]
    fn two_services_in_one_process_count_apart() {
        let (one, other) = (Metrics::new("a"), Metrics::new("b"));
        one.db_hits.inc();
        assert_eq!((one.db_hits.get(), other.db_hits.get()), (1, 0));
    }
}

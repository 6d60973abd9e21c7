//! [`Stage`]: where one strategy performs: a service of its own, on the same database and kind of cache as the service's.
//!
//! It is built from the production parts, by the production constructors, and counts in the same
//! [`Metrics`]. What differs is what its [`Config`] says, and that nothing else has asked it for anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::flights::{FlightLog, Sight};
use super::strategy::{Contender, LoadOrStore, MemoizedFuture, MutexPerKey, Strategy};
use super::tally::Tally;
use super::traces::{REQUEST, TraceLog};
use crate::backends::{Backends, Faults};
use crate::config::Config;
use crate::fault::Fault;
use crate::http::count_in_process;
use crate::metrics::{GaugeGuard, Metrics};
use crate::outcomes::Source;
use crate::service::TemplateService;
use crate::store::Demand;
use crate::telemetry::traces::{self, SpanKind, Traces};
use crate::template::TemplateId;

/// What stages are built from.
pub(super) struct Ground {
    pub(super) config: Config,
    pub(super) backends: Backends,
    pub(super) metrics: Arc<Metrics>,
    pub(super) flights: Arc<FlightLog>,
    pub(super) traces: Arc<TraceLog>,
}

/// Where one strategy performs.
pub(super) struct Stage {
    contender: Contender,
    pub(super) demand: Arc<Demand>,
    pub(super) faults: Faults,
    pub(super) metrics: Arc<Metrics>,
    flights: Arc<FlightLog>,
    sight: Option<Arc<Sight>>,
    traces: Traces,
}

impl Stage {
    /// Builds it. Its database slows down beyond `knee` queries at once. `expired` is a template that its cache shall not have.
    pub(super) async fn open(
        ground: &Ground,
        config: &Config,
        strategy: Strategy,
        by: &'static str,
        knee: u64,
        expired: Option<TemplateId>,
    ) -> Result<Self, String> {
        let faults = Faults::new();
        let backends = ground.backends.used_as(config);
        let backends = backends.map_err(|problems| problems.to_string())?;
        let backends = backends
            .with_faults(faults.clone())
            .with_knee(knee as usize);
        let metrics = Arc::new(ground.metrics.beside());
        let (cache, store) = backends.open(config, &metrics).await;
        if !store.is_up() {
            return Err("the database cannot be reached".into());
        }
        if let Some(template) = expired {
            cache.delete(template).await;
        }
        // The run measures queries and not dials, and a later strategy would find more connections open than an earlier one.
        if !strategy.is_protected() {
            store.connect_ahead().await;
        }
        let demand = store.demand();
        // A stampede is looked at, and an incident is too long for it. It costs a caller some microseconds.
        let traces = match strategy {
            Strategy::Singleflight if by == strategy.name() => ground.traces.stampede(),
            _ => Traces::default(),
        };
        let mut sight = None;
        let contender = match strategy {
            Strategy::LoadOrStore => Contender::LoadOrStore(LoadOrStore {
                cache,
                store,
                metrics: Arc::clone(&metrics),
                ttl: config.cache_ttl,
            }),
            Strategy::Mutex => Contender::Mutex(MutexPerKey {
                cache,
                store,
                metrics: Arc::clone(&metrics),
                ttl: config.cache_ttl,
                keys: Default::default(),
            }),
            Strategy::Memoized => Contender::Memoized(MemoizedFuture {
                store,
                kept: Default::default(),
            }),
            Strategy::Off | Strategy::Singleflight | Strategy::Early | Strategy::Stale => {
                let landed = ground.flights.hook(by);
                let counted = Arc::clone(&metrics);
                let traces = traces.clone();
                let service =
                    TemplateService::traced(config, cache, store, counted, landed, traces);
                sight = Some(ground.flights.look_at(by, service.clone()));
                Contender::Service(service)
            }
        };
        Ok(Self {
            contender,
            demand,
            faults,
            metrics,
            flights: Arc::clone(&ground.flights),
            sight,
            traces,
        })
    }

    /// Puts one request, and counts it where one over HTTP is counted.
    pub(super) async fn request(&self, template: TemplateId, tally: &Tally) {
        self.answer(template, tally).await;
    }

    /// As [`Stage::request`], and says where the answer came from.
    pub(super) async fn answer(&self, template: TemplateId, tally: &Tally) -> Source {
        let _in_flight = GaugeGuard::raise(&self.metrics.http.in_flight);
        let began = Instant::now();
        let span = self.traces.root(REQUEST, SpanKind::Server);
        let outcome = traces::within(span.as_deref(), self.contender.ask(template)).await;
        traces::finish(span, None);
        let took = began.elapsed();
        let source = count_in_process(&self.metrics, outcome, took);
        tally.add(source, took);
        source
    }

    /// Loads that callers share at the moment.
    pub(super) fn flights(&self) -> usize {
        match &self.contender {
            Contender::Service(service) => service.flights().len(),
            Contender::LoadOrStore(_) | Contender::Mutex(_) | Contender::Memoized(_) => 0,
        }
    }

    /// Whether its cache can be asked.
    pub(super) fn cache_is_up(&self) -> bool {
        match &self.contender {
            Contender::Service(service) => service.cache_is_up(),
            Contender::LoadOrStore(strategy) => strategy.cache.is_up(),
            Contender::Mutex(strategy) => strategy.cache.is_up(),
            Contender::Memoized(_) => true,
        }
    }

    /// Waits until nothing asks the database any more, but no longer than this.
    pub(super) async fn rest(&self, longest: Duration) {
        let began = Instant::now();
        while self.demand.now() > 0 && began.elapsed() < longest {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Stage {
    /// Loads outlive their callers. Those that are left over lose the database at once, and end.
    fn drop(&mut self) {
        self.faults.cache.set(Fault::None);
        self.faults.database.set(Fault::Refused);
        self.sight = None;
        self.flights.look_away();
    }
}

//! [`TemplateService`]: the path of a request for a template, in reading order.
//!
//! 1. Ask the cache. A hit is the answer.
//! 2. Only if the cache could not be asked: the local copy, while its own TTL lasts.
//! 3. A flight: one load per template at a time, shared by everyone who asks meanwhile. The load takes a database
//!    slot, queries, and fills the cache and the local copy before the flight ends. It belongs to nobody: a caller
//!    that hangs up neither ends it nor keeps it from the others.
//! 4. If the load failed or was refused: the last-known-good copy, marked as stale.
//!
//! With [`Protection::Off`] every caller loads for itself in step 3, and nothing else differs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::error;

use crate::cache::entry::{Entry, Moment};
use crate::cache::{Lookup, TemplateCache};
use crate::config::{Config, Protection};
use crate::local::LocalCopy;
use crate::metrics::labels::{FlightOutcome, ShedReason, Source};
use crate::metrics::{GaugeGuard, Metrics};
use crate::singleflight::{self, CallOptions, Group, Landing, Outcome, Ride, Role};
use crate::store::{Hope, LoadError, TemplateStore};
use crate::template::TemplateId;

/// Answers requests for templates. Cheap to clone.
#[derive(Clone)]
pub struct TemplateService {
    shared: Arc<Shared>,
}

struct Shared {
    cache: TemplateCache,
    local: Option<LocalCopy>,
    flights: Group<TemplateId, Loaded, LoadError>,
    store: TemplateStore,
    protection: Protection,
    cache_ttl: Duration,
    cache_ttl_jitter: f64,
    negative_ttl: Duration,
    flight_deadline: Duration,
    request_timeout: Duration,
    metrics: Arc<Metrics>,
}

/// What a load brought.
#[derive(Clone, Debug)]
struct Loaded {
    entry: Entry,
    stored: bool,
    /// How long the database took; none if the load found that another one had just ended.
    database: Option<Duration>,
}

/// What is known of a template, and how it came to be known.
#[derive(Debug)]
pub struct Answer {
    /// What is known.
    pub entry: Entry,
    /// When that was.
    pub now: Moment,
    /// Where it came from, there being such a template.
    pub source: Source,
    /// Whether the cache could be asked.
    pub cache_answered: bool,
    /// Whether this caller's own load left it in the cache or in the local copy.
    pub stored: bool,
    /// How long the parts took.
    pub timings: Timings,
}

/// How long the parts of an answer took; none for a part that it did not need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Asking the cache.
    pub cache: Duration,
    /// Waiting for another caller's load.
    pub wait: Option<Duration>,
    /// This caller's own load: the slot and the query.
    pub database: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A limit was reached.
    #[error("a limit was reached")]
    Shed(ShedReason),
    /// The database could not say, and there is no copy.
    #[error("the database could not say")]
    Unavailable,
    /// The load panicked.
    #[error("the load failed")]
    Failed,
}

impl TemplateService {
    /// Puts the parts together.
    pub fn new(
        config: &Config,
        cache: TemplateCache,
        store: TemplateStore,
        metrics: Arc<Metrics>,
    ) -> Self {
        let landed = Arc::clone(&metrics);
        let flights = Group::builder()
            .deadline(config.flight_deadline())
            .max_callers(config.max_waiters)
            .on_landing(move |landing| count_landing(&landed, landing))
            .build();
        let local = (config.local_entries > 0)
            .then(|| LocalCopy::new(config.local_entries, config.stale_for));
        let shared = Shared {
            cache,
            local,
            flights,
            store,
            protection: config.protection,
            cache_ttl: config.cache_ttl,
            cache_ttl_jitter: config.cache_ttl_jitter,
            negative_ttl: config.negative_ttl,
            flight_deadline: config.flight_deadline(),
            request_timeout: config.request_timeout,
            metrics,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The template with this id, or why there is no answer.
    pub async fn details(&self, id: TemplateId) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let now = Moment::now();
        let lookup = self
            .shared
            .cache
            .lookup(id, now, &self.shared.metrics)
            .await;
        let cache = began.elapsed();
        let answer = |entry, source, cache_answered| Answer {
            entry,
            now,
            source,
            cache_answered,
            stored: false,
            timings: Timings {
                cache,
                ..Timings::default()
            },
        };
        let cache_answered = match lookup {
            Lookup::Hit(entry) => {
                self.shared.keep(id, &entry);
                return Ok(answer(entry, Source::Hit, true));
            }
            Lookup::Miss => true,
            Lookup::Unanswered => {
                if let Some(entry) = self
                    .shared
                    .local
                    .as_ref()
                    .and_then(|local| local.fresh(id, now))
                {
                    return Ok(answer(entry, Source::Local, false));
                }
                false
            }
        };
        let patience = self.shared.request_timeout.saturating_sub(began.elapsed());
        match self.load(id, now, patience).await {
            Ok(load) => Ok(Answer {
                now: Moment::now(),
                cache_answered,
                ..load.into_answer(cache)
            }),
            Err(refusal) => {
                let now = Moment::now();
                let copy = self
                    .shared
                    .local
                    .as_ref()
                    .and_then(|local| local.last_known_good(id, now));
                copy.map(|entry| Answer {
                    now,
                    ..answer(entry, Source::Stale, cache_answered)
                })
                .ok_or(refusal)
            }
        }
    }

    /// Whether the database can be asked.
    pub fn database_is_up(&self) -> bool {
        self.shared.store.is_up()
    }

    /// Whether the cache can be asked.
    pub fn cache_is_up(&self) -> bool {
        self.shared.cache.is_up()
    }

    /// Lets the loads that are under way end, for at most this long.
    pub async fn drain(&self, longest: Duration) {
        self.shared.flights.drain(longest).await;
    }

    async fn load(
        &self,
        id: TemplateId,
        asked_at: Moment,
        patience: Duration,
    ) -> Result<Load, Refusal> {
        match self.shared.protection {
            Protection::Singleflight => self.load_together(id, asked_at, patience).await,
            Protection::Off => self.load_alone(id, patience).await,
        }
    }

    async fn load_together(
        &self,
        id: TemplateId,
        asked_at: Moment,
        patience: Duration,
    ) -> Result<Load, Refusal> {
        let shared = Arc::clone(&self.shared);
        let options = CallOptions::default().wait_at_most(patience);
        let report = self
            .shared
            .flights
            .report(&id, options, move |_| async move {
                let _in_flight = GaugeGuard::raise(&shared.metrics.singleflight_in_flight);
                match shared.landed_since(id, asked_at) {
                    Some(entry) => Ok(Loaded {
                        entry,
                        stored: true,
                        database: None,
                    }),
                    None => shared.load_from_store(id).await,
                }
            });
        let report = report.await;
        let waited = report.ride.and_then(|ride| self.shared.count_ride(ride));
        let loaded = report.result.map_err(|error| self.shared.refusal(&error))?;
        Ok(Load { loaded, waited })
    }

    /// The "before": the same load, for this caller only. It outlives its caller just the same.
    async fn load_alone(&self, id: TemplateId, patience: Duration) -> Result<Load, Refusal> {
        let shared = Arc::clone(&self.shared);
        let deadline = self.shared.flight_deadline;
        let load = tokio::spawn(async move {
            tokio::time::timeout(deadline, shared.load_from_store(id)).await
        });
        match tokio::time::timeout(patience, load).await {
            Ok(Ok(Ok(loaded))) => {
                let loaded = loaded.map_err(|error| self.shared.load_refusal(error))?;
                Ok(Load {
                    waited: None,
                    loaded: Arc::new(loaded),
                })
            }
            Ok(Err(_)) => Err(Refusal::Failed),
            Ok(Ok(Err(_))) | Err(_) => Err(Refusal::Shed(ShedReason::Deadline)),
        }
    }
}

impl Shared {
    /// What another load brought after this caller had asked the cache in vain. Without this look, a caller that was
    /// on its way from the cache to the flight while the flight landed would load again.
    fn landed_since(&self, id: TemplateId, asked_at: Moment) -> Option<Entry> {
        self.local.as_ref()?.known_since(id, asked_at)
    }

    async fn load_from_store(&self, id: TemplateId) -> Result<Loaded, LoadError> {
        let began = Instant::now();
        let row = self.store.load(id, self.hope(id)).await?;
        let took = began.elapsed();
        let ttl = if row.is_some() {
            self.cache_ttl
        } else {
            self.negative_ttl
        };
        // The TTL counts from when the question was put: the row may have changed since.
        let ttl = ttl
            .mul_f64(1.0 - self.cache_ttl_jitter * fastrand::f64())
            .saturating_sub(took);
        let entry = Entry::new(row, Moment::now(), ttl);
        let kept = self.keep(id, &entry);
        let stored = self.cache.store(id, &entry, &self.metrics).await;
        Ok(Loaded {
            entry,
            stored: stored || kept,
            database: Some(took),
        })
    }

    /// Without a local copy there is nothing to tell the known from the unknown by, and no flood to hold back.
    fn hope(&self, id: TemplateId) -> Hope {
        match &self.local {
            Some(local) if !local.has_seen(id) => Hope::Speculative,
            _ => Hope::Known,
        }
    }

    fn keep(&self, id: TemplateId, entry: &Entry) -> bool {
        if let Some(local) = &self.local {
            local.keep(id, entry);
        }
        self.local.is_some()
    }

    /// Counts a caller's part in a flight, and says how long it waited if the load was another's.
    fn count_ride(&self, ride: Ride) -> Option<Duration> {
        if ride.shared() {
            self.metrics.singleflight_shared.inc();
        }
        if ride.role == Role::Leader {
            return None;
        }
        self.metrics
            .singleflight_wait
            .observe(ride.waited.as_secs_f64());
        Some(ride.waited)
    }

    fn refusal(&self, error: &singleflight::Error<LoadError>) -> Refusal {
        use singleflight::Error;
        match error {
            Error::Failed(error) => self.load_refusal(**error),
            Error::Saturated => Refusal::Shed(ShedReason::Waiters),
            Error::TimedOut | Error::WaitedTooLong => Refusal::Shed(ShedReason::Deadline),
            Error::Aborted | Error::Draining => Refusal::Unavailable,
            Error::Panicked(_) | Error::Reentrant | Error::NoRuntime => Refusal::Failed,
        }
    }

    fn load_refusal(&self, error: LoadError) -> Refusal {
        match error {
            LoadError::Busy => Refusal::Shed(ShedReason::DbQueue),
            LoadError::Unavailable | LoadError::TimedOut | LoadError::Failed => {
                Refusal::Unavailable
            }
        }
    }
}

/// A load as one of its callers sees it.
struct Load {
    loaded: Arc<Loaded>,
    /// How long this caller waited, if the load was another's.
    waited: Option<Duration>,
}

impl Load {
    fn into_answer(self, cache: Duration) -> Answer {
        let own = self.waited.is_none() && self.loaded.database.is_some();
        Answer {
            entry: self.loaded.entry.clone(),
            now: Moment::now(),
            source: if own { Source::Loaded } else { Source::Shared },
            cache_answered: true,
            stored: own && self.loaded.stored,
            timings: Timings {
                cache,
                wait: self.waited,
                database: self.loaded.database.filter(|_| own),
            },
        }
    }
}

fn count_landing(metrics: &Metrics, landing: &Landing<'_, TemplateId>) {
    let outcome = match landing.outcome {
        Outcome::Ok => FlightOutcome::Ok,
        Outcome::Error => FlightOutcome::Error,
        Outcome::Panic => FlightOutcome::Panic,
        Outcome::Timeout => FlightOutcome::Timeout,
        Outcome::Aborted => FlightOutcome::Aborted,
    };
    if outcome == FlightOutcome::Panic {
        error!(template = %landing.key, "a load panicked");
    }
    metrics.singleflight_flights.of(outcome).inc();
    metrics
        .singleflight_callers
        .observe(f64::from(landing.callers));
}

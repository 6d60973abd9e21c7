//! [`TemplateService`]: the path of a request for a template.
//!
//! Reading ([`read`]):
//! 1. The check comes before this: [`crate::http`] has read the id and admitted the request.
//! 2. Ask the cache. A hit is the answer. Before that a near copy is, which Redis or the database confirmed less than
//!    `NEAR_FOR` ago.
//! 3. Only if the cache did not answer, or rejects writes: the local copy, while its own TTL lasts.
//! 4. Load the template ([`load`]): one flight per template at a time, shared by all who ask meanwhile.
//! 5. An older copy, marked as stale: the stand-in if the load takes longer than `SOFT_TIMEOUT`, the last-known-good copy
//!    if the load failed or was refused.
//!
//! Writing, and what other writers' changes mean here, is in [`mod@write`]. What may be shown and stored is decided in
//! [`crate::freshness`].
//!
//! With [`Protection::Off`] each caller loads for itself in step 4, and nothing else differs.

mod answer;
mod load;
mod loaded;
mod read;
mod repeats;
mod traced;
mod write;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

pub use answer::{Answer, Refusal, Timings};
pub use write::ChangeRefusal;

use crate::cache::TemplateCache;
use crate::config::{Config, Protection};
use crate::freshness::{Copies, Rules};
use crate::metrics::Metrics;
use crate::singleflight::{Group, InFlight, Landing};
use crate::store::{LoadError, TemplateStore};
use crate::telemetry::traces::Traces;
use crate::template::TemplateId;

/// Answers requests for templates. Cheap to clone.
#[derive(Clone)]
pub struct TemplateService {
    parts: Arc<Parts>,
}

struct Parts {
    cache: TemplateCache,
    copies: Copies,
    store: TemplateStore,
    flights: Group<TemplateId, loaded::Loaded, LoadError>,
    /// Lookups in the cache, which callers share where near copies are in use.
    lookups: Group<TemplateId, read::Looked, Infallible>,
    repeats: repeats::Repeats,
    rules: Rules,
    protection: Protection,
    early_refresh: Option<f64>,
    request_timeout: Duration,
    soft_timeout: Duration,
    longest_own_load: Duration,
    /// Changes, and loads without a flight: they go on when their callers leave.
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
    traces: Traces,
}

impl TemplateService {
    /// Puts the parts together. `landed` is called for each flight that has landed.
    pub fn new(
        config: &Config,
        cache: TemplateCache,
        store: TemplateStore,
        metrics: Arc<Metrics>,
        landed: impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static,
    ) -> Self {
        Self::traced(config, cache, store, metrics, landed, Traces::default())
    }

    /// The same, with traces of its requests, loads and changes.
    pub fn traced(
        config: &Config,
        cache: TemplateCache,
        mut store: TemplateStore,
        metrics: Arc<Metrics>,
        landed: impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static,
        traces: Traces,
    ) -> Self {
        let notices = store.notices();
        let rules = Rules::of(config);
        let service = Self {
            parts: Arc::new(Parts {
                cache,
                copies: Copies::new(config.local_entries, rules.clone()),
                store,
                flights: load::flights(config, Arc::clone(&metrics), landed),
                lookups: Group::new(),
                repeats: repeats::Repeats::new(&rules),
                rules,
                protection: config.protection,
                early_refresh: config.early_refresh,
                request_timeout: config.request_timeout,
                soft_timeout: config.soft_timeout,
                longest_own_load: config.longest_own_load(),
                tasks: TaskTracker::new(),
                metrics,
                traces,
            }),
        };
        if let Some(notices) = notices {
            tokio::spawn(write::follow(Arc::downgrade(&service.parts), notices));
        }
        service
    }

    /// Where its traces begin.
    pub fn traces(&self) -> &Traces {
        &self.parts.traces
    }

    /// Whether the database can be asked.
    pub fn database_is_up(&self) -> bool {
        self.parts.store.is_up()
    }

    /// Whether the cache can be asked.
    pub fn cache_is_up(&self) -> bool {
        self.parts.cache.is_up()
    }

    /// The loads that callers share at the moment.
    pub fn flights(&self) -> Vec<InFlight<TemplateId>> {
        self.parts.flights.flights()
    }

    /// Waits until loads and changes that are under way have ended, at most this long.
    pub async fn drain(&self, longest: Duration) {
        let end = Instant::now() + longest;
        self.parts.flights.drain(longest).await;
        self.parts.tasks.close();
        let left = end.saturating_duration_since(Instant::now());
        // What is left ends with the process.
        let _ = timeout(left, self.parts.tasks.wait()).await;
    }
}

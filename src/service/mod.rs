//! [`TemplateService`]: the path of a request for a template, in reading order.
//!
//! 1. Ask the cache. A hit is the answer.
//! 2. Only if the cache could not be asked, or could not be filled: the local copy, while its own TTL lasts.
//! 3. A flight: one load per template at a time, shared by everyone who asks meanwhile (see [`sharing`]), and by the
//!    other replicas if they take turns (see [`fleet`]). What a load does stands in [`load`].
//! 4. If the load failed or was refused: the last-known-good copy, marked as stale.
//!
//! What is cached can also be loaded anew before anybody has to wait for it: shortly before its TTL ends
//! (`EARLY_REFRESH`), or shortly after (`STALE_WHILE_REVALIDATE`), behind an answer from the cache.
//!
//! With [`Protection::Off`](crate::config::Protection::Off) every caller loads for itself in step 3, and nothing else
//! differs.

mod answer;
mod change;
mod fleet;
mod load;
mod outcome;
mod sharing;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use answer::{Answer, Refusal, Timings};
pub use change::ChangeRefusal;
use load::Loader;

use crate::cache::{Lookup, TemplateCache};
use crate::config::Config;
use crate::freshness::entry::{Entry, Moment};
use crate::freshness::local::Keeping;
use crate::metrics::Metrics;
use crate::metrics::labels::{Refresh, Source};
use crate::singleflight::{InFlight, Landing};
use crate::store::TemplateStore;
use crate::template::TemplateId;

/// Answers requests for templates. Cheap to clone.
#[derive(Clone)]
pub struct TemplateService {
    loader: Arc<Loader>,
    request_timeout: Duration,
    early_refresh: Option<f64>,
}

impl TemplateService {
    /// Puts the parts together.
    pub fn new(
        config: &Config,
        cache: TemplateCache,
        store: TemplateStore,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self::watched(config, cache, store, metrics, |_| {})
    }

    /// The same, with somebody who is told of each landing. It delays those aboard.
    pub fn watched(
        config: &Config,
        cache: TemplateCache,
        mut store: TemplateStore,
        metrics: Arc<Metrics>,
        landed: impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static,
    ) -> Self {
        let notices = store.notices();
        let loader = Arc::new(Loader::new(config, cache, store, metrics, landed));
        if let Some(notices) = notices {
            tokio::spawn(change::listen(Arc::downgrade(&loader), notices));
        }
        Self {
            loader,
            request_timeout: config.request_timeout,
            early_refresh: config.early_refresh,
        }
    }

    /// The template with this id, or why there is no answer.
    pub async fn details(&self, id: TemplateId) -> Result<Answer, Refusal> {
        let Loader {
            cache,
            local,
            metrics,
            ..
        } = &*self.loader;
        let (began, now) = (Instant::now(), Moment::now());
        let lookup = cache.lookup(id, now, metrics).await;
        let asked = Asked {
            now,
            took: began.elapsed(),
            answered: !matches!(lookup, Lookup::Unanswered),
        };
        match lookup {
            Lookup::Hit(entry) if local.keep(id, &entry) == Keeping::Overtaken => {
                self.loader.prevented();
            }
            Lookup::Hit(entry) => return Ok(self.cached(id, entry, asked, Source::Hit)),
            Lookup::Miss if !cache.refuses_writes() => {}
            Lookup::Miss | Lookup::Unanswered => {
                if let Some(entry) = local.usable(id, now) {
                    return Ok(self.cached(id, entry, asked, Source::Local));
                }
            }
        }
        let patience = self.request_timeout.saturating_sub(began.elapsed());
        // Boxed, so that what most requests do not need takes no room in each of them.
        match Box::pin(self.loader.load(id, now, patience)).await {
            Ok(load) => Ok(load.into_answer(asked)),
            Err(refusal) => {
                let asked = Asked {
                    now: Moment::now(),
                    ..asked
                };
                let copy = local.last_known_good(id, asked.now);
                copy.map(|entry| asked.answer(entry, Source::Stale))
                    .ok_or(refusal)
            }
        }
    }

    /// A cached answer. One that is about to expire, or just has, is loaded anew behind it, so that nobody has to wait.
    fn cached(&self, id: TemplateId, entry: Entry, asked: Asked, source: Source) -> Answer {
        if !entry.is_fresh(asked.now) {
            self.loader.refresh(id, &entry, Refresh::Stale);
            return asked.answer(entry, Source::Stale);
        }
        let due = |beta| entry.is_due_early(asked.now, beta, 1.0 - fastrand::f64());
        if self.early_refresh.is_some_and(due) {
            self.loader.refresh(id, &entry, Refresh::Early);
        }
        asked.answer(entry, source)
    }

    /// Whether the database can be asked.
    pub fn database_is_up(&self) -> bool {
        self.loader.store.is_up()
    }

    /// Whether the cache can be asked.
    pub fn cache_is_up(&self) -> bool {
        self.loader.cache.is_up()
    }

    /// What is being loaded now, together.
    pub fn flights(&self) -> Vec<InFlight<TemplateId>> {
        self.loader.flights.flights()
    }

    /// Lets the loads that are under way end, for at most this long.
    pub async fn drain(&self, longest: Duration) {
        self.loader.drain(longest).await;
    }
}

/// How asking the cache went.
#[derive(Clone, Copy)]
struct Asked {
    now: Moment,
    took: Duration,
    answered: bool,
}

impl Asked {
    /// An answer that needed no load.
    fn answer(self, entry: Entry, source: Source) -> Answer {
        let timings = Timings {
            cache: self.took,
            ..Timings::default()
        };
        Answer {
            entry,
            now: self.now,
            source,
            cache_answered: self.answered,
            stored: false,
            timings,
        }
    }
}

//! [`Loader`]: the third step of the path, as a load goes; who makes it and who shares it stands in [`super::sharing`].
//!
//! It takes a database slot, queries, and fills the cache and the local copy before its flight ends. It belongs
//! to nobody: a caller that hangs up neither ends it nor keeps it from the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Asked;
use super::answer::{Answer, Refusal, Timings};
use super::outcome::count_landing;
use crate::cache::{Stored, TemplateCache};
use crate::config::{Config, Protection};
use crate::freshness::entry::{Entry, Moment};
use crate::freshness::local::{Keeping, LocalCopy};
use crate::metrics::Metrics;
use crate::metrics::labels::Source;
use crate::singleflight::{Group, Landing};
use crate::store::{Hope, LoadError, TemplateStore};
use crate::template::{State, TemplateId};

/// Loads templates, and what a load needs and fills.
pub(super) struct Loader {
    pub(super) cache: TemplateCache,
    pub(super) local: LocalCopy,
    pub(super) store: TemplateStore,
    pub(super) metrics: Arc<Metrics>,
    pub(super) flights: Group<TemplateId, Loaded, LoadError>,
    protection: Protection,
    cache_ttl: Duration,
    cache_ttl_jitter: f64,
    negative_ttl: Duration,
    pub(super) flight_deadline: Duration,
    pub(super) longest_load: Duration,
    /// One permit for each change that is being made.
    pub(super) changing: Semaphore,
}

/// More changes than `MAX_IN_FLIGHT` admits are never under way.
const MOST_CHANGES: u32 = 1 << 24;

/// What a load brought.
pub(super) struct Loaded {
    pub(super) entry: Entry,
    stored: bool,
    /// How long the database took; none if the load found that another one had just ended.
    database: Option<Duration>,
    /// How long another replica's load was waited for.
    waited: Option<Duration>,
}

impl Loaded {
    /// What had just been loaded when the load began.
    pub(super) fn already(entry: Entry) -> Self {
        Self {
            entry,
            stored: true,
            database: None,
            waited: None,
        }
    }

    /// What another replica has loaded.
    pub(super) fn elsewhere(entry: Entry, waited: Duration) -> Self {
        Self {
            waited: Some(waited),
            ..Self::already(entry)
        }
    }
}

/// A load as one of its callers sees it.
pub(super) struct Load {
    pub(super) loaded: Arc<Loaded>,
    /// How long this caller waited, if the load was another's.
    pub(super) waited: Option<Duration>,
}

impl Loader {
    /// `landed` is told of each landing after it was counted.
    pub(super) fn new(
        config: &Config,
        cache: TemplateCache,
        store: TemplateStore,
        metrics: Arc<Metrics>,
        landed: impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static,
    ) -> Self {
        let counted = Arc::clone(&metrics);
        let flights = Group::builder()
            .deadline(config.longest_flight())
            .max_callers(config.max_waiters)
            .on_landing(move |landing| {
                count_landing(&counted, landing);
                landed(landing);
            })
            .build();
        Self {
            cache,
            local: LocalCopy::new(
                config.local_entries,
                config.stale_while_revalidate,
                config.stale_for,
                config.cache_ttl + config.longest_load(),
            ),
            store,
            metrics,
            flights,
            protection: config.protection,
            cache_ttl: config.cache_ttl,
            cache_ttl_jitter: config.cache_ttl_jitter,
            negative_ttl: config.negative_ttl,
            flight_deadline: config.flight_deadline(),
            longest_load: config.longest_load(),
            changing: Semaphore::new(MOST_CHANGES as usize),
        }
    }

    /// Loads a template for a caller that asked the cache in vain at that moment, and waits at most this long.
    pub(super) async fn load(
        self: &Arc<Self>,
        id: TemplateId,
        asked_at: Moment,
        patience: Duration,
    ) -> Result<Load, Refusal> {
        match self.protection {
            Protection::Singleflight => self.load_together(id, asked_at, patience).await,
            Protection::Off => self.load_alone(id, patience).await,
        }
    }

    /// Waits for changes and loads that are under way, for at most this long.
    pub(super) async fn drain(&self, longest: Duration) {
        let ended = async {
            tokio::join!(
                self.changing.acquire_many(MOST_CHANGES),
                self.flights.drain(longest)
            )
        };
        let _ = timeout(longest, ended).await;
    }

    /// Loads a template and fills the caches with it, unless it has changed while the load was under way.
    pub(super) async fn load_from_store(
        &self,
        id: TemplateId,
        is_current: impl Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let hope = if self.local.may_exist(id) {
            Hope::Known
        } else {
            Hope::Speculative
        };
        let (began, trusted_since) = (Instant::now(), self.local.trusted_since());
        let state = self.store.load(id, hope).await?;
        let took = began.elapsed();
        let entry = self.entry(state, took);
        let stored = if is_current() && self.local.trusted_since() == trusted_since {
            self.fill(id, &entry).await
        } else {
            self.disclose(id, entry.version).await;
            self.prevented()
        };
        Ok(Loaded {
            entry,
            stored,
            database: Some(took),
            waited: None,
        })
    }

    /// Callers are about to see a state that may not be stored: nobody here is to see an older one afterwards.
    async fn disclose(&self, id: TemplateId, version: i64) {
        let changed = Entry::changed(version, Moment::now(), self.longest_load);
        if self.local.overtake(id, &changed) {
            self.cache.announce(id, &changed).await;
        }
    }

    /// What the database has just said after taking this long. The TTL counts from when the question was put: the row
    /// may have changed since.
    pub(super) fn entry(&self, state: State, took: Duration) -> Entry {
        let ttl = match state {
            State::Present(_) => self.cache_ttl,
            State::Absent { .. } => self.negative_ttl,
        };
        let ttl = ttl
            .mul_f64(1.0 - self.cache_ttl_jitter * fastrand::f64())
            .saturating_sub(took);
        Entry::new(state, Moment::now(), ttl, took)
    }

    /// Says whether the entry is stored anywhere now.
    async fn fill(&self, id: TemplateId, entry: &Entry) -> bool {
        let kept = self.local.keep(id, entry);
        let stored = self.cache.store(id, entry).await;
        if kept == Keeping::Overtaken || stored == Stored::Overtaken {
            self.prevented();
        }
        kept == Keeping::Kept || stored == Stored::Yes
    }

    /// Something older than what is known was not stored.
    pub(super) fn prevented(&self) -> bool {
        self.metrics.stale_writes_prevented.inc();
        false
    }
}

impl Load {
    /// Whether this caller's own query brought it.
    pub(super) fn is_own(&self) -> bool {
        self.waited.is_none() && self.loaded.database.is_some()
    }

    pub(super) fn into_answer(self, asked: Asked) -> Answer {
        let Loaded {
            entry,
            stored,
            database,
            waited,
        } = &*self.loaded;
        let own = self.is_own();
        Answer {
            entry: entry.clone(),
            now: Moment::now(),
            source: if own { Source::Loaded } else { Source::Shared },
            cache_answered: asked.answered,
            stored: own && *stored,
            timings: Timings {
                cache: asked.took,
                wait: self.waited.or(*waited),
                database: database.filter(|_| own),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::cache::MemoryCache;
    use crate::service::TemplateService;
    use crate::store::{Change, Condition, StoreOptions};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_caller_whose_lookup_raced_a_landing_gets_what_landed_and_makes_no_query() {
        let config = Config::from_variables(|_| None).unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let options = StoreOptions::new(None, 1, PATIENCE, PATIENCE, Duration::ZERO).unwrap();
        let store = TemplateStore::open(options, Arc::clone(&metrics)).await;
        let cache = TemplateCache::Memory(MemoryCache::new(Duration::ZERO, Duration::ZERO));
        let loader = Arc::new(Loader::new(
            &config,
            cache,
            store,
            Arc::clone(&metrics),
            |_| {},
        ));
        let (id, asked_at) = (TemplateId::new(1).unwrap(), Moment::now());
        // Both asked the cache in vain before either load began; the second comes when the first has landed.
        let first = loader.load(id, asked_at, PATIENCE).await.unwrap();
        let second = loader.load(id, asked_at, PATIENCE).await.unwrap();
        assert!(first.loaded.database.is_some() && second.loaded.database.is_none());
        assert_eq!(second.loaded.entry, first.loaded.entry);
        assert_eq!(metrics.db_hits.get(), 1);
    }

    #[tokio::test]
    async fn a_flight_that_began_before_what_is_known_is_not_enough() {
        let config = Config::from_variables(|_| None).unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let options = StoreOptions::new(None, 1, PATIENCE, PATIENCE, Duration::ZERO).unwrap();
        let store = TemplateStore::open(options, Arc::clone(&metrics)).await;
        let cache = TemplateCache::Memory(MemoryCache::new(Duration::ZERO, Duration::ZERO));
        let loader = Arc::new(Loader::new(&config, cache, store, metrics, |_| {}));
        let id = TemplateId::new(1).unwrap();
        let old = loader.load_from_store(id, || true).await.unwrap();
        let landing = Arc::new(Notify::new());
        let cleared = Arc::clone(&landing);
        let flight = loader.flights.start(&id, move |_| async move {
            cleared.notified().await;
            Ok(old)
        });
        let change = Change::Put {
            name: "New".into(),
            condition: Condition::None,
        };
        let new = loader.store.change(id, &change).await.unwrap().unwrap();
        loader.local.keep(id, &loader.entry(new, Duration::ZERO));
        // As after a miss: the cache has just been emptied.
        let joining = loader.load(id, Moment(u64::MAX), PATIENCE);
        let (load, ()) = tokio::join!(joining, async { landing.notify_one() });
        assert_eq!(load.unwrap().loaded.entry.version, 2);
        drop(flight);
    }

    #[tokio::test]
    async fn what_a_forgotten_load_has_shown_is_not_followed_by_something_older() {
        let config = Config::from_variables(|_| None).unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let options = StoreOptions::new(None, 1, PATIENCE, PATIENCE, Duration::ZERO).unwrap();
        let store = TemplateStore::open(options, Arc::clone(&metrics)).await;
        let cache = TemplateCache::Memory(MemoryCache::new(Duration::ZERO, Duration::ZERO));
        let service = TemplateService::new(&config, cache, store, metrics);
        let (id, loader) = (TemplateId::new(1).unwrap(), &service.loader);
        let version = async || service.details(id).await.unwrap().entry.version;
        assert_eq!(version().await, 1);
        // Somebody else has changed it, and has told nobody yet.
        let change = Change::Put {
            name: "New".into(),
            condition: Condition::None,
        };
        loader.store.change(id, &change).await.unwrap();
        let shown = loader.load_from_store(id, || false).await.unwrap();
        assert_eq!((shown.entry.version, shown.stored), (2, false));
        assert_eq!(version().await, 2);
    }
}

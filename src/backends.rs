//! [`Backends`]: what the settings say of the database and the cache, and the parts that come of it.
//!
//! The service opens them once; the lab opens them again for each of its runs, with one setting changed.

use std::sync::Arc;

use crate::cache::{MemoryCache, RedisCache, RedisOptions, TemplateCache};
use crate::config::{Config, Problem, Problems, Secret};
use crate::fault::Switch;
use crate::freshness::Rules;
use crate::metrics::Metrics;
use crate::store::{StoreOptions, TemplateStore};

/// Which database and which cache, and how they are used.
#[derive(Clone)]
pub struct Backends {
    redis: Option<RedisOptions>,
    store: StoreOptions,
    faults: Faults,
}

/// What can make the backends fail; by default nothing can.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The cache.
    pub cache: Switch,
    /// The database.
    pub database: Switch,
}

impl Faults {
    /// Switches that can be set.
    pub fn new() -> Self {
        Self {
            cache: Switch::new(),
            database: Switch::new(),
        }
    }
}

impl Backends {
    /// What the addresses mean to the clients that will use them, or every address that one of them does not accept.
    pub fn new(config: &Config) -> Result<Self, Problems> {
        match (redis_options(config), store_options(config)) {
            (Ok(redis), Ok(store)) => Ok(Self {
                redis,
                store,
                faults: Faults::default(),
            }),
            (redis, store) => {
                let problem = |variable, problem: &str| Problem {
                    variable,
                    problem: problem.to_owned(),
                };
                let redis = redis.err().map(|text| problem("REDIS_URL", text));
                let store = store.err().map(|text| problem("DATABASE_URL", text));
                Err(Problems(redis.into_iter().chain(store).collect()))
            }
        }
    }

    /// The same database and cache, used as another configuration says. An embedded database is the very same one; an
    /// embedded cache is another, and empty.
    pub fn used_as(&self, config: &Config) -> Result<Self, Problems> {
        let Self { redis, store, .. } = Self::new(config)?;
        Ok(Self {
            redis,
            store: self.store.clone().limited_like(store),
            faults: Faults::default(),
        })
    }

    /// The same, with what can make them fail.
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// The same, whose database slows down once more queries than this run at once.
    pub fn with_knee(self, knee: usize) -> Self {
        Self {
            store: self.store.with_knee(knee),
            ..self
        }
    }

    /// Begins to connect. Backends that are away are no error.
    pub async fn open(
        self,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> (TemplateCache, TemplateStore) {
        let Faults { cache, database } = self.faults;
        let store = TemplateStore::open(self.store.with_faults(database), Arc::clone(metrics));
        tokio::join!(open_cache(self.redis, config, cache, metrics), store)
    }

    /// Why the file of the database cannot be used, if it is one and that will not pass.
    pub async fn check_file(&self) -> Result<(), String> {
        self.store.check_file().await
    }

    /// Whether what is sent to the database may pass between machines without TLS.
    pub fn database_may_be_read_by_others(&self) -> bool {
        self.store.may_be_read_by_others()
    }

    /// What kind of database it is, in one word.
    pub fn database_kind(&self) -> &'static str {
        self.store.kind()
    }

    /// What kind of cache it is, in one word.
    pub fn cache_kind(&self) -> &'static str {
        if self.redis.is_some() {
            "redis"
        } else {
            "embedded"
        }
    }
}

async fn open_cache(
    redis: Option<RedisOptions>,
    config: &Config,
    faults: Switch,
    metrics: &Arc<Metrics>,
) -> TemplateCache {
    if let Some(options) = redis {
        let options = options.with_faults(faults);
        return TemplateCache::Redis(RedisCache::connect(options, Arc::clone(metrics)).await);
    }
    metrics.cache_up.set(1);
    let cache = MemoryCache::new(Rules::of(config));
    TemplateCache::Memory(cache.behind(faults, config.redis_timeout, Arc::clone(metrics)))
}

fn redis_options(config: &Config) -> Result<Option<RedisOptions>, &'static str> {
    let Some(url) = config.redis_url.as_ref().map(Secret::expose) else {
        return Ok(None);
    };
    let options = RedisOptions::new(url, config.redis_timeout, Rules::of(config));
    options.map(|options| {
        Some(if config.fleet_lease {
            options.with_leases(config.fleet_patience())
        } else {
            options
        })
    })
}

fn store_options(config: &Config) -> Result<StoreOptions, &'static str> {
    StoreOptions::new(
        config.database_url.as_ref().map(Secret::expose),
        config.db_max_connections,
        config.db_queue_timeout,
        config.db_timeout,
        config.db_delay,
        config.change_poll,
    )
}

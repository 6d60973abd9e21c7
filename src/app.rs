//! [`App`]: the parts, wired ([`App::build`]), and their life ([`App::serve`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::TcpListener;
use tracing::info;

use crate::cache::{MemoryCache, RedisCache, RedisOptions, TemplateCache};
use crate::config::{Config, Problem, Problems, Secret};
use crate::http::{self, Front, Http};
use crate::metrics::Metrics;
use crate::service::TemplateService;
use crate::store::{StoreOptions, TemplateStore};

/// The source that the binary was built from.
const REVISION: &str = match option_env!("STAMPEDE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The service, ready to serve.
pub struct App {
    service: TemplateService,
    http: Http,
    grace: Duration,
}

impl App {
    /// Wires the parts and begins to connect. Backends that are away are no error: the service starts without them.
    pub async fn build(config: &Config) -> Result<Self, Problems> {
        let (redis, store) = backends(config)?;
        let metrics = Arc::new(Metrics::new(REVISION));
        let cache = async {
            match redis {
                Some(options) => {
                    TemplateCache::Redis(RedisCache::connect(options, Arc::clone(&metrics)).await)
                }
                None => {
                    metrics.cache_up.set(1);
                    TemplateCache::Memory(MemoryCache::new(
                        config.stale_while_revalidate,
                        config.cache_ttl + config.longest_load(),
                    ))
                }
            }
        };
        let (cache, store) = tokio::join!(cache, TemplateStore::open(store, Arc::clone(&metrics)));
        let service = TemplateService::new(config, cache, store, Arc::clone(&metrics));
        let http = Http::new(service.clone(), metrics, config);
        Ok(Self {
            service,
            http,
            grace: config.shutdown_grace,
        })
    }

    /// Answers on this listener until `shutdown` completes, then drains.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        let Self {
            service,
            http,
            grace,
        } = self;
        let here = listener.local_addr()?;
        info!("listening on http://{here}");
        info!("try: curl -i 'http://{here}/template-details?id=1'");
        info!("counters: http://{here}/metrics");
        if http.has_page() {
            info!("page: http://{here}/");
        }
        let draining = http.clone();
        let mut deadline = Instant::now();
        http::serve(listener, Front::new(http), grace, shutdown, || {
            info!("draining");
            deadline = Instant::now() + grace;
            draining.drain();
        })
        .await;
        // Loads whose callers have left may still fill the cache.
        service
            .drain(deadline.saturating_duration_since(Instant::now()))
            .await;
        info!("done");
        Ok(())
    }
}

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// The machine refuses something, such as the address to listen on.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What the addresses mean to the clients that will use them, or every address that one of them does not accept.
fn backends(config: &Config) -> Result<(Option<RedisOptions>, StoreOptions), Problems> {
    let redis = config.redis_url.as_ref().map(Secret::expose);
    let redis = redis
        .map(|url| {
            RedisOptions::new(
                url,
                config.redis_timeout,
                config.cache_ttl,
                config.stale_while_revalidate,
                config.longest_load(),
            )
        })
        .transpose()
        .map(|redis| match redis {
            Some(redis) if config.fleet_lease => Some(redis.with_leases(config.fleet_patience())),
            redis => redis,
        });
    let store = StoreOptions::new(
        config.database_url.as_ref().map(Secret::expose),
        config.db_max_connections,
        config.db_queue_timeout,
        config.db_timeout,
        config.db_delay,
    );
    match (redis, store) {
        (Ok(redis), Ok(store)) => Ok((redis, store)),
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

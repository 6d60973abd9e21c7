//! [`Stage`]: the service and the real servers it stands on, each behind a network that can be broken.

use std::time::Duration;

use sqlx::PgConnection;
use testkit::{Postgres, Proxy, Redis, Service, postgres};
use tokio::runtime::Handle;

/// `CACHE_TTL`: short, so that entries expire all the time.
pub(crate) const TTL: Duration = Duration::from_secs(2);

/// `REQUEST_TIMEOUT`.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Defaults for the rest: on a busy machine a single session of a healthy PostgreSQL has been seen to stand still for
/// a second, which must not look like a refusal.
const SETTINGS: [(&str, &str); 3] = [
    ("CACHE_TTL", "2s"),
    ("NEGATIVE_TTL", "1s"),
    ("STALE_FOR", "1h"),
];

/// What `/readyz` says when nothing is broken.
pub(crate) const ALL_WELL: &str = "database: ok\ncache: ok\n";

/// Everything that is broken, and what must hold all the same.
pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) to_postgres: Proxy,
    pub(crate) to_redis: Proxy,
    /// The service's database, past the proxy.
    pub(crate) database_url: String,
    pub(crate) service: Service,
}

impl Stage {
    /// Starts the servers here and the service on a runtime of its own, whose tasks can then be counted.
    pub(crate) async fn set(runtime: &Handle) -> Self {
        let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
        let database_url = postgres.database().await;
        let to_postgres = Proxy::to(postgres.port()).await;
        let to_redis = Proxy::to(redis.port()).await;
        let urls = (to_postgres.url(&database_url), to_redis.url(&redis.url()));
        let service = runtime.spawn(async move {
            let mut settings = vec![("DATABASE_URL", urls.0.as_str()), ("REDIS_URL", &urls.1)];
            settings.extend(SETTINGS);
            Service::start(&settings).await
        });
        let service = service.await.expect("a service that starts");
        service.until_ready_says(ALL_WELL).await;
        Self {
            postgres,
            redis,
            to_postgres,
            to_redis,
            database_url,
            service,
        }
    }

    /// Locks the table until the session is closed.
    pub(crate) async fn lock(&self) -> PgConnection {
        let mut session = postgres::session(&self.database_url).await;
        let lock = sqlx::raw_sql("BEGIN; LOCK TABLE templates");
        lock.execute(&mut session)
            .await
            .expect("PostgreSQL is well but for this lock");
        session
    }

    /// Where to ask for a template.
    pub(crate) fn url_of(&self, id: i64) -> String {
        self.service.url(&format!("/template-details?id={id}"))
    }
}

//! The story: the network to Redis fails, and the database is small. Without protection it is overwhelmed; with the
//! defaults it hardly notices.

use sqlx::MySqlConnection;
use testkit::{Mode, MySql, Postgres, Proxy, Redis, Scrape, Service, mysql, postgres};

use super::{ALL_WELL, NO_CACHE};

const CALLERS: usize = 60;
const ROUNDS: i64 = 5;

/// Each query for a template takes 100 ms of a session's time.
const SLOW_QUERIES: &str = "ALTER TABLE templates RENAME TO stored;
    CREATE VIEW templates AS SELECT id, name, version, updated_at FROM stored, pg_sleep(0.1)";

/// The same on MySQL.
const SLOW_QUERIES_OF_MYSQL: &str = "RENAME TABLE templates TO stored;
    CREATE VIEW templates AS SELECT id, name, version, updated_at FROM stored JOIN (SELECT SLEEP(0.1) AS slept) AS slow";

/// A server with few sessions, whose queries take their time once they are told to.
enum Small {
    Postgres(Postgres),
    /// With a session of the test's own, opened before the service can take all the room.
    MySql(MySql, MySqlConnection),
}

impl Small {
    async fn postgres() -> Self {
        let settings = &["max_connections=12", "superuser_reserved_connections=0"];
        Self::Postgres(Postgres::start_with(settings).await)
    }

    async fn mysql() -> Self {
        let server = MySql::start_with(&["--max-connections=14"]).await;
        let session = mysql::session(&server.url()).await;
        Self::MySql(server, session)
    }

    async fn database(&self) -> String {
        match self {
            Self::Postgres(server) => server.database().await,
            Self::MySql(server, _) => server.database().await,
        }
    }

    async fn slow_down(&self, url: &str) {
        match self {
            Self::Postgres(_) => postgres::execute(url, SLOW_QUERIES).await,
            Self::MySql(..) => mysql::execute(url, SLOW_QUERIES_OF_MYSQL).await,
        }
    }

    async fn rejected_sessions(self) -> usize {
        match self {
            Self::Postgres(server) => server.log().matches("too many clients").count(),
            Self::MySql(_server, mut session) => {
                let rejected = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
                                WHERE variable_name = 'Connection_errors_max_connections'";
                let rejected: i64 = sqlx::query_scalar(rejected)
                    .fetch_one(&mut session)
                    .await
                    .unwrap();
                rejected as usize
            }
        }
    }
}

/// What the service's callers and the database saw of the incident.
struct Incident {
    errors: usize,
    counters: Scrape,
    rejected_sessions: usize,
}

/// Warm traffic, then the network to Redis swallows everything and the traffic goes on.
async fn incident(server: Small, settings: &[(&str, &str)]) -> Incident {
    let (url, redis) = (server.database().await, Redis::start().await);
    let proxy = Proxy::to(redis.port()).await;
    let cache = proxy.url(&redis.url());
    let mut all = vec![
        ("DATABASE_URL", url.as_str()),
        ("REDIS_URL", cache.as_str()),
    ];
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says(ALL_WELL).await;
    server.slow_down(&url).await;
    for id in 1..=10 {
        assert_eq!(service.template(id).await.status, 200);
    }
    let before = service.scrape().await;
    proxy.set(Mode::Swallow).await;
    service.until_ready_says(NO_CACHE).await;
    let mut errors = 0;
    for round in 0..ROUNDS {
        let (some, others) = tokio::join!(
            service.callers(CALLERS, 1 + round),
            service.callers(CALLERS, 6 + round)
        );
        errors += some
            .iter()
            .chain(&others)
            .filter(|answer| answer.status != 200)
            .count();
    }
    let counters = &service.scrape().await - &before;
    service.stop().await;
    let rejected_sessions = server.rejected_sessions().await;
    Incident {
        errors,
        counters,
        rejected_sessions,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_protection_the_loss_of_redis_overwhelms_the_database() {
    overwhelms(Small::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_protection_it_overwhelms_mysql() {
    overwhelms(Small::mysql().await).await;
}

async fn overwhelms(server: Small) {
    let unprotected = [
        ("PROTECTION", "off"),
        ("LOCAL_ENTRIES", "0"),
        ("DB_MAX_CONNECTIONS", "200"),
    ];
    let incident = incident(server, &unprotected).await;
    assert!(
        incident.rejected_sessions > 0,
        "the server had room for everyone"
    );
    assert!(incident.errors > 0, "everyone was served");
    assert!(
        incident.counters.value("db_hits_total") >= 100.0,
        "{}",
        incident.counters.value("db_hits_total")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_defaults_it_hardly_notices() {
    is_hardly_noticed(Small::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_defaults_mysql_hardly_notices() {
    is_hardly_noticed(Small::mysql().await).await;
}

async fn is_hardly_noticed(server: Small) {
    let incident = incident(server, &[]).await;
    assert_eq!((incident.errors, incident.rejected_sessions), (0, 0));
    assert_eq!(
        incident.counters.value("db_hits_total"),
        0.0,
        "the local copies last"
    );
    let answered = CALLERS as f64 * 2.0 * ROUNDS as f64;
    assert_eq!(
        incident
            .counters
            .value("template_responses_total{source=\"local\"}"),
        answered
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_local_copies_one_load_per_template_and_the_slots_still_protect_it() {
    let server = Small::postgres().await;
    let incident = incident(server, &[("LOCAL_ENTRIES", "0")]).await;
    assert_eq!((incident.errors, incident.rejected_sessions), (0, 0));
    let queries = incident.counters.value("db_hits_total");
    assert!(queries <= 4.0 * ROUNDS as f64 * 2.0, "{queries} queries");
}

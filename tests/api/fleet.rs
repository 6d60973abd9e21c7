//! Replicas that take turns to load (`FLEET_LEASE`).
//!
//! A lock on the table holds every query back until all replicas want to make one, so that the figures are exact
//! however busy the machine is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Client, Value};
use futures_util::StreamExt as _;
use sqlx::PgConnection;
use stampede::cache::{RedisCache, RedisOptions, TemplateCache};
use stampede::config::Config;
use stampede::freshness::{Content, Rules};
use stampede::metrics::Metrics;
use stampede::service::TemplateService;
use stampede::store::{StoreOptions, TemplateStore};
use stampede::template::TemplateId;
use testkit::http::Answer;
use testkit::waiting::BACKSTOP;
use testkit::{Mode, Postgres, Proxy, Redis, Service, eventually, http, postgres, redis};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::process::Process;

/// Time-outs that a busy machine does not reach.
const PATIENT: [(&str, &str); 4] = [
    ("DB_TIMEOUT", "20s"),
    ("DB_QUEUE_TIMEOUT", "20s"),
    ("REDIS_TIMEOUT", "5s"),
    ("REQUEST_TIMEOUT", "100s"),
];
const ALL_WELL: &str = "database: ok\ncache: ok\n";

/// Replicas on one database and one Redis.
struct Fleet {
    replicas: Vec<Service>,
    database: String,
    cache: String,
}

impl Fleet {
    async fn start(size: usize, settings: &[(&str, &str)]) -> Self {
        let database = postgres::shared().await.database().await;
        let cache = redis::shared().await.database();
        let mut all = vec![("DATABASE_URL", database.as_str()), ("REDIS_URL", &cache)];
        all.extend(PATIENT);
        all.push(("DB_MAX_CONNECTIONS", "2"));
        all.extend(settings);
        let mut replicas = Vec::new();
        for _ in 0..size {
            replicas.push(Service::start(&all).await);
        }
        for replica in &replicas {
            replica.until_ready_says(ALL_WELL).await;
        }
        Self {
            replicas,
            database,
            cache,
        }
    }

    /// What a series has come to in all replicas together.
    async fn sum(&self, series: &str) -> f64 {
        let mut sum = 0.0;
        for replica in &self.replicas {
            sum += replica.scrape().await.value(series);
        }
        sum
    }

    async fn until_sum_is(&self, series: &str, expected: f64) {
        let what = format!("{series} is {expected} in all");
        eventually(&what, async || self.sum(series).await == expected).await;
    }

    /// Has every replica asked for a template that has just expired, and returns what they answer.
    async fn ask_for_an_expired_template(&self) -> Vec<Answer> {
        let lock = lock(&self.database).await;
        redis::cli(&self.cache, &["DEL", "td:v1:1"]).await.unwrap();
        let asking: Vec<_> = self
            .replicas
            .iter()
            .map(|replica| tokio::spawn(http::get_owned(replica.url("/template-details?id=1"))))
            .collect();
        self.until_sum_is("singleflight_in_flight", self.replicas.len() as f64)
            .await;
        release(lock).await;
        let mut answers = Vec::new();
        for answer in asking {
            answers.push(answer.await.unwrap());
        }
        answers
    }
}

/// Keeps a database from answering.
async fn lock(database: &str) -> PgConnection {
    let mut lock = postgres::session(database).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE templates")
        .execute(&mut lock)
        .await
        .unwrap();
    lock
}

async fn release(mut lock: PgConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_take_turns_make_one_query_per_ttl_and_others_one_each() {
    for size in [1, 2, 4, 8] {
        for (fleet_lease, expected) in [("true", 1), ("false", size)] {
            let fleet = Fleet::start(size, &[("FLEET_LEASE", fleet_lease)]).await;
            for ttl in 1..=3 {
                let answers = fleet.ask_for_an_expired_template().await;
                assert!(
                    answers
                        .iter()
                        .all(|answer| answer.json()["name"] == "Template 1")
                );
                let queries = fleet.sum("db_hits_total").await;
                assert_eq!(
                    queries,
                    (ttl * expected) as f64,
                    "{size} replicas, FLEET_LEASE={fleet_lease}, after {ttl} TTLs"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_another_replica_says_so() {
    let fleet = Fleet::start(2, &[("FLEET_LEASE", "true")]).await;
    let answers = fleet.ask_for_an_expired_template().await;
    let with = |words: &str| {
        let found = answers
            .iter()
            .filter(|answer| answer.header("cache-status") == Some(words));
        found
            .map(|answer| answer.header("server-timing").unwrap())
            .collect::<Vec<_>>()
    };
    let (loaded, waited) = (
        with("stampede; fwd=miss; stored"),
        with("stampede; fwd=miss; collapsed"),
    );
    assert!(loaded.len() == 1 && loaded[0].contains("db;dur="));
    assert!(waited.len() == 1 && waited[0].contains("wait;dur="));
    for (outcome, expected) in [
        ("won", 1.0),
        ("waited", 1.0),
        ("expired", 0.0),
        ("skipped", 0.0),
    ] {
        let series = format!("lease_total{{outcome=\"{outcome}\"}}");
        assert_eq!(fleet.sum(&series).await, expected, "{outcome}");
    }
}

/// A service without HTTP in front of it, and its counters.
async fn service(settings: &HashMap<&str, &str>) -> (TemplateService, Arc<Metrics>) {
    let config = Config::from_variables(|name| settings.get(name).map(|value| value.to_string()));
    let config = config.unwrap();
    let metrics = Arc::new(Metrics::new("test"));
    let redis = RedisOptions::new(
        settings["REDIS_URL"],
        config.redis_timeout,
        Rules::of(&config),
    );
    let redis = redis.unwrap().with_leases(config.fleet_patience());
    let cache = TemplateCache::Redis(RedisCache::connect(redis, Arc::clone(&metrics)).await);
    let store = StoreOptions::new(
        Some(settings["DATABASE_URL"]),
        config.db_max_connections,
        config.db_queue_timeout,
        config.db_timeout,
        config.db_delay,
        config.change_poll,
    );
    let store = TemplateStore::open(store.unwrap(), Arc::clone(&metrics)).await;
    let service = TemplateService::new(&config, cache, store, Arc::clone(&metrics), |_| {});
    eventually("the backends are there", async || {
        service.cache_is_up() && service.database_is_up()
    })
    .await;
    (service, metrics)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_replicas_make_one_query_for_each_of_a_thousand_templates() {
    const REPLICAS: usize = 50;
    const TEMPLATES: i64 = 1_000;
    let server = Postgres::start_with(&["max_connections=200"]).await;
    let (database, cache) = (server.database().await, redis::shared().await.database());
    let rows = "INSERT INTO templates (id, name, updated_at)
        SELECT n, 'Template ' || n, 0 FROM generate_series(101, 1000) AS n";
    let mut settings = HashMap::from(PATIENT);
    settings.extend([
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("FLEET_LEASE", "true"),
        ("DB_MAX_CONNECTIONS", "1"),
        ("CACHE_TTL", "1h"),
    ]);
    let mut replicas = vec![service(&settings).await];
    // The first one has made the tables.
    postgres::execute(&database, rows).await;
    for _ in 1..REPLICAS {
        replicas.push(service(&settings).await);
    }
    let mut asking = JoinSet::new();
    for (service, _) in &replicas {
        for first in 1..=20 {
            let service = service.clone();
            asking.spawn(async move {
                for id in (first..=TEMPLATES).step_by(20) {
                    let answer = service.details(TemplateId::new(id).unwrap()).await;
                    assert!(matches!(
                        answer.unwrap().entry.content,
                        Content::Template(_)
                    ));
                }
            });
        }
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let queries: u64 = replicas
        .iter()
        .map(|(_, metrics)| metrics.db_hits.get())
        .sum();
    assert_eq!(queries, TEMPLATES as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_killed_costs_its_lease_and_one_query() {
    let (database, cache) = (Postgres::start().await, Redis::start().await);
    let (database_url, cache_url) = (database.database().await, cache.url());
    let settings = [
        ("DATABASE_URL", database_url.as_str()),
        ("REDIS_URL", &cache_url),
        ("FLEET_LEASE", "true"),
        // A lease lasts ten times as long.
        ("REDIS_TIMEOUT", "500ms"),
        ("DB_TIMEOUT", "20s"),
        ("REQUEST_TIMEOUT", "100s"),
    ];
    let holder = Process::start(&settings).await;
    let other = Service::start(&settings).await;
    other.until_ready_says(ALL_WELL).await;
    holder.until_metrics_say("cache_up 1").await;
    let lock = lock(&database_url).await;
    let mut abandoned = TcpStream::connect(holder.address()).await.unwrap();
    let request = "GET /template-details?id=1 HTTP/1.1\r\nhost: test\r\n\r\n";
    abandoned.write_all(request.as_bytes()).await.unwrap();
    holder.until_metrics_say("db_queries_in_flight 1").await;
    let (answer, ()) = tokio::join!(other.template(1), async {
        eventually("the other one waits", async || {
            other.scrape().await.value("singleflight_in_flight") == 1.0
        })
        .await;
        assert_eq!(other.scrape().await.value("db_hits_total"), 0.0);
        holder.signal("KILL");
        eventually("the other one has the lease", async || {
            other.scrape().await.value("lease_total{outcome=\"won\"}") == 1.0
        })
        .await;
        release(lock).await;
    });
    assert_eq!(answer.status, 200);
    assert_eq!(other.scrape().await.value("db_hits_total"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_each_loads_for_itself() {
    let (database, cache) = (postgres::shared().await, redis::shared().await);
    let to_cache = Proxy::to(cache.port()).await;
    let (database, cache) = (database.database().await, to_cache.url(&cache.database()));
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("FLEET_LEASE", "true"),
        ("DB_TIMEOUT", "20s"),
        ("DB_QUEUE_TIMEOUT", "20s"),
        ("REQUEST_TIMEOUT", "100s"),
    ];
    let service = Service::start(&settings).await;
    service.until_ready_says(ALL_WELL).await;
    for (id, mode) in [(1, Mode::Mute), (2, Mode::Refuse)] {
        to_cache.set(mode).await;
        service
            .until_ready_says("database: ok\ncache: down\n")
            .await;
        assert_eq!(service.template(id).await.status, 200);
    }
    let counters = service.scrape().await;
    assert_eq!(counters.value("lease_total{outcome=\"skipped\"}"), 2.0);
    assert_eq!(counters.value("db_hits_total"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_held_for_too_long_is_not_waited_for() {
    let database = postgres::shared().await.database().await;
    let cache = redis::shared().await.database();
    let mut settings = HashMap::from(PATIENT);
    settings.extend([
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("FLEET_LEASE", "true"),
        // Leaves 100 ms.
        ("REQUEST_TIMEOUT", "55100ms"),
    ]);
    let settings: Vec<_> = settings.into_iter().collect();
    let service = Service::start(&settings).await;
    service.until_ready_says(ALL_WELL).await;
    let hold = ["SET", LEASE, "somebody else", "PX", "60000"];
    redis::cli(&cache, &hold).await.unwrap();
    assert_eq!(service.template(1).await.status, 200);
    let counters = service.scrape().await;
    assert_eq!(counters.value("lease_total{outcome=\"expired\"}"), 1.0);
    assert_eq!(counters.value("db_hits_total"), 1.0);
}

/// How much later than the one who loads the other one answers, in ten loads that take 85 ms.
async fn delay_of_the_other(database: &str, cache: &str) -> Duration {
    let mut settings = vec![("DATABASE_URL", database), ("REDIS_URL", cache)];
    settings.extend(PATIENT);
    settings.extend([("FLEET_LEASE", "true"), ("DB_DELAY", "85ms")]);
    let (one, other) = (
        Service::start(&settings).await,
        Service::start(&settings).await,
    );
    for service in [&one, &other] {
        service.until_ready_says(ALL_WELL).await;
    }
    if !cache.contains("deaf") {
        eventually("both listen", async || {
            let ask = ["PUBSUB", "NUMSUB", "td:v1:given-back"];
            let listeners = redis::cli(cache, &ask).await.unwrap();
            matches!(listeners, Value::Array(all) if all[1] == Value::Int(2))
        })
        .await;
    }
    let mut delay = Duration::ZERO;
    let answered = async |service: &Service| {
        assert_eq!(service.template(1).await.status, 200);
        Instant::now()
    };
    for _ in 0..10 {
        redis::cli(cache, &["DEL", "td:v1:1"]).await.unwrap();
        let (one, other) = tokio::join!(answered(&one), answered(&other));
        delay += one.max(other) - one.min(other);
    }
    delay
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_woken_by_a_push_and_finds_out_later_without() {
    let (database, cache) = (postgres::shared().await, Redis::start().await);
    // May do everything, but not send or get messages.
    let deaf = [
        "ACL",
        "SETUSER",
        "deaf",
        "on",
        "nopass",
        "~*",
        "+@all",
        "resetchannels",
    ];
    cache.cli(&deaf).await;
    let without = cache.url().replace("redis://", "redis://deaf:x@");
    let with_push = delay_of_the_other(&database.database().await, &cache.url()).await;
    let with_polls = delay_of_the_other(&database.database().await, &without).await;
    assert!(
        with_push.mul_f64(1.5) < with_polls,
        "{with_push:?} with a push, {with_polls:?} without"
    );
}

/// The lease's key in Redis, for template 1.
const LEASE: &str = "td:lease:{td:v1:1}";

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_while_its_holder_loads_and_gone_afterwards() {
    let fleet = Fleet::start(1, &[("FLEET_LEASE", "true"), ("REDIS_TIMEOUT", "300ms")]).await;
    let lock = lock(&fleet.database).await;
    let left = async || redis::cli(&fleet.cache, &["PTTL", LEASE]).await.unwrap();
    let (answer, ()) = tokio::join!(fleet.replicas[0].template(1), async {
        let mut last = left().await;
        eventually("what is left of the lease grows", async || {
            let now = left().await;
            let earlier = std::mem::replace(&mut last, now);
            matches!((&earlier, &last), (Value::Int(earlier), Value::Int(now)) if 0 < *earlier && earlier < now)
        })
        .await;
        release(lock).await;
    });
    assert_eq!(answer.status, 200);
    eventually("the lease is given back", async || {
        left().await == Value::Int(-2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_another_ones_by_now_is_left_to_it() {
    let fleet = Fleet::start(1, &[("FLEET_LEASE", "true")]).await;
    let client = Client::open(fleet.cache.as_str()).unwrap();
    let mut told = client.get_async_pubsub().await.unwrap();
    told.subscribe("td:v1:given-back").await.unwrap();
    let lock = lock(&fleet.database).await;
    // Other tests share the channel, but not this template, which does not exist.
    let lease = "td:lease:{td:v1:7777}";
    let (answer, ()) = tokio::join!(fleet.replicas[0].template(7777), async {
        fleet.until_sum_is("db_queries_in_flight", 1.0).await;
        let take = ["SET", lease, "somebody else"];
        redis::cli(&fleet.cache, &take).await.unwrap();
        release(lock).await;
    });
    assert_eq!(answer.status, 404);
    let mut told = told.on_message();
    let of_this_one = async { while told.next().await.unwrap().get_payload_bytes() != b"7777" {} };
    timeout(BACKSTOP, of_this_one).await.expect("a push");
    let holder = redis::cli(&fleet.cache, &["GET", lease]).await.unwrap();
    assert_eq!(holder, Value::BulkString(b"somebody else".to_vec()));
}

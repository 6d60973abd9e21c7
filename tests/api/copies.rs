//! Copies that answer before Redis is asked, copies that answer for a slow load, and how old answers are.

use std::sync::Arc;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use testkit::http::Client;
use testkit::{Postgres, Redis, Service, eventually, postgres};

const TOKEN: &str = "a-token-for-tests";
const ALL_WELL: &str = "database: ok\ncache: ok\n";

struct Backends {
    database: String,
    redis: Redis,
}

impl Backends {
    async fn new() -> Self {
        Self {
            database: postgres::shared().await.database().await,
            redis: Redis::start().await,
        }
    }

    async fn replica(&self, settings: &[(&str, &str)]) -> Service {
        let redis = self.redis.url();
        let mut all = vec![
            ("DATABASE_URL", self.database.as_str()),
            ("REDIS_URL", redis.as_str()),
            ("ADMIN_TOKEN", TOKEN),
        ];
        all.extend(settings);
        let service = Service::start(&all).await;
        service.until_ready_says(ALL_WELL).await;
        service
    }
}

async fn status(service: &Service, id: i64) -> String {
    let answer = service.template(id).await;
    answer.header("cache-status").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_whose_near_copy_has_run_out_make_one_lookup_together() {
    const CALLERS: usize = 200;
    let backends = Backends::new().await;
    let settings = [
        ("NEAR_FOR", "1ms"),
        ("REDIS_TIMEOUT", "30s"),
        ("REQUEST_TIMEOUT", "120s"),
    ];
    let service = Arc::new(backends.replica(&settings).await);
    service.template(1).await;
    let before = service.scrape().await;
    backends.redis.freeze().await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { status(&service, 1).await })
        })
        .collect();
    eventually("all of them wait", async || {
        let in_flight = service.scrape().await.value("http_in_flight_requests");
        in_flight >= CALLERS as f64
    })
    .await;
    backends.redis.thaw().await;
    let mut near = 0;
    for caller in callers {
        near += usize::from(caller.await.unwrap().ends_with("; detail=near"));
    }
    assert_eq!(near, CALLERS - 1);
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("cache_hits_total"), 1.0);
    let near = grown.value("template_responses_total{source=\"near\"}");
    assert_eq!(near, (CALLERS - 1) as f64);
}

#[tokio::test]
async fn a_near_copy_answers_without_redis_until_a_change_or_a_gap_is_known() {
    let backends = Backends::new().await;
    let service = backends.replica(&[("NEAR_FOR", "60s")]).await;
    service.template(1).await;
    let before = service.scrape().await;
    for _ in 0..10 {
        assert!(status(&service, 1).await.ends_with("; detail=near"));
    }
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("cache_hits_total"), 0.0);
    let put = Request::put(service.url("/template-details?id=1"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Full::new(Bytes::from(r#"{"name":"Written"}"#)))
        .unwrap();
    assert_eq!(Client::new().send(put).await.unwrap().status, 200);
    assert_eq!(service.template(1).await.json()["name"], "Written");
    let change = "UPDATE templates SET name = 'By hand' WHERE id = 1";
    postgres::execute(&backends.database, change).await;
    eventually("a change by hand is shown", async || {
        service.template(1).await.json()["name"] == "By hand"
    })
    .await;
}

#[tokio::test]
async fn a_copy_stands_in_for_a_slow_load_which_goes_on_and_fills_the_cache() {
    let backends = Backends::new().await;
    let settings = [("SOFT_TIMEOUT", "50ms"), ("DB_DELAY", "1500ms")];
    let service = backends.replica(&settings).await;
    service.template(1).await;
    let before = service.scrape().await;
    backends.redis.cli(&["DEL", "td:v1:1"]).await;
    let callers = service.callers(20, 1).await;
    for answer in &callers {
        let status = answer.header("cache-status").unwrap();
        assert!(status.ends_with("; detail=stale"), "{status}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("stale_responses_total{reason=\"slow\"}"), 20.0);
    assert_eq!(
        grown.value("template_responses_total{source=\"stale\"}"),
        20.0
    );
    eventually("the load has filled the cache", async || {
        let status = status(&service, 1).await;
        status.starts_with("stampede; hit") && !status.contains("detail")
    })
    .await;
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("db_hits_total"), 1.0);
}

#[tokio::test]
async fn a_caller_without_a_copy_waits_for_the_load_however_slow_it_is() {
    let settings = [("SOFT_TIMEOUT", "1ms"), ("DB_DELAY", "200ms")];
    let service = Service::start(&settings).await;
    let answer = service.template(1).await;
    let status = answer.header("cache-status");
    assert_eq!(status, Some("stampede; fwd=miss; stored"));
}

#[tokio::test]
async fn ages_lags_and_the_health_of_the_database_are_exported() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let service = Service::start(&[("DATABASE_URL", database.as_str())]).await;
    service.until_ready_says(ALL_WELL).await;
    service.template(1).await;
    let scrape = service.scrape().await;
    assert_eq!(scrape.value("db_up"), 1.0);
    assert_eq!(scrape.value("template_age_seconds_count"), 1.0);
    let flights = "singleflight_flight_seconds_count{outcome=\"ok\"}";
    assert_eq!(scrape.value(flights), 1.0);
    let change = "UPDATE templates SET name = 'By hand' WHERE id = 1";
    postgres::execute(&database, change).await;
    eventually("the lag of the change is known", async || {
        service.scrape().await.value("change_lag_seconds_count") == 1.0
    })
    .await;
    postgres.stop().await;
    eventually("db_up says that the database is away", async || {
        service.scrape().await.value("db_up") == 0.0
    })
    .await;
}

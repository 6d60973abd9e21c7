//! The stampede itself: a thousand callers of one cold template, with protection and without, and callers that leave.
//!
//! A lock on the table holds every query back until all callers have asked the cache in vain, so that the figures are
//! exact however busy the machine is.

use sqlx::PgConnection;
use testkit::{Scrape, Service, eventually, postgres, redis};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const CALLERS: usize = 1_000;

/// The time-outs of a service whose callers wait for this test rather than for a database.
const PATIENT: [(&str, &str); 4] = [
    ("DB_TIMEOUT", "25s"),
    ("DB_QUEUE_TIMEOUT", "25s"),
    ("REDIS_TIMEOUT", "4s"),
    ("REQUEST_TIMEOUT", "60s"),
];

/// A service, and the lock that keeps its database from answering.
pub(crate) async fn service_behind_a_lock(settings: &[(&str, &str)]) -> (Service, PgConnection) {
    let database = postgres::shared().await.database().await;
    let cache = redis::shared().await.database();
    let mut all = vec![
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", cache.as_str()),
    ];
    all.extend(PATIENT);
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says("database: ok\ncache: ok\n").await;
    let mut lock = postgres::session(&database).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE templates")
        .execute(&mut lock)
        .await
        .unwrap();
    (service, lock)
}

pub(crate) async fn release(mut lock: PgConnection) {
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
}

pub(crate) async fn until(service: &Service, series: &str, value: usize) {
    let what = format!("{series} is {value}");
    eventually(&what, async || {
        service.scrape().await.value(series) == value as f64
    })
    .await;
}

/// What the counters say after a thousand callers of one cold template have been answered.
async fn a_thousand_callers(protection: &str) -> Scrape {
    let (service, lock) = service_behind_a_lock(&[("PROTECTION", protection)]).await;
    let (answers, ()) = tokio::join!(service.callers(CALLERS, 1), async {
        until(&service, "cache_misses_total", CALLERS).await;
        release(lock).await;
    });
    assert!(
        answers
            .iter()
            .all(|answer| answer.json()["name"] == "Template 1")
    );
    service.scrape().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_a_cold_template_make_one_query() {
    let counters = a_thousand_callers("singleflight").await;
    assert_eq!(counters.value("db_hits_total"), 1.0);
    assert_eq!(counters.value("singleflight_shared_total"), CALLERS as f64);
    assert_eq!(
        counters.value("template_responses_total{source=\"loaded\"}"),
        1.0
    );
    assert_eq!(
        counters.value("template_responses_total{source=\"shared\"}"),
        CALLERS as f64 - 1.0
    );
    assert_eq!(
        counters.value("singleflight_flights_total{outcome=\"ok\"}"),
        1.0
    );
    assert_eq!(counters.value("singleflight_callers_sum"), CALLERS as f64);
    assert_eq!(
        counters.value("singleflight_wait_seconds_count"),
        CALLERS as f64 - 1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_protection_each_of_them_makes_one() {
    let counters = a_thousand_callers("off").await;
    assert_eq!(counters.value("db_hits_total"), CALLERS as f64);
    assert_eq!(
        counters.value("template_responses_total{source=\"loaded\"}"),
        CALLERS as f64
    );
    assert_eq!(counters.sum("singleflight_flights_total"), 0.0);
}

/// A caller that has asked for a template and can hang up.
pub(crate) async fn caller(service: &Service) -> TcpStream {
    let mut caller = TcpStream::connect(service.address()).await.unwrap();
    caller
        .write_all(b"GET /template-details?id=1 HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    caller
}

#[tokio::test]
async fn the_others_get_the_result_when_the_caller_that_started_the_load_hangs_up() {
    let (service, lock) = service_behind_a_lock(&[]).await;
    let leader = caller(&service).await;
    until(&service, "db_hits_total", 1).await;
    let (answers, ()) = tokio::join!(service.callers(50, 1), async {
        until(&service, "cache_misses_total", 51).await;
        drop(leader);
        until(
            &service,
            "http_request_total{path=\"/template-details\",method=\"GET\",status=\"499\"}",
            1,
        )
        .await;
        release(lock).await;
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(
        answers
            .iter()
            .all(|answer| answer.header("cache-status") == Some("stampede; fwd=miss; collapsed"))
    );
    assert_eq!(service.scrape().await.value("db_hits_total"), 1.0);
}

#[tokio::test]
async fn a_load_fills_the_cache_when_every_caller_has_hung_up() {
    for protection in ["singleflight", "off"] {
        let (service, lock) = service_behind_a_lock(&[("PROTECTION", protection)]).await;
        let leader = caller(&service).await;
        until(&service, "db_hits_total", 1).await;
        drop(leader);
        until(&service, "http_in_flight_requests", 1).await; // The one that reads this gauge.
        release(lock).await;
        until(&service, "db_query_duration_seconds_count", 1).await;
        eventually("the cache has the template", async || {
            service
                .template(1)
                .await
                .header("cache-status")
                .is_some_and(|status| status.contains("hit"))
        })
        .await;
        assert_eq!(
            service.scrape().await.value("db_hits_total"),
            1.0,
            "{protection}"
        );
    }
}

#[tokio::test]
async fn a_caller_over_the_limit_of_one_flight_is_shed() {
    let (service, lock) = service_behind_a_lock(&[("MAX_WAITERS", "2")]).await;
    let (answers, ()) = tokio::join!(service.callers(5, 1), async {
        until(&service, "requests_shed_total{reason=\"waiters\"}", 3).await;
        release(lock).await;
    });
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        2
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 503).count(),
        3
    );
}

#[tokio::test]
async fn a_load_that_finds_no_slot_in_time_is_shed() {
    let settings = [("DB_MAX_CONNECTIONS", "1"), ("DB_QUEUE_TIMEOUT", "50ms")];
    let (service, lock) = service_behind_a_lock(&settings).await;
    let first = tokio::spawn(testkit::http::get_owned(
        service.url("/template-details?id=1"),
    ));
    until(&service, "db_queries_in_flight", 1).await;
    let shed = service.template(2).await;
    assert_eq!(
        (shed.status, shed.header("retry-after").is_some()),
        (503, true)
    );
    assert_eq!(
        service
            .scrape()
            .await
            .value("requests_shed_total{reason=\"db_queue\"}"),
        1.0
    );
    release(lock).await;
    assert_eq!(first.await.unwrap().status, 200);
}

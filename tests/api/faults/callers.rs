//! Callers that are many at once, that ask for what does not exist, that say nothing, or nothing sensible.

use std::time::Duration;

use testkit::{Service, database, eventually, http, redis};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn on_real_backends(settings: &[(&str, &str)]) -> (Service, String) {
    let database = database::fresh().await;
    let cache = redis::shared().await.database();
    let mut all = vec![
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", cache.as_str()),
    ];
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says(super::ALL_WELL).await;
    (service, cache)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_template_that_expires_under_a_thousand_callers_costs_one_query() {
    let (service, cache) =
        on_real_backends(&[("DB_DELAY", "100ms"), ("REDIS_TIMEOUT", "1s")]).await;
    service.callers(1_000, 1).await;
    let before = service.scrape().await;
    redis::cli(&cache, &["DEL", "td:v1:1"]).await.unwrap();
    let answers = service.callers(1_000, 1).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("db_hits_total"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_ids_that_do_not_exist_costs_one_query_each_and_no_template_its_place() {
    let (service, _) =
        on_real_backends(&[("NEGATIVE_TTL", "60s"), ("DB_QUEUE_TIMEOUT", "2s")]).await;
    for id in 1..=20 {
        service.template(id).await;
    }
    let before = service.scrape().await;
    for wave in 0..50 {
        let wave = 1_000 + wave * 40;
        let flood: Vec<_> = (wave..wave + 40)
            .flat_map(|id| [id, id])
            .map(|id| {
                tokio::spawn(http::get_owned(
                    service.url(&format!("/template-details?id={id}")),
                ))
            })
            .collect();
        let hot = service.template(1 + wave % 20).await;
        assert!(
            hot.header("cache-status")
                .unwrap()
                .starts_with("stampede; hit"),
            "{hot:?}"
        );
        for answer in flood {
            assert_eq!(answer.await.unwrap().status, 404);
        }
    }
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("db_hits_total"), 2_000.0);
    assert_eq!(
        grown.value("template_responses_total{source=\"not_found\"}"),
        4_000.0
    );
}

#[tokio::test]
async fn half_of_the_slots_stay_for_templates_that_are_known() {
    let settings = [
        ("DB_MAX_CONNECTIONS", "2"),
        ("DB_DELAY", "400ms"),
        ("SOFT_TIMEOUT", "0s"),
    ];
    let (service, cache) = on_real_backends(&settings).await;
    service.template(1).await;
    // The beginning of the flood shows it to be one.
    for id in 900..908 {
        assert_eq!(service.template(id).await.status, 404);
    }
    let before = service.scrape().await.value("cache_misses_total");
    redis::cli(&cache, &["DEL", "td:v1:1"]).await.unwrap();
    let flood: Vec<_> = (1_000..1_020)
        .map(|id| {
            tokio::spawn(http::get_owned(
                service.url(&format!("/template-details?id={id}")),
            ))
        })
        .collect();
    eventually("all of the flood have asked the cache", async || {
        service.scrape().await.value("cache_misses_total") == before + 20.0
    })
    .await;
    assert_eq!(service.scrape().await.value("db_queries_in_flight"), 1.0);
    let known = service.template(1).await;
    assert_eq!(
        known.header("cache-status"),
        Some("stampede; fwd=miss; stored")
    );
    for answer in flood {
        assert!([404, 503].contains(&answer.await.unwrap().status));
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_or_closed_and_disturbs_nobody() {
    let service = Service::start(&[("DB_DELAY", "0ms")]).await;
    let pipelined = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3) + "garbage\r\n\r\n";
    for (bytes, status) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello".as_slice(), "HTTP/1.1 400"),
        (b"garbage\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /healthz HTTP/3.0\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 200"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200"),
        (b"GET /template-details?id=\xff HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 400"),
        (b"POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello", "HTTP/1.1 4"),
        (pipelined.as_bytes(), "HTTP/1.1 200"),
    ] {
        let answer = http::raw(service.address(), bytes).await;
        assert!(answer.starts_with(status), "{:?}: {answer}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_and_a_connection_that_says_nothing_are_closed() {
    let service = Service::start(&[("DB_DELAY", "0ms")]).await;
    let mut silent = Vec::new();
    for bytes in [
        "",
        "GET /template-de",
        "GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ",
    ] {
        for _ in 0..30 {
            let mut stream = TcpStream::connect(service.address()).await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
            silent.push(stream);
        }
    }
    for round in 0..5 {
        assert!(
            service
                .callers(20, 1 + round)
                .await
                .iter()
                .all(|answer| answer.status == 200)
        );
    }
    for mut stream in silent {
        let closed =
            tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut Vec::new()))
                .await;
        assert!(closed.is_ok(), "still open");
    }
}

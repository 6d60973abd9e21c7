//! What a caller sees: statuses, headers, bodies. On the embedded default, where nothing else can be the reason.

use testkit::http::{self, Answer};
use testkit::{Scrape, Service};

const TEMPLATE: &str =
    r#"{"id":1,"name":"Template 1","updated_at":"2026-01-01T00:00:00Z","version":1}"#;

async fn embedded() -> Service {
    Service::start(&[("DB_DELAY", "0ms")]).await
}

fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], answer.header("x-request-id").unwrap());
    for text in ["type", "title", "detail"] {
        assert!(
            body[text].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
}

fn seconds(answer: &Answer, header: &str, prefix: &str) -> i64 {
    let value = answer.header(header).unwrap();
    value
        .strip_prefix(prefix)
        .unwrap_or_else(|| panic!("{header}: {value}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_template_is_answered_as_json() {
    let answer = embedded().await.template(1).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), TEMPLATE);
    assert_eq!(answer.header("etag"), Some("\"1-1\""));
}

#[tokio::test]
async fn the_first_caller_learns_that_it_was_a_miss_and_the_next_that_it_was_a_hit() {
    let service = embedded().await;
    let (first, next) = (service.template(1).await, service.template(1).await);
    assert_eq!(
        first.header("cache-status"),
        Some("stampede; fwd=miss; stored")
    );
    let left = seconds(&next, "cache-status", "stampede; hit; ttl=");
    assert!((26..30).contains(&left), "{left}");
    assert_eq!(seconds(&next, "cache-control", "max-age="), left);
    assert_eq!(seconds(&next, "age", ""), 0);
    assert_eq!(first.body, next.body);
}

#[tokio::test]
async fn server_timing_names_the_parts_that_were_needed() {
    let service = embedded().await;
    let (first, next) = (service.template(1).await, service.template(1).await);
    let parts = |answer: &Answer| -> Vec<String> {
        let timing = answer.header("server-timing").unwrap();
        timing
            .split(", ")
            .map(|part| part.split(';').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(parts(&first), ["cache", "db"]);
    assert_eq!(parts(&next), ["cache"]);
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let service = embedded().await;
    let head = service.request("HEAD", "/template-details?id=1", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        head.header("content-length").unwrap(),
        TEMPLATE.len().to_string()
    );
    assert_eq!(head.header("etag"), Some("\"1-1\""));
}

#[tokio::test]
async fn a_caller_that_has_this_version_gets_304_without_a_body() {
    let service = embedded().await;
    for known in ["\"1-1\"", "W/\"1-1\"", "\"7-7\", \"1-1\"", "*"] {
        let answer = service
            .request("GET", "/template-details?id=1", &[("if-none-match", known)])
            .await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some("\"1-1\""));
        assert!(
            answer.header("cache-status").is_some() && answer.header("cache-control").is_some()
        );
    }
    let answer = service
        .request(
            "GET",
            "/template-details?id=1",
            &[("if-none-match", "\"1-0\"")],
        )
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn returns_404_when_the_template_does_not_exist() {
    let service = embedded().await;
    for id in [101, i64::MAX] {
        assert_problem(&service.template(id).await, 404);
    }
}

#[tokio::test]
async fn every_template_that_the_load_test_asks_for_exists() {
    let service = embedded().await;
    for id in 1..=100 {
        assert_eq!(
            service.template(id).await.json()["name"],
            format!("Template {id}")
        );
    }
}

#[tokio::test]
async fn returns_400_to_a_wrong_id_and_asks_no_backend() {
    let service = embedded().await;
    let before = service.scrape().await;
    let many_digits = format!("id=1{}", "0".repeat(100));
    let long = format!("id=1&x={}", "x".repeat(256));
    for query in [
        "",
        "id",
        "id=",
        "id=0",
        "id=-1",
        "id=9223372036854775808",
        &many_digits,
        "id=%201",
        "id=+1",
        "id=0x1",
        "id=%EF%BC%91",
        "id[]=1",
        "id=1&id=2",
        "id=1&id=1",
        "id=%00",
        "id=%zz",
        "id=1;DROP",
        &long,
    ] {
        assert_problem(
            &service.get(&format!("/template-details?{query}")).await,
            400,
        );
    }
    assert_problem(&service.get("/template-details").await, 400);
    let after = &service.scrape().await - &before;
    for untouched in [
        "cache_hits_total",
        "cache_misses_total",
        "db_hits_total",
        "cache_errors_total",
    ] {
        assert_eq!(after.sum(untouched), 0.0, "{untouched}");
    }
}

#[tokio::test]
async fn returns_405_with_allow_to_another_method() {
    let service = embedded().await;
    for path in [
        "/template-details?id=1",
        "/metrics",
        "/healthz",
        "/readyz",
        "/",
    ] {
        let answer = service.request("POST", path, &[]).await;
        assert_problem(&answer, 405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{path}");
    }
}

#[tokio::test]
async fn the_write_endpoints_do_not_exist() {
    let service = embedded().await;
    for method in ["PUT", "DELETE"] {
        assert_problem(
            &service.request(method, "/template-details?id=1", &[]).await,
            404,
        );
    }
}

#[tokio::test]
async fn returns_404_to_anything_else() {
    let service = embedded().await;
    for path in [
        "/template-detail",
        "/template-details/",
        "/TEMPLATE-DETAILS?id=1",
        "/favicon.ico",
        "//",
        "/laboratory",
    ] {
        assert_problem(&service.get(path).await, 404);
    }
}

#[tokio::test]
async fn the_page_exists_only_with_the_lab() {
    let with = Service::start(&[("LAB", "true")]).await.get("/").await;
    assert_eq!(
        (with.status, with.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert_problem(
        &Service::start(&[("LAB", "false")]).await.get("/").await,
        404,
    );
}

#[tokio::test]
async fn a_request_id_is_the_callers_if_it_is_harmless() {
    let service = embedded().await;
    let longest = "x".repeat(64);
    for id in ["abc", "A-1_z", &longest] {
        let answer = service
            .request("GET", "/healthz", &[("x-request-id", id)])
            .await;
        assert_eq!(answer.header("x-request-id"), Some(id));
    }
    let too_long = "x".repeat(65);
    for id in ["", "a b", "a;b", "<script>", &too_long] {
        let answer = service
            .request("GET", "/healthz", &[("x-request-id", id)])
            .await;
        let given = answer.header("x-request-id").unwrap();
        assert!(given != id && given.len() == 16, "{id} became {given}");
    }
}

#[tokio::test]
async fn health_is_answered_without_backends_and_readiness_names_each() {
    let service = embedded().await;
    assert_eq!(service.get("/healthz").await.status, 200);
    let ready = service.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.text()),
        (200, "database: ok\ncache: ok\n")
    );
}

#[tokio::test]
async fn metrics_are_in_the_text_format_0_0_4() {
    let answer = embedded().await.get("/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    Scrape::parse(answer.text());
}

#[tokio::test]
async fn a_request_over_the_limit_is_shed_while_health_and_metrics_are_answered() {
    let service = Service::start(&[("MAX_IN_FLIGHT", "1"), ("DB_DELAY", "1s")]).await;
    let first = tokio::spawn(http::get_owned(service.url("/template-details?id=1")));
    testkit::eventually("the first request is at the database", async || {
        service.scrape().await.value("db_hits_total") == 1.0
    })
    .await;
    let shed = service.template(2).await;
    assert_problem(&shed, 503);
    assert!((1..=3).contains(&seconds(&shed, "retry-after", "")));
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(
        service
            .scrape()
            .await
            .value("requests_shed_total{reason=\"in_flight\"}"),
        1.0
    );
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let service = embedded().await;
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = http::raw(
        service.address(),
        format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(60 * 1024));
    let answer = http::raw(service.address(), long.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 4") || answer.is_empty(),
        "{answer}"
    );
    assert_eq!(service.get("/healthz").await.status, 200);
}

//! What `/metrics` says: every series from the first scrape, no more of them later, and equations that hold.

use testkit::{Scrape, Service, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Every series of the contract that does not come with another feature, with one of its label sets.
const SERIES: &[&str] = &[
    "db_queries_repeated_total",
    "http_request_total{path=\"/template-details\",method=\"GET\",status=\"200\"}",
    "http_request_total{path=\"/template-details\",method=\"GET\",status=\"503\"}",
    "http_request_total{path=\"<unmatched>\",method=\"OTHER\",status=\"404\"}",
    "http_request_duration_seconds_count{path=\"/template-details\",method=\"GET\"}",
    "http_request_duration_seconds_bucket{path=\"/template-details\",method=\"GET\",le=\"0.0001\"}",
    "http_request_duration_seconds_bucket{path=\"/template-details\",method=\"GET\",le=\"2.5\"}",
    "cache_hits_total",
    "cache_misses_total",
    "db_hits_total",
    "singleflight_shared_total",
    "singleflight_in_flight",
    "singleflight_callers_count",
    "singleflight_wait_seconds_count",
    "db_query_duration_seconds_count",
    "db_queries_in_flight",
    "stale_writes_prevented_total",
];

const FAMILIES: &[(&str, &str, &[&str])] = &[
    (
        "template_responses_total",
        "source",
        &[
            "hit",
            "near",
            "local",
            "loaded",
            "shared",
            "stale",
            "not_found",
            "shed",
            "error",
        ],
    ),
    (
        "singleflight_flights_total",
        "outcome",
        &["ok", "error", "panic", "timeout", "aborted"],
    ),
    ("refresh_total", "reason", &["early", "stale"]),
    (
        "stale_responses_total",
        "reason",
        &["slow", "failed", "revalidating"],
    ),
    (
        "invalidations_total",
        "origin",
        &["local", "notified", "replayed"],
    ),
    (
        "requests_shed_total",
        "reason",
        &["in_flight", "waiters", "db_queue", "deadline"],
    ),
];

#[tokio::test]
async fn every_series_is_there_at_zero_from_the_first_scrape() {
    let service = Service::start(&[]).await;
    let counters = service.scrape().await;
    for series in SERIES {
        assert_eq!(counters.value(series), 0.0, "{series}");
    }
    for (name, label, values) in FAMILIES {
        for value in *values {
            assert_eq!(
                counters.value(&format!("{name}{{{label}=\"{value}\"}}")),
                0.0
            );
        }
    }
    for operation in ["get", "set", "del"] {
        for reason in ["timeout", "unavailable", "corrupt", "error"] {
            let series = format!("cache_errors_total{{op=\"{operation}\",reason=\"{reason}\"}}");
            assert_eq!(counters.value(&series), 0.0);
        }
    }
    assert_eq!(
        (counters.value("cache_up"), counters.value("db_slots")),
        (1.0, 10.0)
    );
    assert_eq!(
        counters.value("http_in_flight_requests"),
        1.0,
        "the scrape itself"
    );
    assert_eq!(counters.sum("build_info"), 1.0);
    assert!(counters.value("process_resident_memory_bytes") > 0.0);
}

fn requests_to_the_route(counters: &Scrape) -> f64 {
    let mut sum = 0.0;
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER",
    ] {
        let count = format!(
            "http_request_duration_seconds_count{{path=\"/template-details\",method=\"{method}\"}}"
        );
        sum += counters.value(&count);
        for status in 200..600 {
            let labels =
                format!("path=\"/template-details\",method=\"{method}\",status=\"{status}\"");
            sum -= counters
                .find(&format!("http_request_total{{{labels}}}"))
                .unwrap_or_default();
        }
        assert_eq!(sum, 0.0, "as many durations as requests by {method}");
    }
    [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER",
    ]
    .iter()
    .map(|method| {
        let labels = format!("path=\"/template-details\",method=\"{method}\"");
        counters.value(&format!("http_request_duration_seconds_count{{{labels}}}"))
    })
    .sum()
}

#[tokio::test]
async fn each_request_to_the_route_is_counted_by_its_source_exactly_once() {
    let service = Service::start(&[("DB_DELAY", "200ms"), ("MAX_IN_FLIGHT", "3")]).await;
    service.callers(3, 1).await;
    service.template(1).await;
    service.template(101).await;
    service.get("/template-details?id=x").await;
    service
        .request("HEAD", "/template-details?id=1", &[("if-none-match", "*")])
        .await;
    for method in ["POST", "PUT", "DELETE", "BREW"] {
        service.request(method, "/template-details?id=1", &[]).await;
    }
    service.callers(20, 2).await;
    let mut gone = TcpStream::connect(service.address()).await.unwrap();
    gone.write_all(b"GET /template-details?id=3 HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    eventually("the caller waits", async || {
        service.scrape().await.value("http_in_flight_requests") == 2.0
    })
    .await;
    drop(gone);
    let hung_up = "http_request_total{path=\"/template-details\",method=\"GET\",status=\"499\"}";
    eventually("the caller is counted", async || {
        service.scrape().await.value(hung_up) == 1.0
    })
    .await;
    let counters = service.scrape().await;
    assert_eq!(
        counters.sum("template_responses_total"),
        3.0 + 1.0 + 1.0 + 1.0 + 1.0 + 4.0 + 20.0 + 1.0
    );
    assert_eq!(
        counters.sum("template_responses_total"),
        requests_to_the_route(&counters)
    );
    assert_eq!(
        counters.sum("requests_shed_total"),
        counters.value("template_responses_total{source=\"shed\"}")
    );
    assert!(counters.value("template_responses_total{source=\"shed\"}") > 0.0);
    assert_eq!(
        counters.sum("stale_responses_total"),
        counters.value("template_responses_total{source=\"stale\"}")
    );
}

#[tokio::test]
async fn the_number_of_series_does_not_grow_with_traffic() {
    let service = Service::start(&[("DB_DELAY", "0ms"), ("LAB", "true")]).await;
    let before = service.scrape().await.len();
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/template-details?id=1",
        "/template-details?id=999",
        "/a",
        "/b/c",
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW",
        ] {
            service
                .request(method, path, &[("if-none-match", "*")])
                .await;
        }
    }
    service.get("/template-details").await;
    assert_eq!(service.scrape().await.len(), before);
}

#[tokio::test]
async fn gauges_return_to_zero() {
    let service = Service::start(&[]).await;
    service.callers(100, 1).await;
    let counters = service.scrape().await;
    for gauge in ["singleflight_in_flight", "db_queries_in_flight"] {
        assert_eq!(counters.value(gauge), 0.0, "{gauge}");
    }
    assert_eq!(
        counters.value("http_in_flight_requests"),
        1.0,
        "the scrape itself"
    );
}

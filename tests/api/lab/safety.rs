//! The lab makes load and faults: who may have it do so, and how much of it.

use serde_json::json;
use testkit::Service;

use super::{Page, embedded};

const ADDRESSES: &[(&str, &str)] = &[
    ("GET", "/lab"),
    ("GET", "/lab/live"),
    ("GET", "/lab/flights"),
    ("GET", "/lab/explain?id=1"),
    ("GET", "/lab/traces"),
    ("GET", "/lab/conditions"),
    ("POST", "/lab/conditions"),
    ("DELETE", "/lab/conditions"),
    ("POST", "/lab/runs/stampede"),
    ("POST", "/lab/runs/incident"),
    ("GET", "/lab/runs/1"),
    ("DELETE", "/lab/runs/1"),
    ("GET", "/lab/assets/lab.js"),
];

#[tokio::test]
async fn nothing_of_it_exists_while_it_is_off() {
    let service = Service::start(&[("LAB", "false")]).await;
    let page = Page::of(&service);
    for (method, path) in ADDRESSES {
        let answer = page.ask(method, path, "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    assert_eq!(service.get("/").await.status, 404);
}

#[tokio::test]
async fn a_request_under_a_name_that_is_not_this_machines_is_refused() {
    let service = Service::start(&[("LAB_HOSTS", "lab.example")]).await;
    let page = Page::of(&service);
    let under = async |method: &str, path: &str, host: &str| {
        let headers = [("host", host), ("x-stampede-lab", "a-page")];
        page.send(method, path, &headers, "").await.status
    };
    for (method, path) in ADDRESSES {
        assert_eq!(
            under(method, path, "evil.example").await,
            403,
            "{method} {path}"
        );
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]:8080", "lab.example"] {
        assert_eq!(under("GET", "/lab", host).await, 200, "{host}");
    }
    // No rule of the lab's concerns the rest of the service.
    assert_eq!(
        under("GET", "/template-details?id=1", "evil.example").await,
        200
    );
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let service = embedded().await;
    let page = Page::of(&service);
    let own = service.url("");
    let from = async |method: &str, path: &str, origin: &str| {
        let headers = [("origin", origin), ("x-stampede-lab", "a-page")];
        page.send(method, path, &headers, "").await.status
    };
    for (method, path) in ADDRESSES {
        for origin in ["http://evil.example", "null", "http://localhost:1"] {
            assert_eq!(
                from(method, path, origin).await,
                403,
                "{method} {path} {origin}"
            );
        }
    }
    assert_eq!(from("GET", "/lab", &own).await, 200);
    assert_eq!(from("DELETE", "/lab/conditions", &own).await, 200);
}

#[tokio::test]
async fn nothing_is_changed_without_the_pages_token() {
    let service = embedded().await;
    let page = Page::of(&service);
    let long = "x".repeat(65);
    for (method, path) in ADDRESSES.iter().filter(|(method, _)| *method != "GET") {
        for headers in [
            &[][..],
            &[("x-stampede-lab", "")],
            &[("x-stampede-lab", "a b")],
            &[("x-stampede-lab", &long)],
        ] {
            let answer = page.send(method, path, headers, "").await;
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
        }
    }
    assert_eq!(page.send("GET", "/lab", &[], "").await.status, 200);
    // What a browser asks before it lets another page send the token.
    let asked = page
        .send(
            "OPTIONS",
            "/lab/conditions",
            &[("origin", "http://evil.example")],
            "",
        )
        .await;
    assert!(asked.status == 403 && asked.header("access-control-allow-origin").is_none());
    assert!(page.get("/lab/live").await["run"].is_null());
}

#[tokio::test]
async fn more_than_a_limit_is_refused_by_name() {
    let service = embedded().await;
    let page = Page::of(&service);
    for (path, body, named) in [
        ("runs/stampede", json!({"callers": 5001}), "callers"),
        ("runs/stampede", json!({"callers": 0}), "callers"),
        (
            "runs/stampede",
            json!({"query_time_ms": 2001}),
            "query_time_ms",
        ),
        ("runs/stampede", json!({"spread_ms": 2001}), "spread_ms"),
        ("runs/stampede", json!({"template": 0}), "template"),
        ("runs/stampede", json!({"mode": "ever"}), "mode"),
        ("runs/stampede", json!({"limits": "none"}), "limits"),
        ("runs/stampede", json!({"strategies": []}), "strategies"),
        (
            "runs/stampede",
            json!({"strategies": ["luck"]}),
            "strategies",
        ),
        (
            "runs/stampede",
            json!({"strategies": ["off", "off"]}),
            "twice",
        ),
        (
            "runs/stampede",
            json!({"strategies": ["stale"]}),
            "sustained",
        ),
        ("runs/stampede", json!({"ttl_ms": 1000}), "ttl_ms"),
        (
            "runs/stampede",
            json!({"mode": "sustained", "callers": 5}),
            "callers",
        ),
        (
            "runs/stampede",
            json!({"mode": "sustained", "rate_per_second": 2001}),
            "rate_per_second",
        ),
        (
            "runs/stampede",
            json!({"mode": "sustained", "duration_ms": 30001}),
            "duration_ms",
        ),
        (
            "runs/stampede",
            json!({"mode": "sustained", "ttl_ms": 99}),
            "ttl_ms",
        ),
        (
            "runs/incident",
            json!({"rate_per_second": 2001}),
            "rate_per_second",
        ),
        ("runs/incident", json!({"outage_ms": 15001}), "outage_ms"),
        (
            "conditions",
            json!({"traffic_per_second": 2001}),
            "traffic_per_second",
        ),
        (
            "runs/stampede",
            json!({"mode": "sustained", "rate_per_second": 2000, "query_time_ms": 2000, "duration_ms": 30000}),
            "rate_per_second",
        ),
        ("conditions", json!({"cache_slow_ms": 0}), "cache_slow_ms"),
        ("conditions", json!({"cache": "gone"}), "fields"),
        ("conditions", json!({"sun": true}), "fields"),
        ("runs/stampede", json!({"callers": -1}), "fields"),
        ("runs/stampede", json!([]), "fields"),
    ] {
        let answer = page.post(&format!("/lab/{path}"), body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{body}: {detail}");
    }
    let long = format!("{{\"callers\": 1{}}}", " ".repeat(17 * 1024));
    assert_eq!(
        page.ask("POST", "/lab/runs/stampede", &long).await.status,
        413
    );
    assert!(page.get("/lab/live").await["run"].is_null());
}

#[tokio::test]
async fn another_method_is_told_which_there_are() {
    let service = embedded().await;
    let page = Page::of(&service);
    for (method, path, allow) in [
        ("POST", "/lab/live", "GET, HEAD"),
        ("PUT", "/lab/conditions", "GET, HEAD, POST, DELETE"),
        ("GET", "/lab/runs/stampede", "POST"),
        ("POST", "/lab/runs/1", "GET, HEAD, DELETE"),
        ("DELETE", "/", "GET, HEAD"),
    ] {
        let answer = page.ask(method, path, "").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allow)),
            "{method} {path}"
        );
    }
}

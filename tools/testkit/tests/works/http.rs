//! The client and the reader of metrics see what was sent.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use hyper::Request;
use tokio::net::TcpListener;

use testkit::http::{self, Client, local};
use testkit::{Redis, Scrape};

const METRICS: &str = r#"# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{path="/a",method="GET"} 2
requests_total{path="/b \"}\\",method="GET"} 3
up 1
lag_seconds NaN
wait_seconds_bucket{le="+Inf"} 4 1700000000000
"#;

async fn serve() -> String {
    let listener = TcpListener::bind(local(0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let echo = async |headers: HeaderMap| (StatusCode::ACCEPTED, headers, r#"{"id":1}"#);
    let router = Router::new()
        .route("/metrics", get(METRICS))
        .route("/echo", get(echo));
    tokio::spawn(async { axum::serve(listener, router).await });
    base
}

#[tokio::test]
async fn reads_a_whole_answer() {
    let url = serve().await + "/echo";
    let answer = http::request("GET", &url, &[("x-test", "yes")]).await;
    assert_eq!(
        (
            answer.status,
            answer.header("x-test"),
            answer.header("x-none")
        ),
        (202, Some("yes"), None)
    );
    assert_eq!(answer.json()["id"], 1);
    assert_eq!(http::get(&url).await.text(), r#"{"id":1}"#);
}

#[tokio::test]
async fn a_client_keeps_its_connection_and_reports_failure() {
    let base = serve().await;
    let client = Client::new();
    for _ in 0..3 {
        assert_eq!(client.get(&format!("{base}/none")).await.status, 404);
    }
    let redis = Redis::start().await;
    let nobody = format!("http://127.0.0.1:{}/", redis.port());
    redis.kill().await;
    let request = Request::get(nobody).body(Default::default()).unwrap();
    assert!(client.send(request).await.is_err());
}

#[tokio::test]
async fn sends_raw_bytes() {
    let base = serve().await;
    let address = base.strip_prefix("http://").unwrap().parse().unwrap();
    let kept = http::raw(address, b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(
        kept.starts_with("HTTP/1.1 202") && kept.ends_with(r#"{"id":1}"#),
        "{kept}"
    );
    let closed = http::raw(address, b"nonsense\r\n\r\n").await;
    assert!(closed.starts_with("HTTP/1.1 400"), "{closed}");
}

#[tokio::test]
async fn scrapes_series_by_their_labels() {
    let scrape = Scrape::of(&serve().await).await;
    assert_eq!(
        scrape.value(r#"requests_total{method="GET",path="/a"}"#),
        2.0
    );
    assert_eq!(
        scrape.value(r#"requests_total{method="GET",path="/b \"}\\"}"#),
        3.0
    );
    assert_eq!(scrape.value(r#"wait_seconds_bucket{le="+Inf"}"#), 4.0);
    assert_eq!(scrape.sum("requests_total"), 5.0);
    assert_eq!(scrape.find("requests_total"), None);
    assert!(scrape.value("lag_seconds").is_nan());
    assert_eq!(scrape.len(), 5);
}

#[test]
fn subtracts_what_was_there_before() {
    let before = Scrape::parse("a 1\nb{c=\"d\"} 2\n");
    let after = Scrape::parse("a 4\nb{c=\"d\"} 2\ne 5\n");
    assert_eq!(&after - &before, Scrape::parse("a 3\nb{c=\"d\"} 0\ne 5\n"));
}

//! One run at a time, and a stop that stops.

use serde_json::json;
use testkit::eventually;

use super::{Page, embedded};

const SLOW: &str = r#"{"callers": 100, "query_time_ms": 2000, "strategies": ["off"]}"#;

#[tokio::test]
async fn one_run_at_a_time_and_a_stop_that_stops() {
    let service = embedded().await;
    let page = Page::of(&service);
    let first = page.ask("POST", "/lab/runs/stampede", SLOW).await;
    assert_eq!(first.status, 202);
    for path in ["/lab/runs/stampede", "/lab/runs/incident"] {
        let second = page.ask("POST", path, "").await;
        assert_eq!(second.status, 409);
        assert_eq!(second.json()["type"], "urn:stampede:problem:busy");
    }
    eventually("queries are under way", async || {
        service.scrape().await.value("db_queries_in_flight") > 50.0
    })
    .await;
    let at = first.header("location").unwrap();
    let stopped = page.ask("DELETE", at, "").await;
    assert_eq!(
        (stopped.status, &stopped.json()["state"]),
        (202, &json!("stopped"))
    );
    // What was stopped is over: the next may begin.
    let next = page
        .begin(
            "stampede",
            json!({"callers": 2, "query_time_ms": 0, "strategies": ["singleflight"]}),
        )
        .await;
    eventually("the next is done", async || {
        page.get(&next).await["state"] == "done"
    })
    .await;
    assert_eq!(page.get(at).await["state"], "stopped");
    assert_eq!(page.ask("DELETE", &next, "").await.status, 200);
    eventually("nothing is left of it", async || {
        let scrape = service.scrape().await;
        scrape.value("db_queries_in_flight") == 0.0 && scrape.value("db_slots") == 10.0
    })
    .await;
}

#[tokio::test]
async fn a_stopped_run_says_what_was_measured_and_judges_nothing_that_has_not_ended() {
    let service = embedded().await;
    let page = Page::of(&service);
    let begun = page.ask("POST", "/lab/runs/stampede", SLOW).await;
    let run = begun.json();
    assert!(run["result"]["strategies"] == json!([]) && run["result"]["verdict"].is_null());
    assert_eq!(run["process"], page.get("/lab/live").await["process"]);
    eventually("queries are under way", async || {
        service.scrape().await.value("db_queries_in_flight") > 50.0
    })
    .await;
    let stopped = page
        .ask("DELETE", begun.header("location").unwrap(), "")
        .await
        .json();
    let off = &stopped["result"]["strategies"][0];
    assert!(
        off["strategy"] == "off" && off["complete"] == false,
        "{stopped}"
    );
    assert!(off["queries"].as_u64() > Some(50), "{stopped}");
    assert!(stopped["result"]["verdict"].is_null(), "{stopped}");
}

#[tokio::test]
async fn what_is_stopped_again_and_again_leaves_no_queries_behind() {
    let service = embedded().await;
    let page = Page::of(&service);
    for _ in 0..3 {
        let begun = page.ask("POST", "/lab/runs/stampede", SLOW).await;
        assert_eq!(begun.status, 202);
        let in_flight = async || service.scrape().await.value("db_queries_in_flight");
        eventually("its queries are under way", async || {
            in_flight().await > 50.0
        })
        .await;
        page.ask("DELETE", begun.header("location").unwrap(), "")
            .await;
        eventually("none is left", async || in_flight().await == 0.0).await;
    }
    // Had they come to their own end, each of the 300 would have taken two seconds.
    let seconds = service.scrape().await;
    let seconds = seconds.value("db_query_duration_seconds_sum");
    assert!(seconds < 0.8 * 600.0, "{seconds} s of queries");
}

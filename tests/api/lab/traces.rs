//! The traces that the lab keeps: of an answer that is explained, and of the last stampede.

use serde_json::{Value, json};

use super::{Page, embedded};
use testkit::Browser;

fn named(spans: &Value, name: &str) -> Vec<Value> {
    let spans = spans.as_array().unwrap().iter();
    spans.filter(|span| span["name"] == name).cloned().collect()
}

/// The one load of the last stampede, and a wait for each further caller of it.
fn stampede(traces: &Value) -> (Value, Vec<Value>) {
    let mut loads = named(&traces["stampede"], "template.load");
    let waits = named(&traces["stampede"], "template.wait");
    assert_eq!(loads.len(), 1);
    let load = loads.remove(0);
    // Callers whom a busy machine lets come after the load have a hit, and no wait.
    let callers = load["attributes"]["stampede.flight.callers"].as_str();
    assert_eq!(callers, Some((waits.len() + 1).to_string().as_str()));
    assert!(waits.len() > 3, "a crowd");
    (load, waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_traced_to_its_query_and_a_stampede_is_one_load_that_all_waits_link_to() {
    let service = embedded().await;
    let page = Page::of(&service);
    assert_eq!(
        page.get("/lab/traces").await,
        json!({"explained": [], "stampede": []})
    );
    page.get("/lab/explain?id=1").await;
    let order = json!({"callers": 50, "query_time_ms": 50, "strategies": ["off", "singleflight"]});
    page.run("stampede", order).await;

    let traces = page.get("/lab/traces").await;
    let spans = traces["explained"].as_array().unwrap();
    let names: Vec<_> = spans
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["GET /template-details", "template.load", "SELECT templates"]
    );
    assert!(spans[0]["parent"].is_null());
    assert!(
        spans
            .windows(2)
            .all(|pair| pair[1]["parent"] == pair[0]["id"])
    );
    assert_eq!(spans[0]["attributes"]["stampede.source"], "loaded");

    let (load, waits) = stampede(&traces);
    assert!(
        waits
            .iter()
            .all(|wait| wait["links"] == json!([load["id"]]))
    );
    assert_eq!(named(&traces["stampede"], "SELECT templates").len(), 1);
    // A second explanation takes the place of the first.
    page.get("/lab/explain?id=1").await;
    let again = page.get("/lab/traces").await;
    assert_eq!(again["explained"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_draws_both_as_waterfalls() {
    let service = embedded().await;
    let page = Page::of(&service);
    let order = json!({"callers": 500, "query_time_ms": 100, "strategies": ["singleflight"]});
    page.run("stampede", order).await;
    let (_, waits) = stampede(&page.get("/lab/traces").await);
    let browser = Browser::start().await;
    browser.look(1440, 900, "light").await;
    browser.open(&service.url("/#explain")).await;
    browser.click("#explain-form button.main").await;
    let drawn = "document.querySelectorAll('.waterfall svg').length === 2";
    browser.until("both are drawn", drawn).await;
    let bars = "[...document.querySelectorAll('.waterfall')].map(it => it.querySelectorAll('.span').length)";
    // The second: a load, its query and the waits.
    assert_eq!(browser.read(bars).await, json!([3, 2 + waits.len()]));
    for width in [1440, 390] {
        browser.look(width, 900, "light").await;
        let fits = "document.documentElement.scrollWidth === innerWidth";
        browser.until("it fits into the window", fits).await;
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

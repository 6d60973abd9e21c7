//! Experiments: each measurement is what was predicted, and what was predicted is what the experiment is about.

use serde_json::{Value, json};

use super::{Page, embedded};
use testkit::{Service, eventually, postgres, redis};

/// The measurement of a case in this column.
fn measured(run: &Value, case: &str, column: &str) -> f64 {
    let result = &run["result"];
    let columns = result["columns"].as_array().unwrap();
    let at = columns.iter().position(|known| known == column).unwrap();
    let cases = result["cases"].as_array().unwrap();
    let case = cases.iter().find(|known| known["case"] == case);
    let case = case.unwrap_or_else(|| panic!("no such case in {run}"));
    case["figures"][at]["measured"].as_f64().unwrap()
}

async fn run(name: &str) -> Value {
    run_on(&embedded().await, name).await
}

async fn run_on(service: &Service, name: &str) -> Value {
    let before = service.scrape().await;
    let run = Page::of(service)
        .run("experiment", json!({"experiment": name}))
        .await;
    assert_eq!(run["parameters"], json!({"experiment": name}));
    // Every measurement has its place; whether it is as predicted also depends on how busy the machine is.
    let cases = run["result"]["cases"].as_array().unwrap();
    assert!(
        cases
            .iter()
            .all(|case| case["figures"].as_array().unwrap().len() == 3)
    );
    assert!(run["result"]["verdict"]["ok"].is_boolean(), "{run}");
    let grown = &service.scrape().await - &before;
    assert!(grown.value("db_hits_total") > 0.0);
    run
}

#[tokio::test]
async fn jitter_helps_many_keys_that_were_filled_together_and_not_a_hot_one() {
    let run = run("jitter").await;
    let peak = |case: &str| measured(&run, case, "peak queries");
    assert!(
        peak("many keys, 0%, singleflight") > peak("many keys, 50%, singleflight"),
        "{run}"
    );
    for jitter in ["0%", "10%", "50%"] {
        assert!(peak(&format!("hot key, {jitter}, off")) >= 20.0, "{run}");
        assert_eq!(peak(&format!("hot key, {jitter}, singleflight")), 1.0);
    }
}

#[tokio::test]
async fn a_load_that_fails_is_one_error_for_all_and_not_a_convoy() {
    let run = run("failing-load").await;
    let slowest = |case: &str| measured(&run, case, "slowest ms");
    assert!(slowest("mutex") > 3.0 * slowest("singleflight"), "{run}");
    assert_eq!(measured(&run, "singleflight", "loads"), 1.0);
    assert_eq!(measured(&run, "singleflight", "failed"), 20.0);
}

#[tokio::test]
async fn a_soft_time_out_bounds_the_wait_for_a_slow_load() {
    let run = run("soft-timeout").await;
    let slowest = |case: &str| measured(&run, case, "slowest ms");
    assert!(slowest("soft time-out") < slowest("wait"), "{run}");
    let stale = |case: &str| measured(&run, case, "stale answers");
    assert_eq!(stale("wait"), 0.0);
    assert!(stale("soft time-out") > 0.0, "{run}");
    assert!(
        stale("stale while revalidate") > stale("soft time-out"),
        "{run}"
    );
}

#[tokio::test]
async fn a_future_that_is_kept_is_never_fresh_again_and_an_error_lasts_for_ever() {
    let run = run("memoized-future").await;
    let oldest = |case: &str| measured(&run, case, "oldest ms");
    assert!(oldest("memoized") > oldest("singleflight"), "{run}");
    let failed = |case: &str| measured(&run, case, "failed");
    assert!(failed("memoized, first load fails") > failed("singleflight, first load fails"));
}

#[tokio::test]
async fn four_replicas_are_four_queries_and_with_a_lease_one() {
    let (database, cache) = (
        postgres::shared().await.database().await,
        redis::shared().await.database(),
    );
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("LAB", "true"),
    ];
    let run = run_on(&Service::start(&settings).await, "replicas").await;
    let queries = |case: &str| measured(&run, case, "queries");
    assert!(
        queries("singleflight") > 1.5 * queries("and a lease"),
        "{run}"
    );
    assert!(measured(&run, "and near copies", "near answers") > 400.0);
}

#[tokio::test]
async fn replicas_without_a_redis_are_no_experiment() {
    let service = embedded().await;
    let page = Page::of(&service);
    let at = page
        .begin("experiment", json!({"experiment": "replicas"}))
        .await;
    eventually("it has failed", async || {
        page.get(&at).await["state"] == "failed"
    })
    .await;
    let run = page.get(&at).await;
    assert!(
        run["problem"].as_str().unwrap().contains("REDIS_URL"),
        "{run}"
    );
}

#[tokio::test]
async fn an_experiment_that_does_not_exist_is_refused() {
    let service = embedded().await;
    let page = Page::of(&service);
    for order in [json!({}), json!({"experiment": "luck"})] {
        let refused = page.post("/lab/runs/experiment", order).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains("experiment must be jitter"));
    }
}

#[tokio::test]
async fn what_to_expect_is_predicted_from_ones_own_figures() {
    let service = embedded().await;
    let page = Page::of(&service);
    let asked = "/lab/predict?rate_per_second=400&keys=100&query_time_ms=100&ttl_ms=2000&replicas=1&knee=10&goal_ms=300";
    let predicted = page.get(asked).await;
    assert_eq!(predicted["capacity_per_second"], 100.0);
    let without_cache = |at: usize| {
        let rate = &predicted["measures"][at]["queries_per_second_without_cache"];
        rate.as_f64().unwrap()
    };
    // What the incident shows: one query per key at a time is more than the database can answer, local copies are less.
    assert_eq!(without_cache(0), 400.0);
    assert!(
        without_cache(1) > 100.0 && without_cache(3) < 100.0,
        "{predicted}"
    );
    for wrong in ["/lab/predict", &asked.replace("keys=100", "keys=0")] {
        assert_eq!(page.ask("GET", wrong, "").await.status, 400);
    }
}

//! What a run counts is what happened, and what `/metrics` counts.

use serde_json::{Value, json};
use testkit::{Service, postgres, redis};

use super::{Page, embedded};

fn strategy<'a>(run: &'a Value, name: &str) -> &'a Value {
    let all = run["result"]["strategies"].as_array().unwrap();
    let found = all.iter().find(|strategy| strategy["strategy"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {run}"))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// A burst on this service, checked against what its counters grew by.
async fn compare(service: &Service, callers: u64) -> Value {
    let before = service.scrape().await;
    let run = Page::of(service)
        .run(
            "stampede",
            // A knee beyond all queries: each of them is answered.
            json!({"callers": callers, "query_time_ms": 400, "knee": 1000}),
        )
        .await;
    let grown = &service.scrape().await - &before;
    let strategies = run["result"]["strategies"].as_array().unwrap();
    let sum = |field: &str| {
        strategies
            .iter()
            .map(|strategy| number(&strategy[field]))
            .sum::<f64>()
    };
    assert_eq!(grown.value("db_hits_total"), sum("queries"), "{run}");
    assert_eq!(grown.sum("template_responses_total"), sum("requests"));
    assert_eq!(
        grown.value("http_request_total{path=\"/template-details\",method=\"GET\",status=\"200\"}"),
        sum("requests")
    );
    assert_eq!(sum("requests"), 4.0 * callers as f64);
    assert_eq!(sum("errors"), 0.0);
    for source in ["loaded", "shared", "hit"] {
        let counted: f64 = strategies
            .iter()
            .map(|strategy| number(&strategy["sources"][source]))
            .sum();
        let series = format!("template_responses_total{{source=\"{source}\"}}");
        assert_eq!(grown.value(&series), counted, "{source}");
    }
    assert_eq!(run["result"]["verdict"]["ok"], true);
    run
}

#[tokio::test]
async fn without_protection_a_burst_is_hundreds_of_queries_and_with_it_exactly_one() {
    let service = embedded().await;
    let run = compare(&service, 500).await;
    for name in ["off", "load-or-store"] {
        let unprotected = strategy(&run, name);
        assert!(number(&unprotected["queries"]) >= 200.0, "{unprotected}");
        assert!(
            number(&unprotected["most_at_once"]) >= 200.0,
            "{unprotected}"
        );
        assert_eq!(unprotected["predicted_queries_per_expiry"], 500.0);
    }
    for name in ["mutex", "singleflight"] {
        let protected = strategy(&run, name);
        assert_eq!(
            (&protected["queries"], &protected["most_at_once"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(protected["sources"]["loaded"], 1);
    }
}

#[tokio::test]
async fn the_same_holds_on_postgresql_and_redis() {
    let (database, cache) = (
        postgres::shared().await.database().await,
        redis::shared().await.database(),
    );
    let service = Service::start(&[
        ("DATABASE_URL", &database),
        ("REDIS_URL", &cache),
        ("LAB", "true"),
        // A lookup that is not answered in time, as on a busy machine, is a reason for another query.
        ("REDIS_TIMEOUT", "5s"),
        ("REQUEST_TIMEOUT", "30s"),
    ])
    .await;
    let run = compare(&service, 60).await;
    assert_eq!(
        (&run["result"]["database"], &run["result"]["cache"]),
        (&json!("postgres"), &json!("redis"))
    );
    assert!(number(&strategy(&run, "off")["queries"]) >= 20.0, "{run}");
    assert_eq!(strategy(&run, "singleflight")["queries"], 1);
    // A second time: what the first has left in Redis is gone when each strategy begins.
    assert_eq!(
        strategy(&compare(&service, 60).await, "singleflight")["queries"],
        1
    );
}

#[tokio::test]
async fn with_default_values_off_fails_requests_and_singleflight_none() {
    let service = embedded().await;
    let order = json!({"strategies": ["off", "singleflight"]});
    let run = Page::of(&service).run("stampede", order).await;
    let (off, protected) = (strategy(&run, "off"), strategy(&run, "singleflight"));
    assert!(number(&off["errors"]) > 0.0, "{off}");
    assert_eq!(
        (&protected["errors"], &protected["queries"]),
        (&json!(0), &json!(1))
    );
    assert!(
        number(&off["p95_ms"]) > 5.0 * number(&protected["p95_ms"]),
        "{run}"
    );
}

#[tokio::test]
async fn beyond_the_knee_of_the_database_every_query_takes_longer() {
    let service = embedded().await;
    let page = Page::of(&service);
    // 40 queries on a database that runs five at a time: eight times as long for all of them.
    let order = |knee: u64| json!({"callers": 40, "knee": knee, "strategies": ["off"]});
    let full = page.run("stampede", order(5)).await;
    let median = number(&strategy(&full, "off")["p50_ms"]);
    assert!(median > 700.0, "{full}");
    assert_eq!(full["result"]["knee"], 5);
    let roomy = page.run("stampede", order(1_000)).await;
    assert!(
        number(&strategy(&roomy, "off")["p50_ms"]) < median,
        "{roomy}"
    );
}

#[tokio::test]
async fn a_run_that_would_keep_the_database_busy_for_minutes_is_refused() {
    let service = embedded().await;
    let page = Page::of(&service);
    let order = json!({"callers": 5000, "query_time_ms": 2000});
    let refused = page.post("/lab/runs/stampede", order).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("raise knee"), "{}", refused.text());
}

#[tokio::test]
async fn under_traffic_each_expiry_costs_one_query_and_without_protection_many() {
    let service = embedded().await;
    let order = json!({"mode": "sustained", "ttl_ms": 400, "duration_ms": 2000});
    let run = Page::of(&service).run("stampede", order).await;
    assert!(
        number(&strategy(&run, "off")["queries_per_expiry"]) > 3.0,
        "{run}"
    );
    for name in ["singleflight", "early", "stale"] {
        let protected = strategy(&run, name);
        assert_eq!(protected["most_at_once"], 1, "{run}");
        assert!(protected["queries"].as_u64() <= protected["promised_queries"].as_u64());
        assert!(
            number(&protected["queries"]) > 1.0,
            "it never expired: {run}"
        );
    }
    assert!(
        number(&strategy(&run, "stale")["sources"]["stale"]) > 0.0,
        "{run}"
    );
    // 20 arrive while one query runs, and a database that ten queries fill takes longer the more there are.
    assert_eq!(number(&run["result"]["predicted_queries"]).round(), 27.0);
    // A TTL of 400 ms can begin five times in 2 s, however often the database was asked. On a busy machine the last
    // requests are late, and one more may begin.
    assert!(strategy(&run, "off")["promised_queries"].is_null());
    for (name, promised) in [("singleflight", 5.0), ("stale", 5.0), ("early", 20.0)] {
        let strategy = strategy(&run, name);
        assert_eq!(strategy["expiries"], 5);
        assert!(number(&strategy["promised_queries"]) >= promised, "{run}");
    }
    assert_eq!(run["result"]["verdict"]["ok"], true, "{run}");
}

#[tokio::test]
async fn a_strategy_that_loads_again_and_again_has_not_kept_its_promise() {
    // A cache that is away keeps nothing: whoever does not join a load begins one.
    let away = [("REDIS_URL", "redis://127.0.0.1:1"), ("LAB", "true")];
    let service = Service::start(&away).await;
    let order = json!({"mode": "sustained", "duration_ms": 2000, "query_time_ms": 20, "strategies": ["singleflight", "stale"]});
    let run = Page::of(&service).run("stampede", order).await;
    for name in ["singleflight", "stale"] {
        let queries = number(&strategy(&run, name)["queries"]);
        assert!(queries > 2.0, "{run}");
    }
    assert_eq!(run["result"]["verdict"]["ok"], false, "{run}");
}

#[tokio::test]
async fn nothing_but_the_cache_and_the_database_answers_in_a_run() {
    let service =
        Service::start(&[("DB_MAX_CONNECTIONS", "1"), ("DB_QUEUE_TIMEOUT", "50ms")]).await;
    let order = json!({"mode": "sustained", "ttl_ms": 300, "duration_ms": 2000, "limits": "kept",
        "strategies": ["off", "load-or-store", "mutex", "singleflight"]});
    let run = Page::of(&service).run("stampede", order).await;
    for name in ["off", "load-or-store", "mutex", "singleflight"] {
        let sources = &strategy(&run, name)["sources"];
        assert_eq!(
            (&sources["local"], &sources["stale"]),
            (&json!(0), &json!(0)),
            "{run}"
        );
    }
    let off = strategy(&run, "off");
    assert!(
        number(&off["refused"]) > 0.0 && off["refused"] == off["errors"],
        "{run}"
    );
}

#[tokio::test]
async fn no_more_are_predicted_than_there_are_requests() {
    let service = embedded().await;
    let order = json!({"mode": "sustained", "rate_per_second": 100, "duration_ms": 500, "query_time_ms": 2000,
        "strategies": ["singleflight"]});
    let run = Page::of(&service).run("stampede", order).await;
    assert_eq!(run["result"]["predicted_queries"], 50.0);
}

#[tokio::test]
async fn with_the_services_own_limits_a_stampede_is_refusals() {
    let service =
        Service::start(&[("DB_MAX_CONNECTIONS", "2"), ("DB_QUEUE_TIMEOUT", "100ms")]).await;
    let order = json!({"callers": 100, "limits": "kept", "strategies": ["off", "singleflight"]});
    let run = Page::of(&service).run("stampede", order).await;
    let off = strategy(&run, "off");
    assert_eq!(run["result"]["slots"], 2);
    assert!(
        number(&off["refused"]) > 50.0 && number(&off["errors"]) > 0.0,
        "{off}"
    );
    let protected = strategy(&run, "singleflight");
    assert_eq!(
        (&protected["queries"], &protected["errors"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn the_prediction_is_the_arrival_rate_times_the_query_time() {
    let service = embedded().await;
    let order = json!({"callers": 40, "spread_ms": 400, "query_time_ms": 100, "strategies": ["singleflight"]});
    let run = Page::of(&service).run("stampede", order).await;
    assert_eq!(run["result"]["predicted_queries"], 10.0);
    assert_eq!(strategy(&run, "singleflight")["queries"], 1);
}

#[tokio::test]
async fn the_parameters_of_a_run_make_the_same_run_again() {
    let service = embedded().await;
    let page = Page::of(&service);
    let orders = [
        (
            "stampede",
            json!({"callers": 3, "query_time_ms": 1, "template": 7, "strategies": ["mutex", "off"]}),
        ),
        (
            "stampede",
            json!({"mode": "sustained", "duration_ms": 500, "strategies": ["stale"]}),
        ),
        (
            "incident",
            json!({"warm_ms": 500, "outage_ms": 500, "recovery_ms": 500}),
        ),
    ];
    for (kind, order) in orders {
        let run = page.run(kind, order.clone()).await;
        for (name, value) in order.as_object().unwrap() {
            assert_eq!(&run["parameters"][name], value, "{run}");
        }
        let at = page.begin(kind, run["parameters"].clone()).await;
        assert_eq!(page.get(&at).await["parameters"], run["parameters"]);
        page.ask("DELETE", &at, "").await;
    }
}

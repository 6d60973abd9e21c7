//! The incident: what an outage of the cache is without protection, with singleflight only, and with everything.

use serde_json::{Value, json};
use testkit::{Service, postgres, redis};

use super::{Page, embedded};

fn order() -> Value {
    json!({"warm_ms": 1000, "outage_ms": 2000, "recovery_ms": 2500})
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn assert_told(run: &Value) {
    let parts = run["result"]["parts"].as_array().unwrap();
    let [unprotected, singleflight, everything] = parts.as_slice() else {
        panic!("not three parts: {run}");
    };
    let failed = |part: &Value| number(&part["totals"]["errors"]);
    // One query per template at a time is still too many for the database: fewer requests fail, but some do.
    assert!(failed(unprotected) > failed(singleflight), "{run}");
    assert!(failed(singleflight) > 0, "{run}");
    assert_eq!(failed(everything), 0, "{run}");
    for (part, next) in [(unprotected, singleflight), (singleflight, everything)] {
        let settings = |part: &Value| part["settings"].as_array().unwrap().clone();
        let differ = settings(part).into_iter().zip(settings(next));
        assert_eq!(
            differ.filter(|(one, other)| one != other).count(),
            1,
            "{run}"
        );
    }
    // A cache of its own is cold; a shared one may still have what the first part left.
    assert!(number(&unprotected["warm_up_queries"]) >= 100, "{run}");
    for part in parts {
        let phases: Vec<_> = part["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| &point["phase"])
            .collect();
        for phase in ["warm", "outage", "recovery"] {
            assert!(phases.contains(&&json!(phase)), "{run}");
        }
        let sum = |field: &str| {
            part["timeline"]
                .as_array()
                .unwrap()
                .iter()
                .map(|point| number(&point[field]))
                .sum::<u64>()
        };
        for field in ["requests", "errors", "queries"] {
            assert_eq!(sum(field), number(&part["totals"][field]), "{field}: {run}");
        }
        let told = part["events"].to_string();
        assert!(
            told.contains("given up") && told.contains("asked again"),
            "{told}"
        );
    }
    assert_eq!(run["result"]["verdict"]["ok"], true);
}

#[tokio::test]
async fn an_outage_fails_requests_fewer_with_singleflight_and_none_with_local_copies() {
    let service = embedded().await;
    let page = Page::of(&service);
    let before = service.scrape().await;
    let run = page.run("incident", order()).await;
    let grown = &service.scrape().await - &before;
    assert_told(&run);
    let parts = run["result"]["parts"].as_array().unwrap();
    let of = |part: &Value| number(&part["totals"]["queries"]) + number(&part["warm_up_queries"]);
    let queries: u64 = parts.iter().map(of).sum();
    assert_eq!(grown.value("db_hits_total"), queries as f64);
    // The service itself has noticed nothing.
    assert_eq!(page.get("/lab/live").await["backends"]["cache_up"], true);
    assert_eq!(
        service.get("/readyz").await.text(),
        "database: ok\ncache: ok\n"
    );
}

#[tokio::test]
async fn the_same_is_told_on_postgresql_and_redis() {
    let (database, cache) = (
        postgres::shared().await.database().await,
        redis::shared().await.database(),
    );
    let service = Service::start(&[
        ("DATABASE_URL", &database),
        ("REDIS_URL", &cache),
        ("LAB", "true"),
    ])
    .await;
    assert_told(&Page::of(&service).run("incident", order()).await);
}

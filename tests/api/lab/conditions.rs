//! Faults and traffic: what is injected happens, is answered as it should be, and ends by itself.

use serde_json::json;
use testkit::{Service, eventually, postgres, redis};

use super::{Page, embedded};

/// Whether the last second's answers came from there, as the page would say.
async fn until_answered_by(page: &Page<'_>, mechanism: &str) {
    eventually(&format!("{mechanism} answers"), async || {
        page.get("/lab/live").await["answering"]["mechanism"] == mechanism
    })
    .await;
}

async fn take_the_cache_away_and_bring_it_back(service: &Service) {
    let page = Page::of(service);
    page.post("/lab/conditions", json!({"traffic_per_second": 200}))
        .await;
    until_answered_by(&page, "hit").await;
    for fault in ["black-holed", "refused"] {
        let set = page
            .post("/lab/conditions", json!({"cache": fault}))
            .await
            .json();
        assert_eq!(
            (&set["cache"], set["injected"].as_array().unwrap().len()),
            (&json!(fault), 1)
        );
        assert_eq!(set["traffic_per_second"], 200);
        until_answered_by(&page, "local").await;
        service
            .until_ready_says("database: ok\ncache: down\n")
            .await;
        page.post("/lab/conditions", json!({"cache": "ok"})).await;
        service.until_ready_says("database: ok\ncache: ok\n").await;
        until_answered_by(&page, "hit").await;
    }
    page.ask("DELETE", "/lab/conditions", "").await;
    until_answered_by(&page, "idle").await;
}

#[tokio::test]
async fn without_the_cache_the_local_copy_answers_until_it_is_back() {
    take_the_cache_away_and_bring_it_back(&embedded().await).await;
}

#[tokio::test]
async fn the_same_holds_for_redis() {
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
    take_the_cache_away_and_bring_it_back(&service).await;
}

async fn take_the_database_away_and_bring_it_back(service: &Service) {
    let page = Page::of(service);
    assert_eq!(service.template(1).await.status, 200);
    page.post("/lab/conditions", json!({"database": "down"}))
        .await;
    service
        .until_ready_says("database: down\ncache: ok\n")
        .await;
    let before = service.scrape().await;
    eventually("the copy's TTL is over", async || {
        let answer = service.template(1).await;
        assert_eq!(answer.status, 200);
        answer
            .header("cache-status")
            .unwrap()
            .contains("detail=stale")
    })
    .await;
    assert_eq!(service.template(2).await.status, 503);
    let grown = &service.scrape().await - &before;
    assert_eq!(grown.value("db_hits_total"), 0.0);
    page.ask("DELETE", "/lab/conditions", "").await;
    service.until_ready_says("database: ok\ncache: ok\n").await;
    assert_eq!(service.template(2).await.status, 200);
}

#[tokio::test]
async fn without_the_database_a_copy_past_its_ttl_answers_until_it_is_back() {
    let service = Service::start(&[("CACHE_TTL", "300ms"), ("LAB", "true")]).await;
    take_the_database_away_and_bring_it_back(&service).await;
}

#[tokio::test]
async fn the_same_holds_for_postgresql() {
    let database = postgres::shared().await.database().await;
    let service = Service::start(&[
        ("DATABASE_URL", &database),
        ("CACHE_TTL", "300ms"),
        ("LAB", "true"),
    ])
    .await;
    take_the_database_away_and_bring_it_back(&service).await;
}

#[tokio::test]
async fn a_slow_database_takes_longer_for_each_query_and_a_slow_cache_for_each_lookup() {
    let service = Service::start(&[("DB_DELAY", "0ms"), ("REDIS_TIMEOUT", "1s")]).await;
    let page = Page::of(&service);
    page.post(
        "/lab/conditions",
        json!({"database": "slow", "database_slow_ms": 150, "cache": "slow", "cache_slow_ms": 60}),
    )
    .await;
    let explained = page.get("/lab/explain?id=1").await;
    let took = |name: &str| {
        let parts = explained["server_timing"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == name);
        part.unwrap_or_else(|| panic!("no {name} in {explained}"))["ms"]
            .as_f64()
            .unwrap()
    };
    assert!(took("db") >= 150.0 && took("cache") >= 60.0, "{explained}");
}

#[tokio::test]
async fn they_end_when_the_page_that_set_them_is_gone() {
    let service = embedded().await;
    let page = Page::of(&service);
    page.post(
        "/lab/conditions",
        json!({"cache": "refused", "traffic_per_second": 5}),
    )
    .await;
    assert_eq!(page.get("/lab/conditions").await["mine"], true);
    // Somebody else, who looks and does not keep them up.
    eventually("all is well again", async || {
        let seen = page
            .send(
                "GET",
                "/lab/conditions",
                &[("x-stampede-lab", "another")],
                "",
            )
            .await
            .json();
        assert_eq!(seen["mine"], false);
        seen["cache"] == "ok" && seen["traffic_per_second"] == 0 && seen["clears_in_ms"].is_null()
    })
    .await;
    service.until_ready_says("database: ok\ncache: ok\n").await;
}

#[tokio::test]
async fn traffic_is_counted_as_requests_are() {
    let service = embedded().await;
    let page = Page::of(&service);
    page.post("/lab/conditions", json!({"traffic_per_second": 500}))
        .await;
    eventually("a thousand requests were answered", async || {
        page.get("/lab/live").await["totals"]["requests"].as_u64() > Some(1_000)
    })
    .await;
    page.ask("DELETE", "/lab/conditions", "").await;
    eventually("the last is answered", async || {
        let scrape = service.scrape().await;
        let answered =
            "http_request_duration_seconds_count{path=\"/template-details\",method=\"GET\"}";
        scrape.value(answered) == scrape.sum("template_responses_total")
            && page.get("/lab/live").await["totals"]["requests"]
                == scrape.sum("template_responses_total")
    })
    .await;
}

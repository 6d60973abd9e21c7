//! Backends that go away: nobody sees an error that a copy could have spared, and everything comes back by itself.

use testkit::{Mode, Postgres, Proxy, Redis, Service, database, eventually, postgres, redis};

use super::load::Load;
use super::{ALL_WELL, NO_CACHE, NO_DATABASE};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_an_error_when_redis_is_killed_under_load() {
    let (database, redis) = (database::fresh().await, Redis::start().await);
    let service = Service::start(&[("DATABASE_URL", &database), ("REDIS_URL", &redis.url())]).await;
    let load = Load::on(&service);
    load.go_on_for(500).await;
    redis.kill().await;
    service.until_ready_says(NO_CACHE).await;
    load.go_on_for(500).await;
    redis.start_again().await;
    service.until_ready_says(ALL_WELL).await;
    load.go_on_for(500).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_an_error_when_redis_freezes_under_load() {
    let (database, redis) = (database::fresh().await, Redis::start().await);
    let service = Service::start(&[("DATABASE_URL", &database), ("REDIS_URL", &redis.url())]).await;
    let load = Load::on(&service);
    load.go_on_for(500).await;
    redis.freeze().await;
    service.until_ready_says(NO_CACHE).await;
    load.go_on_for(500).await;
    redis.thaw().await;
    service.until_ready_says(ALL_WELL).await;
    load.go_on_for(500).await;
    load.end().await;
    assert!(
        service
            .scrape()
            .await
            .value("cache_errors_total{op=\"get\",reason=\"timeout\"}")
            > 0.0
    );
}

#[tokio::test]
async fn without_redis_the_local_copy_answers_and_says_so() {
    let (database, redis) = (database::fresh().await, Redis::start().await);
    let service = Service::start(&[("DATABASE_URL", &database), ("REDIS_URL", &redis.url())]).await;
    service.template(1).await;
    redis.kill().await;
    service.until_ready_says(NO_CACHE).await;
    let known = service.template(1).await;
    let status = known.header("cache-status").unwrap();
    assert!(
        status.starts_with("stampede; hit; ttl=") && status.ends_with("; detail=local"),
        "{status}"
    );
    let unknown = service.template(2).await;
    assert_eq!(
        unknown.header("cache-status"),
        Some("stampede; fwd=bypass; stored")
    );
    let counters = service.scrape().await;
    assert_eq!(
        counters.value("template_responses_total{source=\"local\"}"),
        1.0
    );
    assert_eq!(
        (counters.value("cache_up"), counters.value("db_hits_total")),
        (0.0, 2.0)
    );
}

#[tokio::test]
async fn without_redis_and_without_copies_every_request_is_loaded() {
    let database = database::fresh().await;
    let redis = Redis::start().await;
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &redis.url()),
        ("LOCAL_ENTRIES", "0"),
    ];
    let service = Service::start(&settings).await;
    redis.kill().await;
    service.until_ready_says(NO_CACHE).await;
    for _ in 0..3 {
        assert_eq!(
            service.template(1).await.header("cache-status"),
            Some("stampede; fwd=bypass")
        );
    }
}

#[tokio::test]
async fn without_a_database_the_last_known_good_copy_answers_marked_as_stale() {
    let (database, cache) = (Postgres::start().await, redis::shared().await.database());
    let url = database.database().await;
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("REDIS_URL", &cache),
        ("CACHE_TTL", "100ms"),
    ];
    let service = Service::start(&settings).await;
    let fresh = service.template(1).await;
    database.kill().await;
    service.until_ready_says(NO_DATABASE).await;
    eventually("the TTL is over", async || {
        service
            .template(1)
            .await
            .header("cache-status")
            .unwrap()
            .ends_with("; detail=stale")
    })
    .await;
    let stale = service.template(1).await;
    assert_eq!((stale.status, &stale.body), (200, &fresh.body));
    assert!(
        stale
            .header("cache-status")
            .unwrap()
            .starts_with("stampede; hit; ttl=-")
    );
    assert_eq!(stale.header("cache-control"), Some("no-store"));
    let unknown = service.template(2).await;
    assert_eq!(
        (unknown.status, unknown.header("content-type")),
        (503, Some("application/problem+json"))
    );
    assert!(unknown.header("retry-after").is_some());
    let inside = ["postgres", "connect", "sqlx", "127.0.0.1", "SELECT"];
    assert!(
        inside.iter().all(|word| !unknown.text().contains(word)),
        "{}",
        unknown.text()
    );
    database.start_again().await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(service.template(2).await.status, 200);
}

#[tokio::test]
async fn with_stale_for_0_nothing_stale_is_answered() {
    let (database, cache) = (Postgres::start().await, redis::shared().await.database());
    let url = database.database().await;
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("REDIS_URL", &cache),
        ("CACHE_TTL", "50ms"),
        ("STALE_FOR", "0s"),
    ];
    let service = Service::start(&settings).await;
    service.template(1).await;
    database.kill().await;
    service.until_ready_says(NO_DATABASE).await;
    eventually("the TTL is over", async || {
        service.template(1).await.status == 503
    })
    .await;
}

#[tokio::test]
async fn the_service_starts_without_backends_and_finds_them_later() {
    let (database, redis) = (Postgres::start().await, Redis::start().await);
    let url = database.database().await;
    redis.kill().await;
    database.stop().await;
    let service = Service::start(&[("DATABASE_URL", &url), ("REDIS_URL", &redis.url())]).await;
    let ready = service.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.text()),
        (200, "database: down\ncache: down\n")
    );
    assert_eq!(service.template(1).await.status, 503);
    database.start_again().await;
    service.until_ready_says(NO_CACHE).await;
    assert_eq!(service.template(1).await.status, 200);
    redis.start_again().await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(
        service.template(2).await.header("cache-status"),
        Some("stampede; fwd=miss; stored")
    );
}

#[tokio::test]
async fn sessions_that_were_ended_while_idle_are_no_error_to_anyone() {
    let database = postgres::shared().await.database().await;
    let service = Service::start(&[("DATABASE_URL", &database), ("PROTECTION", "off")]).await;
    service.until_ready_says(ALL_WELL).await;
    service.callers(50, 1).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for id in 2..12 {
        postgres::execute(&database, end).await;
        assert_eq!(service.template(id).await.status, 200);
    }
}

#[tokio::test]
async fn queries_that_time_out_on_a_silent_database_leave_every_slot_usable() {
    let server = postgres::shared().await;
    let proxy = Proxy::to(server.port()).await;
    let url = proxy.url(&server.database().await);
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("DB_TIMEOUT", "100ms"),
        ("DB_MAX_CONNECTIONS", "4"),
    ];
    let service = Service::start(&settings).await;
    for round in 0..3 {
        service.until_ready_says(ALL_WELL).await;
        proxy.set(Mode::Swallow).await;
        for id in 1..=20 {
            assert_eq!(service.template(round * 30 + id).await.status, 503);
        }
        proxy.set(Mode::Pass).await;
    }
    service.until_ready_says(ALL_WELL).await;
    let answers = service.callers(4, 99).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(service.scrape().await.value("db_queries_in_flight"), 0.0);
}

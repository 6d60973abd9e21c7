//! The database breaks: what is known is answered, what is not is refused at once, and it is asked no more than it must.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use testkit::{Mode, MySql, Postgres, Proxy, Server, Service, eventually, postgres};

use super::{ALL_WELL, NO_DATABASE};

async fn service_on(url: &str, settings: &[(&str, &str)]) -> Service {
    let mut all = vec![("DATABASE_URL", url)];
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says(ALL_WELL).await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_is_asked_twice_a_second_at_most_whatever_the_load() {
    let server = postgres::shared().await;
    let proxy = Proxy::to(server.port()).await;
    let service = service_on(&proxy.url(&server.database().await), &[]).await;
    proxy.set(Mode::Reset).await;
    service.until_ready_says(NO_DATABASE).await;
    let (began, before) = (Instant::now(), proxy.accepted());
    let mut refused = 0;
    while began.elapsed() < Duration::from_secs(2) {
        let answers = service.callers(20, 50 + refused % 50).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 503 && answer.header("retry-after").is_some())
        );
        refused += 1;
    }
    let attempts = (proxy.accepted() - before) as f64;
    assert!(
        attempts <= 1.0 + 2.0 * began.elapsed().as_secs_f64(),
        "{attempts} in {:?}",
        began.elapsed()
    );
    assert_eq!(
        service.scrape().await.value("db_hits_total"),
        0.0,
        "nothing was sent to it"
    );
    proxy.set(Mode::Pass).await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(service.template(1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_database_is_not_stormed() {
    let server = Postgres::start_with(&["log_connections=on"]).await;
    let url = server.database().await;
    let settings = [
        ("PROTECTION", "off"),
        ("LOCAL_ENTRIES", "0"),
        ("CACHE_TTL", "1ms"),
        ("DB_MAX_CONNECTIONS", "5"),
    ];
    let service = service_on(&url, &settings).await;
    service.callers(50, 1).await;
    server.stop().await;
    service.until_ready_says(NO_DATABASE).await;
    server.start_again().await;
    eventually("all callers are served again", async || {
        service
            .callers(50, 1)
            .await
            .iter()
            .all(|answer| answer.status == 200)
    })
    .await;
    let sessions = server.log().matches("connection authorized").count();
    assert!(sessions <= 10, "{sessions} sessions for 5 slots");
}

#[tokio::test]
async fn a_server_without_room_for_another_session_leaves_ours_in_use() {
    let server =
        Postgres::start_with(&["max_connections=10", "superuser_reserved_connections=0"]).await;
    let url = server.database().await;
    let settings = [
        ("PROTECTION", "off"),
        ("CACHE_TTL", "1ms"),
        ("DB_QUEUE_TIMEOUT", "4s"),
        ("REQUEST_TIMEOUT", "9s"),
    ];
    let service = service_on(&url, &settings).await;
    service.template(1).await;
    let mut others = Vec::new();
    while let Ok(other) = PgConnection::connect(&url).await {
        others.push(other);
    }
    for _ in 0..3 {
        let answers = service.callers(30, 2).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    drop(others);
    eventually("the service has all its sessions", async || {
        service.callers(30, 3).await;
        let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stampede'";
        postgres::fetch_i64(&url, ours).await >= 5
    })
    .await;
}

#[tokio::test]
async fn a_locked_table_costs_each_request_its_budget_and_no_more() {
    let url = postgres::shared().await.database().await;
    let settings = [
        ("DB_TIMEOUT", "200ms"),
        ("DB_MAX_CONNECTIONS", "2"),
        ("CACHE_TTL", "1ms"),
    ];
    let service = service_on(&url, &settings).await;
    service.template(1).await;
    let mut lock = postgres::session(&url).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE templates")
        .execute(&mut lock)
        .await
        .unwrap();
    for id in 1..=3 {
        let answer = service.template(id).await;
        let expected = if id == 1 { 200 } else { 503 };
        assert_eq!(
            answer.status,
            expected,
            "{:?}",
            answer.header("cache-status")
        );
    }
    assert_eq!(
        service.get("/readyz").await.text(),
        ALL_WELL,
        "the database is there, the table is not to be had"
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(service.template(2).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_is_found_out_and_every_slot_is_usable_afterwards() {
    let server = Postgres::start().await;
    let url = server.database().await;
    is_found_out_when_frozen(&server, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_mysql_is_found_out_and_every_slot_is_usable_afterwards() {
    let server = MySql::start().await;
    let url = server.database().await;
    is_found_out_when_frozen(&server, &url).await;
}

async fn is_found_out_when_frozen(server: &Server, url: &str) {
    let settings = [
        ("DB_TIMEOUT", "200ms"),
        ("DB_MAX_CONNECTIONS", "4"),
        ("CACHE_TTL", "1ms"),
    ];
    let service = service_on(url, &settings).await;
    service.callers(20, 1).await;
    server.freeze().await;
    // A thousand queries that do not end, or are not begun any more.
    for round in 0..20 {
        let answers = service.callers(50, 1 + round).await;
        assert!(
            answers
                .iter()
                .all(|answer| [200, 503].contains(&answer.status))
        );
    }
    service.until_ready_says(NO_DATABASE).await;
    server.thaw().await;
    service.until_ready_says(ALL_WELL).await;
    eventually("four queries run at once", async || {
        service
            .callers(40, 60)
            .await
            .iter()
            .all(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(service.scrape().await.value("db_queries_in_flight"), 0.0);
}

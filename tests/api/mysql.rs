//! MySQL instead of PostgreSQL, on the MariaDB server that Debian has: what is asked of it, how it is written to, how it
//! breaks, and how its changes are heard.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use sqlx::{Connection as _, MySqlConnection};
use testkit::http::{Answer, Client};
use testkit::{Mode, MySql, Proxy, Service, eventually, mysql, redis};

const TOKEN: &str = "a-token-for-tests";
const ALL_WELL: &str = "database: ok\ncache: ok\n";
const NO_DATABASE: &str = "database: down\ncache: ok\n";

async fn service_on(url: &str, settings: &[(&str, &str)]) -> Service {
    let mut all = vec![("DATABASE_URL", url), ("ADMIN_TOKEN", TOKEN)];
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says(ALL_WELL).await;
    service
}

/// A service on an empty database of its own, and the database's address.
async fn stage(settings: &[(&str, &str)]) -> (Service, String) {
    let url = mysql::shared().await.database().await;
    (service_on(&url, settings).await, url)
}

/// Sends a change with these values of If-Match, if any.
async fn change(service: &Service, method: &str, id: i64, name: &str, expected: &str) -> Answer {
    let body = match method {
        "PUT" => serde_json::json!({ "name": name }).to_string(),
        _ => String::new(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(service.url(&format!("/template-details?id={id}")))
        .header("authorization", format!("Bearer {TOKEN}"));
    if !expected.is_empty() {
        request = request.header("if-match", expected);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    Client::new().send(request).await.unwrap()
}

async fn put(service: &Service, id: i64, name: &str) -> Answer {
    change(service, "PUT", id, name, "").await
}

async fn until_named(service: &Service, id: i64, name: &str) {
    eventually(&format!("{id} is {name}"), async || {
        service.template(id).await.json()["name"] == name
    })
    .await;
}

#[tokio::test]
async fn the_same_rows_are_read_by_one_query_each() {
    let cache = redis::shared().await.database();
    let (service, _) = stage(&[("REDIS_URL", &cache)]).await;
    let answer = service.template(7).await;
    assert_eq!(
        answer.text(),
        r#"{"id":7,"name":"Template 7","updated_at":"2026-01-01T00:00:00Z","version":1}"#
    );
    assert_eq!(service.template(100).await.status, 200);
    assert_eq!(service.template(101).await.status, 404);
    assert_eq!(service.template(i64::MAX).await.status, 404);
    for _ in 0..10 {
        let again = service.template(7).await;
        assert!(again.header("cache-status").unwrap().contains("; hit"));
    }
    let etag = answer.header("etag").unwrap().to_owned();
    let same = service
        .request("GET", "/template-details?id=7", &[("if-none-match", &etag)])
        .await;
    assert_eq!(same.status, 304);
    assert_eq!(service.scrape().await.value("db_hits_total"), 4.0);
    let answers = service.callers(200, 8).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(service.scrape().await.value("db_hits_total"), 5.0);
}

#[tokio::test]
async fn changes_count_versions_and_keep_to_their_conditions() {
    let (service, _) = stage(&[]).await;
    assert_eq!(service.template(1).await.json()["version"], 1);
    let written = put(&service, 1, "Ćhanged 🦀").await;
    assert_eq!(
        (written.status, written.header("etag")),
        (200, Some("\"1-2\""))
    );
    assert_eq!(service.template(1).await.body, written.body);
    assert_eq!(service.template(1).await.json()["name"], "Ćhanged 🦀");
    // The same name again is a change as well.
    assert_eq!(
        put(&service, 1, "Ćhanged 🦀").await.header("etag"),
        Some("\"1-3\"")
    );
    let created = put(&service, 200, "New").await;
    assert_eq!(created.header("etag"), Some("\"200-1\""));
    assert_eq!(service.template(200).await.json()["name"], "New");

    let status = async |method: &str, id: i64, expected: &str| {
        change(&service, method, id, "New", expected).await.status
    };
    for other in ["\"1-2\"", "\"2-3\"", "W/\"1-3\"", "1-3"] {
        assert_eq!(status("PUT", 1, other).await, 412, "{other}");
        assert_eq!(status("DELETE", 1, other).await, 412, "{other}");
    }
    assert_eq!(status("PUT", 1, "\"1-3\"").await, 200);
    assert_eq!(status("PUT", 1, "\"1-9\", \"1-4\"").await, 200);
    assert_eq!(status("PUT", 1, "*").await, 200);
    assert_eq!(status("PUT", 300, "*").await, 412);
    assert_eq!(status("DELETE", 1, "\"1-6\"").await, 204);
    assert_eq!(service.template(1).await.status, 404);
    assert_eq!(status("DELETE", 1, "").await, 404);
    assert_eq!(status("PUT", 1, "*").await, 412);
    assert_eq!(
        put(&service, 1, "Back").await.header("etag"),
        Some("\"1-8\"")
    );
    assert_eq!(service.template(1).await.json()["name"], "Back");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_template_at_once_each_make_a_version_of_their_own() {
    let (service, url) = stage(&[]).await;
    // It does not exist yet: all of them try to create it.
    let writes = (0..40).map(async |number: i32| {
        let answer = put(&service, 500, &format!("{number}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["version"].as_i64().unwrap()
    });
    let mut versions = join_all(writes).await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=40).collect::<Vec<_>>());
    // Different ones, none of which exists: they are not in each other's way.
    let writes = (600..640).map(async |id| put(&service, id, "New").await.status);
    assert!(join_all(writes).await.iter().all(|&status| status == 200));
    let deletions = (600..640).map(async |id| change(&service, "DELETE", id, "", "").await.status);
    assert!(
        join_all(deletions)
            .await
            .iter()
            .all(|&status| status == 204)
    );
    assert_eq!(
        mysql::fetch_i64(&url, "SELECT COUNT(*) FROM template_changes WHERE deleted").await,
        40
    );
    // Is granted once no transaction is open that has used the tables.
    let lock = "SET lock_wait_timeout = 30; LOCK TABLES templates WRITE, template_changes WRITE";
    mysql::execute(&url, lock).await;
}

#[tokio::test]
async fn a_change_by_hand_counts_versions_too() {
    let (service, url) = stage(&[]).await;
    let by_hand = [
        "UPDATE templates SET name = 'By hand' WHERE id = 1",
        "UPDATE templates SET version = 1 WHERE id = 1",
        "DELETE FROM templates WHERE id = 2",
        "INSERT INTO templates (id, name, updated_at) VALUES (2, 'Again', 0)",
        "INSERT IGNORE INTO templates (id, name, updated_at) VALUES (3, 'Not this', 0)",
        "UPDATE templates SET id = 400 WHERE id = 4",
        "INSERT INTO templates (id, name, updated_at) VALUES (4, 'Four', 0)",
        "REPLACE INTO templates (id, name, updated_at) VALUES (5, 'Five', 0)",
        "INSERT INTO templates (id, name, updated_at) VALUES (6, 'Six', 0) \
         ON DUPLICATE KEY UPDATE name = 'Six again'",
    ];
    for sql in by_hand {
        mysql::execute(&url, sql).await;
    }
    for (id, name, least) in [
        (1, "By hand", 3),
        (2, "Again", 3),
        (3, "Template 3", 1),
        (4, "Four", 3),
        (5, "Five", 2),
        (6, "Six again", 2),
        (400, "Template 4", 2),
    ] {
        let json = service.template(id).await.json();
        assert_eq!(json["name"], name, "{id}");
        assert!(json["version"].as_i64().unwrap() >= least, "{json}");
    }
    assert_ne!(
        service.template(1).await.json()["updated_at"],
        "2026-01-01T00:00:00Z"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_services_that_start_together_on_an_empty_database_all_come_up() {
    for _ in 0..3 {
        let url = mysql::shared().await.database().await;
        let services = join_all((0..8).map(|_| service_on(&url, &[]))).await;
        for service in &services {
            assert_eq!(service.template(100).await.status, 200);
        }
        let applied = "SELECT COUNT(*) FROM _sqlx_migrations WHERE success";
        assert_eq!(mysql::fetch_i64(&url, applied).await, 2);
        assert_eq!(
            mysql::fetch_i64(&url, "SELECT COUNT(*) FROM templates").await,
            100
        );
        assert_eq!(
            mysql::fetch_i64(&url, "SELECT CAST(SUM(version) AS SIGNED) FROM templates").await,
            100
        );
    }
}

#[tokio::test]
async fn a_migration_that_was_cut_short_is_made_again() {
    let (service, url) = stage(&[]).await;
    service.stop().await;
    mysql::execute(
        &url,
        "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2; \
         DROP TRIGGER templates_after_delete",
    )
    .await;
    let service = service_on(&url, &[]).await;
    assert_eq!(change(&service, "DELETE", 1, "", "").await.status, 204);
    assert_eq!(
        put(&service, 1, "Back").await.header("etag"),
        Some("\"1-3\"")
    );
}

#[tokio::test]
async fn who_holds_the_migrations_lock_is_waited_for() {
    let url = mysql::shared().await.database().await;
    let mut holder = mysql::session(&url).await;
    let lock = "SELECT GET_LOCK(CONCAT('stampede_', MD5(DATABASE())), 0)";
    mysql::run(&mut holder, lock).await;
    let service = Service::start(&[("DATABASE_URL", &url)]).await;
    assert_eq!(service.get("/readyz").await.text(), NO_DATABASE);
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    assert_eq!(mysql::fetch_i64(&url, tables).await, 0);
    holder.close().await.unwrap();
    service.until_ready_says(ALL_WELL).await;
}

#[tokio::test]
async fn a_locked_table_costs_each_request_its_budget_and_no_more() {
    let settings = [
        ("DB_TIMEOUT", "400ms"),
        ("DB_MAX_CONNECTIONS", "2"),
        ("CACHE_TTL", "1ms"),
    ];
    let (service, url) = stage(&settings).await;
    service.template(1).await;
    let mut lock = mysql::session(&url).await;
    mysql::run(&mut lock, "LOCK TABLES templates WRITE").await;
    for id in 1..=6 {
        // Without a limit of ours, each would wait for the lock for longer than the client waits.
        let expected = if id == 1 { 200 } else { 503 };
        assert_eq!(service.template(id).await.status, expected);
    }
    assert_eq!(service.get("/readyz").await.text(), ALL_WELL);
    mysql::run(&mut lock, "UNLOCK TABLES").await;
    assert_eq!(service.template(2).await.status, 200);
}

#[tokio::test]
async fn the_server_itself_ends_a_query_in_time_and_the_session_stays() {
    let settings = [
        ("DB_TIMEOUT", "2s"),
        ("DB_MAX_CONNECTIONS", "1"),
        ("CACHE_TTL", "1ms"),
    ];
    let (service, url) = stage(&settings).await;
    let ours = "SELECT CAST(MAX(id) AS SIGNED) FROM information_schema.processlist \
                WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    service.template(1).await;
    let before = mysql::fetch_i64(&url, ours).await;
    // Two writers wait for a row that another holds.
    let mut holder = mysql::session(&url).await;
    mysql::run(
        &mut holder,
        "BEGIN; UPDATE templates SET name = 'Held' WHERE id = 1",
    )
    .await;
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(put(&service, 1, "Waits").await.status, 503);
        let waited = began.elapsed();
        assert!(waited.as_millis() >= 1_800, "{waited:?} for 1.9 s");
    }
    // Reading waits for no row.
    assert_eq!(service.template(1).await.json()["name"], "Template 1");
    mysql::run(&mut holder, "ROLLBACK").await;
    holder.close().await.unwrap();
    assert_eq!(
        put(&service, 1, "Done").await.header("etag"),
        Some("\"1-2\"")
    );
    assert_eq!(
        mysql::fetch_i64(&url, ours).await,
        before,
        "no session was opened anew"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_done_without_and_changes_meanwhile_are_not_missed() {
    let server = MySql::start().await;
    let url = server.database().await;
    let service = service_on(&url, &[]).await;
    assert_eq!(service.template(1).await.status, 200);
    server.kill().await;
    service.until_ready_says(NO_DATABASE).await;
    assert_eq!(service.template(1).await.status, 200);
    assert_eq!(service.template(2).await.status, 503);
    assert_eq!(put(&service, 1, "Refused").await.status, 503);
    server.start_again().await;
    mysql::execute(
        &url,
        "UPDATE templates SET name = 'Meanwhile' WHERE id = 1; DELETE FROM template_changes",
    )
    .await;
    service.until_ready_says(ALL_WELL).await;
    // Nothing tells of this change: it is found because polling has begun again.
    until_named(&service, 1, "Meanwhile").await;
}

#[tokio::test]
async fn nobody_notices_that_idle_sessions_were_killed() {
    let (service, url) = stage(&[("CACHE_TTL", "1ms")]).await;
    for round in 0..3 {
        service.callers(20, 1).await;
        let ours = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
                    WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let mut session = mysql::session(&url).await;
        let ids: Vec<i64> = sqlx::query_scalar(ours)
            .fetch_all(&mut session)
            .await
            .unwrap();
        assert!(!ids.is_empty());
        for id in ids {
            mysql::run(&mut session, &format!("KILL {id}")).await;
        }
        let answers = service.callers(10, 30 + round).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
}

#[tokio::test]
async fn a_server_without_room_for_another_session_leaves_ours_in_use() {
    let server = MySql::start_with(&["--max-connections=12"]).await;
    let url = server.database().await;
    // One session may be had beyond the limit by who administers the server, as the tests' user does.
    server
        .execute("CREATE USER app IDENTIFIED BY ''; GRANT ALL ON *.* TO app; REVOKE SUPER, CONNECTION ADMIN ON *.* FROM app")
        .await;
    let url = url.replace("root@", "app@");
    let settings = [
        ("PROTECTION", "off"),
        ("CACHE_TTL", "1ms"),
        ("DB_QUEUE_TIMEOUT", "4s"),
        ("REQUEST_TIMEOUT", "9s"),
    ];
    let service = service_on(&url, &settings).await;
    service.template(1).await;
    let mut others = Vec::new();
    while let Ok(other) = MySqlConnection::connect(&url).await {
        others.push(other);
    }
    for _ in 0..3 {
        let answers = service.callers(30, 2).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    assert_eq!(service.get("/readyz").await.text(), ALL_WELL);
    drop(others);
    eventually("the service has all its sessions", async || {
        service.callers(30, 3).await;
        let ours = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'";
        server.fetch_i64(ours).await >= 5
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_tried_twice_a_second_at_most() {
    let server = mysql::shared().await;
    let proxy = Proxy::to(server.port()).await;
    let service = service_on(&proxy.url(&server.database().await), &[]).await;
    for mode in [Mode::Reset, Mode::Refuse, Mode::Mute] {
        proxy.set(mode).await;
        service.until_ready_says(NO_DATABASE).await;
        let (began, before) = (Instant::now(), proxy.accepted());
        while began.elapsed() < Duration::from_secs(2) {
            let answers = service.callers(20, 50).await;
            assert!(answers.iter().all(|answer| answer.status == 503));
        }
        // One more a second looks for changes.
        let attempts = (proxy.accepted() - before) as f64;
        let most = 2.0 + 3.0 * began.elapsed().as_secs_f64();
        assert!(attempts <= most, "{mode:?}: {attempts}");
        proxy.set(Mode::Pass).await;
        service.until_ready_says(ALL_WELL).await;
        assert_eq!(service.template(1).await.status, 200);
    }
}

#[tokio::test]
async fn every_replica_hears_of_a_change_whoever_made_it() {
    let (one, url) = stage(&[]).await;
    let other = service_on(&url, &[]).await;
    for service in [&one, &other] {
        for id in 1..=3 {
            assert_eq!(service.template(id).await.json()["version"], 1);
        }
        assert_eq!(service.template(700).await.status, 404);
    }
    put(&one, 1, "By a replica").await;
    until_named(&other, 1, "By a replica").await;
    mysql::execute(&url, "UPDATE templates SET name = 'By hand' WHERE id = 2").await;
    mysql::execute(&url, "DELETE FROM templates WHERE id = 3").await;
    let new = "INSERT INTO templates (id, name, updated_at) VALUES (700, 'Seven hundred', 0)";
    mysql::execute(&url, new).await;
    for service in [&one, &other] {
        until_named(service, 2, "By hand").await;
        until_named(service, 700, "Seven hundred").await;
        eventually("it is gone", async || {
            service.template(3).await.status == 404
        })
        .await;
    }
}

#[tokio::test]
async fn changes_are_heard_while_all_permits_are_taken() {
    let settings = [
        ("CHANGE_POLL", "50ms"),
        ("DB_MAX_CONNECTIONS", "1"),
        ("DB_TIMEOUT", "5s"),
        ("DB_QUEUE_TIMEOUT", "5s"),
        ("REQUEST_TIMEOUT", "30s"),
    ];
    let (service, url) = stage(&settings).await;
    service.template(1).await;
    // Polling has begun.
    put(&service, 2, "Written").await;
    let heard = async || {
        let counters = service.scrape().await;
        counters.value("invalidations_total{origin=\"notified\"}")
    };
    let mut holder = mysql::session(&url).await;
    let hold = "BEGIN; UPDATE templates SET name = 'Held' WHERE id = 3";
    mysql::run(&mut holder, hold).await;
    tokio::join!(put(&service, 3, "Waits"), async {
        eventually("the permit is taken", async || {
            service.scrape().await.value("db_queries_in_flight") == 1.0
        })
        .await;
        let before = heard().await;
        mysql::execute(&url, "UPDATE templates SET name = 'By hand' WHERE id = 1").await;
        eventually("the change is heard", async || heard().await > before).await;
        let scrape = service.scrape().await;
        assert!(scrape.value("change_lag_seconds_count") > 0.0);
        assert_eq!(scrape.value("change_listener_up"), 1.0);
        assert_eq!(scrape.value("db_queries_in_flight"), 1.0);
        mysql::run(&mut holder, "ROLLBACK").await;
    });
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_heard() {
    let (service, url) = stage(&[]).await;
    for id in 1..=2 {
        assert_eq!(service.template(id).await.json()["version"], 1);
    }
    let mut late = mysql::session(&url).await;
    let change = "BEGIN; UPDATE templates SET name = 'Late' WHERE id = 1";
    mysql::run(&mut late, change).await;
    // Changes that are made and seen meanwhile bear later times.
    for round in 0..10 {
        let change = format!("UPDATE templates SET name = 'Round {round}' WHERE id = 2");
        mysql::execute(&url, &change).await;
        until_named(&service, 2, &format!("Round {round}")).await;
    }
    assert_eq!(service.template(1).await.json()["name"], "Template 1");
    mysql::run(&mut late, "COMMIT").await;
    until_named(&service, 1, "Late").await;
}

#[tokio::test]
async fn many_thousand_rows_can_be_changed_by_hand_at_once() {
    let (service, url) = stage(&[]).await;
    assert_eq!(service.template(1).await.json()["version"], 1);
    let insert = "SET max_recursive_iterations = 100000; INSERT INTO templates (id, name, updated_at) \
                  WITH RECURSIVE numbers (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000) \
                  SELECT n, 'Many', 0 FROM numbers";
    mysql::execute(&url, insert).await;
    mysql::execute(&url, "UPDATE templates SET name = 'All of them'").await;
    until_named(&service, 1, "All of them").await;
    assert_eq!(service.template(1).await.json()["version"], 2);
    // One more change is heard among so many.
    mysql::execute(&url, "UPDATE templates SET name = 'One more' WHERE id = 1").await;
    until_named(&service, 1, "One more").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_waited_for_a_removal_is_told_the_version_that_there_is() {
    // A server of its own, since it counts the waits of all its databases together.
    let server = MySql::start().await;
    let url = server.database().await;
    let service = service_on(&url, &[]).await;
    put(&service, 1, "Second").await;
    let mut removal = mysql::session(&url).await;
    mysql::run(&mut removal, "BEGIN; DELETE FROM templates WHERE id = 1").await;
    let (told, ()) = tokio::join!(put(&service, 1, "Fourth"), async {
        // Not `innodb_trx`: it shows an old picture to those who look more often than each 100 ms.
        let waiting = "SELECT CAST(variable_value AS INTEGER) FROM information_schema.global_status \
                       WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'";
        eventually("the writer waits", async || {
            mysql::fetch_i64(&url, waiting).await >= 1
        })
        .await;
        mysql::run(&mut removal, "COMMIT").await;
    });
    let version = "SELECT version FROM templates WHERE id = 1";
    let there = mysql::fetch_i64(&url, version).await;
    assert_eq!((told.json()["version"].as_i64(), there), (Some(4), 4));
    assert_eq!(service.template(1).await.json()["name"], "Fourth");
}

#[tokio::test]
async fn the_table_is_not_truncated_by_accident() {
    let (service, url) = stage(&[]).await;
    assert_eq!(service.template(1).await.status, 200);
    let mut session = mysql::session(&url).await;
    let refused = sqlx::raw_sql("TRUNCATE TABLE templates")
        .execute(&mut session)
        .await;
    assert!(refused.unwrap_err().to_string().contains("foreign key"));
    mysql::run(&mut session, "DELETE FROM templates").await;
    eventually("the deletion is heard", async || {
        service.template(1).await.status == 404
    })
    .await;
    assert_eq!(
        put(&service, 1, "Back").await.header("etag"),
        Some("\"1-3\"")
    );
}

#[tokio::test]
async fn polling_takes_the_index() {
    let (_service, url) = stage(&[]).await;
    let rows = "INSERT INTO template_changes WITH RECURSIVE numbers (n) AS \
                (SELECT 1000 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000) \
                SELECT n, 1, FALSE, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR FROM numbers; \
                ANALYZE TABLE template_changes";
    mysql::execute(
        &url,
        &format!("SET max_recursive_iterations = 100000; {rows}"),
    )
    .await;
    let mut session = mysql::session(&url).await;
    let before = handler_reads(&mut session).await;
    let poll = "SELECT id, version FROM template_changes WHERE changed_at > \
                UTC_TIMESTAMP(6) - INTERVAL 60 SECOND ORDER BY changed_at DESC, id LIMIT 10000";
    mysql::run(&mut session, poll).await;
    let read = handler_reads(&mut session).await - before;
    assert!(read < 50, "{read} rows were read of 20,000");
}

async fn handler_reads(session: &mut MySqlConnection) -> i64 {
    let sum = "SELECT CAST(SUM(variable_value) AS SIGNED) FROM information_schema.session_status \
               WHERE variable_name IN ('Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd_next')";
    // What this query itself reads is counted when it has ended.
    sqlx::query_scalar(sum).fetch_one(session).await.unwrap()
}

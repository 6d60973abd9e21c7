//! The path of a request, on real PostgreSQL and Redis: what is asked when, and what is kept where.

use ::redis::Value;
use stampede::template::TemplateId;
use testkit::{Scrape, Service, database, eventually, postgres, redis};

/// A database and a logical Redis database of a test's own, and a service on them.
struct Stage {
    database: String,
    cache: String,
    service: Service,
}

impl Stage {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let database = database::fresh().await;
        let cache = redis::shared().await.database();
        let mut all = vec![
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", cache.as_str()),
        ];
        all.extend(settings);
        let service = Service::start(&all).await;
        service.until_ready_says("database: ok\ncache: ok\n").await;
        Self {
            database,
            cache,
            service,
        }
    }

    async fn redis(&self, command: &[&str]) -> Value {
        redis::cli(&self.cache, command).await.unwrap()
    }

    /// What the counters grew by while this ran.
    async fn during<T>(&self, work: impl Future<Output = T>) -> (T, Scrape) {
        let before = self.service.scrape().await;
        let outcome = work.await;
        (outcome, &self.service.scrape().await - &before)
    }
}

#[tokio::test]
async fn a_template_is_loaded_once_and_then_comes_from_redis() {
    let stage = Stage::set(&[]).await;
    let (answers, grown) = stage
        .during(async {
            let mut answers = Vec::new();
            for _ in 0..10 {
                answers.push(stage.service.template(7).await);
            }
            answers
        })
        .await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.json()["name"] == "Template 7")
    );
    assert_eq!(
        (
            grown.value("db_hits_total"),
            grown.value("cache_hits_total")
        ),
        (1.0, 9.0)
    );
    assert_eq!(grown.value("cache_misses_total"), 1.0);
}

#[tokio::test]
async fn what_redis_holds_expires_within_the_ttl() {
    let stage = Stage::set(&[]).await;
    stage.service.template(7).await;
    stage.service.template(101).await;
    // Absence ends with its TTL, but goes on to keep out what a load of before may bring, for twice the longest load.
    for (key, least, most) in [("td:v1:7", 26_000, 30_000), ("td:v1:101", 4_000, 5_100)] {
        let Value::Int(left) = stage.redis(&["PTTL", key]).await else {
            panic!("{key} has no TTL")
        };
        assert!((least..=most).contains(&left), "{key} expires in {left} ms");
    }
}

#[tokio::test]
async fn another_replica_finds_what_this_one_loaded() {
    let stage = Stage::set(&[]).await;
    stage.service.template(7).await;
    let other = Service::start(&[
        ("DATABASE_URL", &stage.database),
        ("REDIS_URL", &stage.cache),
    ])
    .await;
    let answer = other.template(7).await;
    assert!(
        answer
            .header("cache-status")
            .unwrap()
            .starts_with("stampede; hit; ttl=")
    );
    assert_eq!(other.scrape().await.value("db_hits_total"), 0.0);
}

#[tokio::test]
async fn a_change_is_seen_when_the_ttl_ends() {
    let stage = Stage::set(&[("CACHE_TTL", "300ms")]).await;
    stage.service.template(7).await;
    database::execute(
        &stage.database,
        "UPDATE templates SET name = 'Changed', version = 2 WHERE id = 7",
    )
    .await;
    eventually("the change is seen", async || {
        let answer = stage.service.template(7).await;
        answer.json()["name"] == "Changed" && answer.header("etag") == Some("\"7-2\"")
    })
    .await;
}

#[tokio::test]
async fn an_unknown_id_is_asked_for_once_and_then_known_to_be_absent() {
    let stage = Stage::set(&[]).await;
    let (answers, grown) = stage
        .during(async {
            [
                stage.service.template(101).await.status,
                stage.service.template(101).await.status,
            ]
        })
        .await;
    assert_eq!(answers, [404, 404]);
    assert_eq!(
        (
            grown.value("db_hits_total"),
            grown.value("cache_hits_total")
        ),
        (1.0, 1.0)
    );
    assert_eq!(
        grown.value("template_responses_total{source=\"not_found\"}"),
        2.0
    );
}

#[tokio::test]
async fn an_absent_template_that_comes_to_be_is_seen_when_its_ttl_ends() {
    let stage = Stage::set(&[("NEGATIVE_TTL", "200ms")]).await;
    assert_eq!(stage.service.template(101).await.status, 404);
    database::execute(
        &stage.database,
        "INSERT INTO templates VALUES (101, 'New', 1, 0)",
    )
    .await;
    eventually("the new template is found", async || {
        stage.service.template(101).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn wrong_content_in_redis_is_a_counted_miss_and_replaced() {
    let stage = Stage::set(&[]).await;
    stage.service.template(8).await;
    let Value::BulkString(eight) = stage.redis(&["GET", "td:v1:8"]).await else {
        panic!("nothing stored")
    };
    let eight = String::from_utf8(eight).unwrap();
    let oversized = "x".repeat(1024 * 1024);
    let altered = eight.replace("Template 8", "Template 9");
    let newer_format = eight.replacen("td1", "td2", 1);
    for wrong in [
        "",
        "{}",
        &eight,
        &eight[..eight.len() - 1],
        &altered,
        &newer_format,
        &oversized,
    ] {
        stage.redis(&["SET", "td:v1:7", wrong]).await;
        assert_replaced(&stage).await;
    }
    stage.redis(&["DEL", "td:v1:7"]).await;
    stage.redis(&["RPUSH", "td:v1:7", "a list"]).await;
    assert_replaced(&stage).await;
}

async fn assert_replaced(stage: &Stage) {
    let (answer, grown) = stage.during(stage.service.template(7)).await;
    assert_eq!(answer.json()["name"], "Template 7");
    assert_eq!(
        answer.header("cache-status"),
        Some("stampede; fwd=miss; stored")
    );
    assert_eq!(
        grown.value("cache_errors_total{op=\"get\",reason=\"corrupt\"}"),
        1.0
    );
    assert_eq!(
        (
            grown.value("cache_misses_total"),
            grown.value("db_hits_total")
        ),
        (1.0, 1.0)
    );
    let again = stage.service.template(7).await;
    assert!(
        again.header("cache-status").unwrap().contains("hit"),
        "{again:?}"
    );
}

#[tokio::test]
async fn an_entry_whose_ttl_was_taken_away_in_redis_still_expires() {
    let stage = Stage::set(&[("CACHE_TTL", "200ms")]).await;
    stage.service.template(7).await;
    stage.redis(&["PERSIST", "td:v1:7"]).await;
    database::execute(
        &stage.database,
        "UPDATE templates SET name = 'Changed' WHERE id = 7",
    )
    .await;
    eventually("the change is seen", async || {
        stage.service.template(7).await.json()["name"] == "Changed"
    })
    .await;
}

#[tokio::test]
async fn a_database_session_carries_the_limits_of_the_service() {
    let database = postgres::shared().await.database().await;
    let named = format!("{database}?application_name=limits-of-the-service");
    let service = Service::start(&[("DATABASE_URL", &named), ("DB_TIMEOUT", "1s")]).await;
    service.until_ready_says("database: ok\ncache: ok\n").await;
    let mut lock = postgres::session(&database).await;
    sqlx::Connection::ping(&mut lock).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE templates")
        .execute(&mut lock)
        .await
        .unwrap();
    let answer = service.template(1).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    // The server ended the query, not the service: the session is still there.
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'limits-of-the-service'";
    assert_eq!(postgres::shared().await.fetch_i64(sessions).await, 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(service.template(1).await.status, 200);
}

#[tokio::test]
async fn a_sqlite_file_serves_many_callers_at_once_and_keeps_its_rows() {
    let folder = testkit::guarded::create_folder();
    let url = format!("sqlite://{}", folder.join("templates.db").display());
    for _ in 0..2 {
        let service = Service::start(&[("DATABASE_URL", &url), ("PROTECTION", "off")]).await;
        let answers = service.callers(100, 5).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.json()["name"] == "Template 5")
        );
        service.stop().await;
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_embedded_database_serves_many_callers_at_once() {
    let service = Service::start(&[("PROTECTION", "off"), ("DB_DELAY", "0ms")]).await;
    for id in 1..=100 {
        assert_eq!(
            service
                .callers(3, id)
                .await
                .iter()
                .filter(|answer| answer.status == 200)
                .count(),
            3
        );
    }
    assert_eq!(TemplateId::parse("100").unwrap().number(), 100);
}

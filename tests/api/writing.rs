//! Changing templates: who may, what is checked, and that nobody gets the old state afterwards.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use testkit::http::{Answer, Client};
use testkit::{Mode, Proxy, Redis, Service, eventually, http, postgres, redis};

use stampede::cache::{RedisCache, RedisOptions, TemplateCache};
use stampede::freshness::{Entry, Moment, Rules, Stored, replaces};
use stampede::metrics::Metrics;
use stampede::template::{State, Template, TemplateId, UpdatedAt};

pub(crate) const TOKEN: &str = "a-token-for-tests";
const ALL_WELL: &str = "database: ok\ncache: ok\n";

/// Sends a change with these headers besides the token.
pub(crate) async fn change(
    service: &Service,
    method: &str,
    id: &str,
    body: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(service.url(&format!("/template-details?{id}")));
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    Client::new().send(request).await.unwrap()
}

async fn put(service: &Service, id: i64, name: &str) -> Answer {
    change(
        service,
        "PUT",
        &format!("id={id}"),
        &format!(r#"{{"name":"{name}"}}"#),
        &[],
    )
    .await
}

async fn embedded() -> Service {
    Service::start(&[("ADMIN_TOKEN", TOKEN), ("DB_DELAY", "0ms")]).await
}

struct Backends {
    database: String,
    cache: String,
}

impl Backends {
    async fn new() -> Self {
        Self {
            database: postgres::shared().await.database().await,
            cache: redis::shared().await.database(),
        }
    }

    async fn replica(&self, settings: &[(&str, &str)]) -> Service {
        let mut all = vec![
            ("DATABASE_URL", self.database.as_str()),
            ("REDIS_URL", self.cache.as_str()),
            ("ADMIN_TOKEN", TOKEN),
        ];
        all.extend(settings);
        let service = Service::start(&all).await;
        service.until_ready_says(ALL_WELL).await;
        service
    }
}

#[tokio::test]
async fn a_put_answers_with_the_new_template_and_everyone_gets_it() {
    for service in [embedded().await, Backends::new().await.replica(&[]).await] {
        assert_eq!(service.template(1).await.json()["name"], "Template 1");
        let written = put(&service, 1, "Changed").await;
        assert_eq!(
            (written.status, written.header("etag")),
            (200, Some("\"1-2\""))
        );
        assert_eq!(
            (&written.json()["name"], &written.json()["version"]),
            (&"Changed".into(), &2.into())
        );
        let read = service.template(1).await;
        assert_eq!(read.body, written.body);
        assert!(
            read.header("cache-status").unwrap().contains("hit"),
            "it was stored by the writer"
        );
        let created = put(&service, 200, "New").await;
        assert_eq!(
            (created.status, created.header("etag")),
            (200, Some("\"200-1\""))
        );
        assert_eq!(service.template(200).await.json()["name"], "New");
    }
}

#[tokio::test]
async fn a_deleted_template_is_gone_and_counts_on_when_it_comes_back() {
    for service in [embedded().await, Backends::new().await.replica(&[]).await] {
        assert_eq!(service.template(1).await.status, 200);
        let gone = change(&service, "DELETE", "id=1", "", &[]).await;
        assert_eq!((gone.status, gone.body.len()), (204, 0));
        assert_eq!(service.template(1).await.status, 404);
        assert_eq!(
            change(&service, "DELETE", "id=1", "", &[]).await.status,
            404
        );
        assert_eq!(
            put(&service, 1, "Back").await.header("etag"),
            Some("\"1-3\"")
        );
        assert_eq!(service.template(1).await.json()["name"], "Back");
    }
}

#[tokio::test]
async fn a_writer_that_expects_another_state_is_refused() {
    let service = embedded().await;
    let put = async |tag: &str| {
        change(
            &service,
            "PUT",
            "id=1",
            r#"{"name":"New"}"#,
            &[("if-match", tag)],
        )
        .await
        .status
    };
    for other in ["\"1-2\"", "\"2-1\"", "W/\"1-1\"", "1-1", "\"\""] {
        assert_eq!(put(other).await, 412, "{other}");
    }
    assert_eq!(put("\"1-1\"").await, 200);
    assert_eq!(put("\"1-1\"").await, 412);
    assert_eq!(put("\"1-9\", \"1-2\"").await, 200);
    assert_eq!(put("*").await, 200);
    let delete = async |tag: &str| {
        change(&service, "DELETE", "id=1", "", &[("if-match", tag)])
            .await
            .status
    };
    assert_eq!(delete("\"1-1\"").await, 412);
    assert_eq!(delete("\"1-4\"").await, 204);
    assert_eq!(put("*").await, 412, "it does not exist");
}

#[tokio::test]
async fn without_the_token_nothing_is_written() {
    let service = embedded().await;
    for given in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a-token-for-test",
        "Bearer a-token-for-testsx",
        "Basic a-token-for-tests",
    ] {
        let answer = service
            .request("PUT", "/template-details?id=1", &[("authorization", given)])
            .await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer")),
            "{given}"
        );
    }
    assert_eq!(
        service
            .request("DELETE", "/template-details?id=1", &[])
            .await
            .status,
        401
    );
    assert_eq!(service.template(1).await.json()["version"], 1);
    let closed = Service::start(&[("DB_DELAY", "0ms")]).await;
    assert_eq!(put(&closed, 1, "Changed").await.status, 404);
}

#[tokio::test]
async fn a_wrong_change_is_refused_and_changes_nothing() {
    let service = embedded().await;
    for body in [
        "",
        "{}",
        "[]",
        "{\"name\":1}",
        "{\"name\":\"\"}",
        "{\"name\":\"  \"}",
        "{\"name\":\"a\\u0000\"}",
        "{\"name\":\"a\",\"version\":7}",
        "{\"name\":\"a\"",
        "\u{feff}{\"name\":\"a\"}",
    ] {
        let answer = change(&service, "PUT", "id=1", body, &[]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("application/problem+json")),
            "{body}"
        );
    }
    for id in ["", "id=0", "id=x", "id=1&id=1"] {
        assert_eq!(
            change(&service, "PUT", id, r#"{"name":"a"}"#, &[])
                .await
                .status,
            400
        );
        assert_eq!(change(&service, "DELETE", id, "", &[]).await.status, 400);
    }
    let fits = format!("{{\"name\":\"{}\"}}", "x".repeat(16 * 1024 - 11));
    let too_large = format!("{{\"name\":\"{}\"}}", "x".repeat(16 * 1024 - 10));
    assert_eq!(
        (
            fits.len(),
            change(&service, "PUT", "id=2", &fits, &[]).await.status
        ),
        (16 * 1024, 200)
    );
    assert_eq!(
        change(&service, "PUT", "id=1", &too_large, &[])
            .await
            .status,
        413
    );
    assert_eq!(
        change(&service, "PUT", "id=1", &"x".repeat(1024 * 1024), &[])
            .await
            .status,
        413
    );
    let chunked = format!(
        "PUT /template-details?id=1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\
         transfer-encoding: chunked\r\n\r\n5000\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x5000)
    );
    assert!(
        http::raw(service.address(), chunked.as_bytes())
            .await
            .starts_with("HTTP/1.1 413")
    );
    assert_eq!(
        change(&service, "POST", "id=1", "", &[])
            .await
            .header("allow"),
        Some("GET, HEAD, PUT, DELETE")
    );
    assert_eq!(service.template(1).await.json()["version"], 1);
}

#[tokio::test]
async fn a_load_that_was_under_way_during_a_change_stores_nothing_old() {
    let backends = Backends::new().await;
    let service = backends.replica(&[("DB_DELAY", "0ms")]).await;
    // The load waits for the lock with the snapshot of before the change still to be taken, so the old state is put
    // into its hands by a view that answers from a copy.
    let freeze = "CREATE TABLE before AS SELECT * FROM templates; \
        ALTER TABLE templates RENAME TO stored; \
        CREATE VIEW templates AS SELECT before.* FROM before, pg_sleep(0.5)";
    postgres::execute(&backends.database, freeze).await;
    let old = tokio::spawn(http::get_owned(service.url("/template-details?id=1")));
    eventually("the load is under way", async || {
        service.scrape().await.value("db_queries_in_flight") == 1.0
    })
    .await;
    postgres::execute(
        &backends.database,
        "UPDATE stored SET name = 'Changed' WHERE id = 1",
    )
    .await;
    eventually("the change was heard of", async || {
        service
            .scrape()
            .await
            .value("invalidations_total{origin=\"notified\"}")
            == 1.0
    })
    .await;
    let thaw = "DROP VIEW templates; ALTER TABLE stored RENAME TO templates";
    assert_eq!(
        old.await.unwrap().json()["name"],
        "Template 1",
        "it asked before"
    );
    postgres::execute(&backends.database, thaw).await;
    let answer = service.template(1).await;
    assert_eq!(answer.json()["name"], "Changed");
    assert_eq!(
        answer.header("cache-status"),
        Some("stampede; fwd=miss; stored")
    );
    assert_eq!(
        service.scrape().await.value("stale_writes_prevented_total"),
        1.0
    );
}

#[tokio::test]
async fn every_replica_hears_of_a_change_whoever_made_it() {
    let backends = Backends::new().await;
    let (one, other) = (backends.replica(&[]).await, backends.replica(&[]).await);
    for service in [&one, &other] {
        assert_eq!(service.template(1).await.json()["version"], 1);
    }
    put(&one, 1, "By a replica").await;
    eventually("the other replica has it", async || {
        other.template(1).await.json()["name"] == "By a replica"
    })
    .await;
    postgres::execute(
        &backends.database,
        "UPDATE templates SET name = 'By hand' WHERE id = 1",
    )
    .await;
    for service in [&one, &other] {
        eventually("the change by hand is seen", async || {
            service.template(1).await.json()["name"] == "By hand"
        })
        .await;
        assert_eq!(service.template(1).await.json()["version"], 3);
    }
    postgres::execute(&backends.database, "DELETE FROM templates WHERE id = 1").await;
    for service in [&one, &other] {
        let heard = service
            .scrape()
            .await
            .value("invalidations_total{origin=\"notified\"}");
        assert!(heard >= 1.0, "each heard of it itself");
        eventually("the deletion is seen", async || {
            service.template(1).await.status == 404
        })
        .await;
    }
    postgres::execute(
        &backends.database,
        "INSERT INTO templates (id, name, updated_at) VALUES (1, 'Again', 0)",
    )
    .await;
    eventually("the new one is seen", async || {
        one.template(1).await.json()["version"] == 5
    })
    .await;
}

#[tokio::test]
async fn a_truncated_table_is_noticed() {
    let backends = Backends::new().await;
    let service = backends.replica(&[]).await;
    assert_eq!(service.template(1).await.status, 200);
    put(&service, 1, "Of before").await;
    postgres::execute(&backends.database, "TRUNCATE templates").await;
    eventually("nothing is there any more", async || {
        service.template(1).await.status == 404
    })
    .await;
    let again = "INSERT INTO templates (id, name, updated_at) VALUES (1, 'Again', 0)";
    postgres::execute(&backends.database, again).await;
    eventually("the new one is cached", async || {
        let answer = service.template(1).await;
        answer.status == 200
            && answer.json()["version"] == 4
            && answer.header("cache-status").unwrap().contains("hit")
    })
    .await;
}

#[tokio::test]
async fn a_change_that_could_not_reach_redis_reaches_it_before_redis_is_asked_again() {
    let (database, redis) = (
        postgres::shared().await.database().await,
        Redis::start().await,
    );
    let proxy = Proxy::to(redis.port()).await;
    let cache = proxy.url(&redis.url());
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("ADMIN_TOKEN", TOKEN),
        ("LOCAL_ENTRIES", "0"),
    ];
    let service = Service::start(&settings).await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(service.template(1).await.status, 200);
    for (mode, name) in [(Mode::Swallow, "While silent"), (Mode::Reset, "While away")] {
        proxy.set(mode).await;
        assert_eq!(put(&service, 1, name).await.status, 200);
        assert_eq!(service.template(1).await.json()["name"], name);
        proxy.set(Mode::Pass).await;
        service.until_ready_says(ALL_WELL).await;
        let answer = service.template(1).await;
        assert_eq!(
            (answer.json()["name"].as_str(), answer.status),
            (Some(name), 200)
        );
        assert!(
            answer.header("cache-status").unwrap().contains("hit"),
            "{answer:?}"
        );
    }
    assert!(
        service
            .scrape()
            .await
            .value("invalidations_total{origin=\"replayed\"}")
            >= 2.0
    );
}

#[tokio::test]
async fn a_change_that_redis_takes_no_writes_for_is_seen_all_the_same() {
    let (database, redis) = (
        postgres::shared().await.database().await,
        Redis::start().await,
    );
    let proxy = Proxy::to(redis.port()).await;
    let cache = proxy.url(&redis.url());
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("ADMIN_TOKEN", TOKEN),
        ("LOCAL_ENTRIES", "0"),
    ];
    let service = Service::start(&settings).await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(service.template(1).await.status, 200);
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(put(&service, 1, "While read-only").await.status, 200);
    assert_eq!(service.template(1).await.json()["name"], "While read-only");
    // And when it is found to be read-only only after it was away.
    proxy.set(Mode::Reset).await;
    assert_eq!(put(&service, 1, "While away").await.status, 200);
    proxy.set(Mode::Pass).await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(service.template(1).await.json()["name"], "While away");
}

#[tokio::test]
async fn redis_refuses_what_is_older_than_what_it_has() {
    let backends = Backends::new().await;
    let service = backends.replica(&[]).await;
    let cli = async |command: &[&str]| redis::cli(&backends.cache, command).await.unwrap();
    service.template(1).await;
    let Value::BulkString(old) = cli(&["GET", "td:v1:1"]).await else {
        panic!("nothing stored")
    };
    put(&service, 1, "Changed").await;
    // Another replica that had not heard of the change writes what it had loaded before.
    let old = String::from_utf8(old).unwrap();
    assert_eq!(service.template(1).await.json()["name"], "Changed");
    cli(&["SET", "td:v1:1", &old]).await;
    let answer = service.template(1).await;
    assert_eq!(
        answer.json()["name"],
        "Changed",
        "this replica knows better"
    );
    assert!(service.scrape().await.value("stale_writes_prevented_total") >= 1.0);
}

#[tokio::test]
async fn after_a_gap_in_listening_the_local_copies_are_not_trusted() {
    let (database, redis) = (postgres::shared().await, Redis::start().await);
    let proxy = Proxy::to(database.port()).await;
    let direct = database.database().await;
    let url = proxy.url(&direct);
    let service = Service::start(&[("DATABASE_URL", &url), ("REDIS_URL", &redis.url())]).await;
    service.until_ready_says(ALL_WELL).await;
    assert_eq!(service.template(1).await.status, 200);
    redis.kill().await;
    service
        .until_ready_says("database: ok\ncache: down\n")
        .await;
    eventually("the copy is answered", async || {
        let answer = service.template(1).await;
        answer
            .header("cache-status")
            .unwrap()
            .ends_with("detail=local")
    })
    .await;
    proxy.set(Mode::Refuse).await;
    service
        .until_ready_says("database: down\ncache: down\n")
        .await;
    postgres::execute(
        &direct,
        "UPDATE templates SET name = 'Unheard' WHERE id = 1",
    )
    .await;
    proxy.set(Mode::Pass).await;
    eventually("the change is seen long before the TTL ends", async || {
        service.template(1).await.json()["name"] == "Unheard"
    })
    .await;
}

#[tokio::test]
async fn many_thousand_rows_can_be_changed_by_hand_at_once() {
    let backends = Backends::new().await;
    let service = backends.replica(&[]).await;
    assert_eq!(service.template(1).await.json()["version"], 1);
    let insert = "INSERT INTO templates (id, name, updated_at) SELECT n, 'Many', 0 FROM generate_series(1000, 40000) n";
    postgres::execute(&backends.database, insert).await;
    postgres::execute(
        &backends.database,
        "UPDATE templates SET name = 'All of them'",
    )
    .await;
    eventually("the change is seen", async || {
        service.template(1).await.json()["name"] == "All of them"
    })
    .await;
    assert_eq!(service.template(1).await.json()["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_template_do_not_stand_in_each_others_way() {
    for service in [Backends::new().await.replica(&[]).await, embedded().await] {
        let service = Arc::new(service);
        let writer = |conditional: bool| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                for turn in 0..50 {
                    let condition = [("if-match", "*")];
                    let headers = if conditional { &condition[..] } else { &[] };
                    let body = format!(r#"{{"name":"{turn}"}}"#);
                    assert_eq!(
                        change(&service, "PUT", "id=1", &body, headers).await.status,
                        200
                    );
                }
            })
        };
        for writer in [writer(false), writer(true), writer(false), writer(true)] {
            writer.await.unwrap();
        }
        assert_eq!(service.template(1).await.json()["version"], 201);
    }
}

fn state(version: i64) -> Entry {
    let id = TemplateId::new(1).unwrap();
    let template = Template {
        id,
        name: format!("{version}"),
        updated_at: UpdatedAt(0),
        version,
    };
    Entry::new(
        State::Present(template),
        Moment::now(),
        MINUTE,
        Duration::ZERO,
    )
}

const MINUTE: Duration = Duration::from_secs(60);

/// Versions that text, floating point or a wrong length would order wrongly.
const VERSIONS: [i64; 7] = [0, 1, 9, 10, 99, i64::MAX - 1, i64::MAX];

#[tokio::test]
async fn the_script_in_redis_replaces_exactly_what_the_rule_replaces() {
    let (url, second) = (redis::shared().await.database(), Duration::from_secs(1));
    let rules = Rules {
        ttl: MINUTE,
        longest_load: second,
        ..Rules::default()
    };
    let options = RedisOptions::new(&url, second, rules.clone()).unwrap();
    let metrics = Arc::new(Metrics::new("test"));
    let cache = TemplateCache::Redis(RedisCache::connect(options, Arc::clone(&metrics)).await);
    let entries = || {
        VERSIONS
            .into_iter()
            .flat_map(|version| [state(version), rules.tombstone(version, Moment::now())])
    };
    for held in entries() {
        for new in entries() {
            let id = TemplateId::new(1).unwrap();
            cache.delete(id).await;
            assert_eq!(cache.store(id, &held).await, Stored::Yes);
            let expected = match replaces(&held, &new) {
                true => Stored::Yes,
                false => Stored::Superseded,
            };
            assert_eq!(cache.store(id, &new).await, expected, "{held:?}, {new:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_waited_for_a_removal_is_told_the_version_that_there_is() {
    let backends = Backends::new().await;
    let service = Arc::new(backends.replica(&[]).await);
    put(&service, 1, "Second").await;
    let mut removal = postgres::session(&backends.database).await;
    sqlx::raw_sql("BEGIN; DELETE FROM templates WHERE id = 1")
        .execute(&mut removal)
        .await
        .unwrap();
    let writer = Arc::clone(&service);
    let writing = tokio::spawn(async move { put(&writer, 1, "Fourth").await });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the writer waits", async || {
        postgres::fetch_i64(&backends.database, waiting).await >= 1
    })
    .await;
    sqlx::raw_sql("COMMIT").execute(&mut removal).await.unwrap();
    let told = writing.await.unwrap().json()["version"].as_i64();
    let version = "SELECT version FROM templates WHERE id = 1";
    let there = postgres::fetch_i64(&backends.database, version).await;
    assert_eq!((told, there), (Some(4), 4));
    assert_eq!(service.template(1).await.json()["name"], "Fourth");
}

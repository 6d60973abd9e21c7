//! The alerts: what each of them has to say, and one of them as a real Prometheus evaluates it.
//!
//! `prometheus.rules.test.yaml` shows when each of them fires. Here are the series that it takes for granted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;

use crate::dashboard::{dashboard, queries};
use crate::writing::{TOKEN, change};
use testkit::{Postgres, Prometheus, Redis, Service, eventually};

const RULES: &str = include_str!("../../prometheus.rules.yaml");
const ALL_WELL: &str = "database: ok\ncache: ok\n";

/// The lines of each alert, by its name.
fn alerts() -> BTreeMap<&'static str, &'static str> {
    let alerts = RULES.split("- alert: ").skip(1);
    alerts
        .map(|alert| alert.split_once('\n').unwrap())
        .collect()
}

/// `DatabaseAway` as `database-away`.
fn anchor(name: &str) -> String {
    let mut anchor = String::new();
    for (at, character) in name.char_indices() {
        if at > 0 && character.is_ascii_uppercase() {
            anchor.push('-');
        }
        anchor.push(character.to_ascii_lowercase());
    }
    anchor
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    let alerts = alerts();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for (name, alert) in alerts {
        let severe = ["critical", "warning"]
            .map(|severity| alert.contains(&format!("labels: {{severity: {severity}}}\n")));
        assert!(severe.contains(&true), "{name} has no severity");
        for annotation in ["summary", "description"] {
            assert!(
                alert.contains(&format!(" {annotation}: ")),
                "{name} has no {annotation}"
            );
        }
        let page = format!("runbook_url: docs/operations.md#{}\n", anchor(name));
        assert!(alert.contains(&page), "{name} lacks {page}");
    }
}

/// With the intervals of `prometheus.yaml`, and its rules.
async fn prometheus(service: &Service) -> Prometheus {
    let file = include_str!("../../prometheus.yaml");
    let (intervals, _) = file.split_once("rule_files:").unwrap();
    let (folder, address) = (env!("CARGO_MANIFEST_DIR"), service.address());
    Prometheus::start(&format!(
        "{intervals}rule_files: [{folder}/prometheus.rules.yaml]\n\
         scrape_configs: [{{job_name: stampede, static_configs: [{{targets: ['{address}']}}]}}]"
    ))
    .await
}

async fn number(prometheus: &Prometheus, expression: &str) -> Option<f64> {
    let found = prometheus.query(expression).await;
    found.first().map(|(_, value)| *value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_fires_its_alert_within_45_seconds() {
    let (postgres, redis) = (Postgres::start().await, Redis::start().await);
    let database = postgres.database().await;
    let settings = [
        ("DATABASE_URL", &*database),
        ("REDIS_URL", &*redis.url()),
        ("CACHE_TTL", "1s"),
    ];
    let service = Arc::new(Service::start(&settings).await);
    service.until_ready_says(ALL_WELL).await;
    let prometheus = prometheus(&service).await;
    let asked = Arc::clone(&service);
    let _traffic = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(10));
        for id in (1..=20).cycle() {
            ticks.tick().await;
            asked.template(id).await;
        }
    }));
    eventually("Prometheus has seen that all is well", async || {
        let well = "db_up == 1 and change_listener_up == 1 and rate(db_hits_total[20s]) > 0";
        number(&prometheus, well).await.is_some()
    })
    .await;
    let firing = "ALERTS{alertstate=\"firing\"}";
    assert!(prometheus.query(firing).await.is_empty());

    let gone_at = number(&prometheus, "vector(time())").await.unwrap();
    postgres.stop().await;
    // In two steps, each of which takes at most half of the time.
    for state in ["pending|firing", "firing"] {
        eventually(&format!("DatabaseAway is {state}"), async || {
            let alert = format!("ALERTS{{alertname=\"DatabaseAway\",alertstate=~\"{state}\"}}");
            number(&prometheus, &alert).await.is_some()
        })
        .await;
    }
    // By Prometheus' clock, at its own evaluation.
    let fired_at = "timestamp(ALERTS{alertname=\"DatabaseAway\",alertstate=\"firing\"})";
    let after = number(&prometheus, fired_at).await.unwrap() - gone_at;
    assert!(after <= 45.0, "{after} s");

    eventually("the dashboard shows it", async || {
        let shown = |name| first_row(&prometheus, name);
        shown("Database").await == Some(0.0)
            && shown("Cache").await == Some(1.0)
            && shown("Stale Share").await > Some(0.5)
            && shown("Firing Alerts").await >= Some(1.0)
    })
    .await;
    let table = table(&prometheus).await;
    let seen = format!("DatabaseAway fires {after:.1} s after the database has gone.\n\n{table}");
    std::fs::write(OUTAGE, seen).unwrap();
}

/// What is seen of an outage, for a person to read.
const OUTAGE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/outage.md");

/// What the dashboard asks with its own data source's intervals: four scrapes.
const RATE_INTERVAL: &str = "20s";

async fn first_row(prometheus: &Prometheus, name: &str) -> Option<f64> {
    let queries = queries(&dashboard(), RATE_INTERVAL);
    let query = queries.iter().find(|query| query.name == name).unwrap();
    number(prometheus, &query.expression).await
}

/// What every query of the dashboard returns now.
async fn table(prometheus: &Prometheus) -> String {
    let mut table = String::from("| panel | series | value |\n|---|---|---|\n");
    for query in queries(&dashboard(), RATE_INTERVAL) {
        for (labels, value) in prometheus.query(&query.expression).await {
            // There is one job and one replica.
            let series = labels
                .iter()
                .fold(query.legend.clone(), |series, (name, value)| {
                    let is_known = ["job", "instance", "revision"].contains(&name.as_str());
                    series.replace(
                        &format!("{{{{{name}}}}}"),
                        if is_known { "" } else { value },
                    )
                });
            let _ = writeln!(table, "| {} | {} | {value:.4} |", query.name, series.trim());
        }
    }
    table
}

#[tokio::test]
async fn a_cold_replica_repeats_no_query_and_a_stampede_does() {
    let cold = Service::start(&[("DB_DELAY", "0ms")]).await;
    for id in 1..=100 {
        assert_eq!(cold.callers(3, id).await[0].status, 200);
    }
    let scrape = cold.scrape().await;
    assert_eq!(scrape.value("db_hits_total"), 100.0);
    assert_eq!(scrape.value("db_queries_repeated_total"), 0.0);

    let unprotected = Service::start(&[("PROTECTION", "off"), ("DB_DELAY", "300ms")]).await;
    unprotected.callers(5, 1).await;
    let scrape = unprotected.scrape().await;
    let queries = scrape.value("db_hits_total");
    assert!(queries > 1.0, "{queries}");
    assert_eq!(scrape.value("db_queries_repeated_total"), queries - 1.0);
}

/// A writer that tries again and again with the wrong version makes queries, but no stampede.
#[tokio::test]
async fn writes_that_are_refused_repeat_no_query() {
    let service = Service::start(&[("ADMIN_TOKEN", TOKEN), ("DB_DELAY", "0ms")]).await;
    for _ in 0..5 {
        let wrong = [("if-match", "\"1-9\"")];
        let body = r#"{"name":"New"}"#;
        let answer = change(&service, "PUT", "id=1", body, &wrong).await;
        assert_eq!(answer.status, 412, "{}", answer.text());
    }
    let scrape = service.scrape().await;
    assert_eq!(scrape.value("db_queries_repeated_total"), 0.0);
}

#[tokio::test]
async fn without_redis_only_a_replica_without_copies_repeats_queries() {
    let redis = Redis::start().await;
    let url = redis.url();
    let replica = async |entries| {
        let settings = [
            ("REDIS_URL", url.as_str()),
            ("LOCAL_ENTRIES", entries),
            ("DB_DELAY", "0ms"),
        ];
        let service = Service::start(&settings).await;
        service.until_ready_says(ALL_WELL).await;
        service
    };
    let (with_copies, without) = (replica("1000").await, replica("0").await);
    redis.kill().await;
    for service in [&with_copies, &without] {
        service
            .until_ready_says("database: ok\ncache: down\n")
            .await;
        for _ in 0..5 {
            assert_eq!(service.template(1).await.status, 200);
        }
    }
    let repeated =
        async |service: &Service| service.scrape().await.value("db_queries_repeated_total");
    assert_eq!(
        [repeated(&with_copies).await, repeated(&without).await],
        [0.0, 4.0]
    );
}

#[tokio::test]
async fn whether_changes_are_heard_is_exported() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let service = Service::start(&[("DATABASE_URL", &database)]).await;
    let hears = async |value| service.scrape().await.value("change_listener_up") == value;
    eventually("changes are heard", async || hears(1.0).await).await;
    // Its session alone is ended, again and again: the database stays up.
    let listener = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '%listener'";
    eventually("changes are not heard", async || {
        postgres.fetch_i64(listener).await;
        hears(0.0).await
    })
    .await;
    assert_eq!(service.scrape().await.value("db_up"), 1.0);
    eventually("changes are heard again", async || hears(1.0).await).await;
}

/// The anchors of a page's headings, as the usual viewers make them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_alert_has_a_section_in_the_page_for_operators() {
    let page = std::fs::read_to_string("docs/operations.md").unwrap();
    let anchors = anchors(&page);
    for name in alerts().into_keys() {
        let anchor = anchor(name);
        assert!(anchors.contains(&anchor), "no section #{anchor}");
    }
}

//! What an operator reads in the log: what has started, what is dangerous, what an outage costs, and who asked.

use serde_json::Value;

use crate::process::{Process, stampede};
use testkit::{Postgres, eventually, http};

impl Process {
    /// The lines of a log in JSON. One that is not JSON fails the test.
    fn json(&self) -> Vec<Value> {
        let log = self.log();
        // The last line may be half-written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        whole.lines().map(line).collect()
    }

    fn find(&self, message: &str) -> Option<Value> {
        let mut lines = self.json().into_iter();
        lines.find(|line| line["message"] == message)
    }
}

#[tokio::test]
async fn the_start_is_one_line_that_says_what_runs() {
    let process = Process::start(&[("LOG_FORMAT", "json"), ("NEAR_FOR", "500ms")]).await;
    let line = process.find("stampede starts").unwrap();
    for (field, value) in [
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("database", "embedded".into()),
        ("cache", "embedded".into()),
        ("protection", "singleflight".into()),
        ("lab", true.into()),
        ("near", "500ms".into()),
        ("lease", Value::from(false)),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["revision"].is_string(), "{line}");
    assert!(!process.log().contains("WARN"), "{}", process.log());
}

#[tokio::test]
async fn the_start_warns_of_a_service_without_protection() {
    let process = Process::start(&[("PROTECTION", "off")]).await;
    let log = process.log();
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains("PROTECTION=off: "), "{log}");
}

#[tokio::test]
async fn refusals_are_summed_up_and_an_outage_says_at_its_end_how_long_it_was() {
    const ASKED: u64 = 30;
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let process = Process::start(&[("LOG_FORMAT", "json"), ("DATABASE_URL", &database)]).await;
    postgres.stop().await;
    process.until_metrics_say("db_up 0").await;
    for id in 1..=ASKED {
        let url = format!("{}/template-details?id={id}", process.url);
        assert_eq!(http::get(&url).await.status, 503);
    }
    // They may fall into two sums, but never into a line each.
    let sums = || -> Vec<u64> {
        let lines = process.json().into_iter();
        let refused = lines.filter(|line| line["message"] == "requests were refused");
        refused
            .map(|line| {
                assert_eq!(line["reason"], "unavailable", "{line}");
                line["requests"].as_u64().unwrap()
            })
            .collect()
    };
    eventually("the refusals are in the log", async || {
        sums().iter().sum::<u64>() == ASKED
    })
    .await;
    assert!(sums().len() <= 2, "{:?}", sums());
    postgres.start_again().await;
    eventually("the end of the outage is in the log", async || {
        process.find("the database was away").is_some()
    })
    .await;
    let end = process.find("the database was away").unwrap();
    assert_eq!(end["refused"], ASKED, "{end}");
    assert!(end["seconds"].as_u64().unwrap() >= 1, "{end}");
}

#[tokio::test]
async fn the_access_log_has_one_line_per_request_and_is_off_by_default() {
    let process = Process::start(&[("LOG_FORMAT", "json"), ("ACCESS_LOG", "true")]).await;
    let ask = async |path: &str, id: &str| {
        let url = format!("{}{path}", process.url);
        http::request("GET", &url, &[("x-request-id", id)])
            .await
            .status
    };
    assert_eq!(ask("/template-details?id=7", "first").await, 200);
    assert_eq!(ask("/template-details?id=7", "second").await, 200);
    assert_eq!(ask("/template-details?id=x", "wrong").await, 400);
    assert_eq!(ask("/healthz", "health").await, 200);
    let access = || -> Vec<Value> {
        let lines = process.json().into_iter();
        lines.filter(|line| line["target"] == "access").collect()
    };
    eventually("the lines are in the log", async || access().len() == 4).await;
    let lines = access();
    let ids: Vec<_> = lines.iter().map(|line| &line["request_id"]).collect();
    assert_eq!(ids, ["first", "second", "wrong", "health"]);
    let [first, second, wrong, health] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(first["cache"], "stampede; fwd=miss; stored");
    assert_eq!(
        (&second["template"], &second["status"]),
        (&7.into(), &200.into())
    );
    assert!(
        second["cache"]
            .as_str()
            .unwrap()
            .starts_with("stampede; hit"),
        "{second}"
    );
    assert!(second["milliseconds"].as_f64().unwrap() > 0.0, "{second}");
    assert_eq!(
        (&wrong["template"], &wrong["status"]),
        (&Value::Null, &400.into())
    );
    assert_eq!(health["path"], "/healthz");

    let quiet = Process::start(&[("RUST_LOG", "info")]).await;
    http::get(&format!("{}/template-details?id=7", quiet.url)).await;
    quiet.signal("TERM");
    eventually("it has ended in order", async || {
        quiet.log().contains("done")
    })
    .await;
    assert!(
        !quiet.log().contains("/template-details\""),
        "{}",
        quiet.log()
    );
    assert!(!quiet.log().contains("answered"), "{}", quiet.log());
}

#[tokio::test]
async fn what_other_programs_log_does_not_come_through() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let settings = [("LOG_FORMAT", "json"), ("DATABASE_URL", &*database)];
    // The second one finds the tables of the first, of which PostgreSQL notifies its client.
    for _ in 0..2 {
        let process = Process::start(&settings).await;
        process.until_metrics_say("db_up 1").await;
        for line in process.json() {
            let target = line["target"].as_str().unwrap();
            assert!(target.starts_with("stampede"), "{line}");
        }
        assert!(!process.log().contains("already exists"));
    }
    let mut loud = settings.to_vec();
    loud.push(("RUST_LOG", "info,sqlx=info"));
    let process = Process::start(&loud).await;
    process.until_metrics_say("db_up 1").await;
    assert!(
        process.log().contains("already exists"),
        "the notice that is left out"
    );
}

#[tokio::test]
async fn a_sqlite_file_that_cannot_be_written_ends_the_start() {
    for path in ["/no/such/folder/templates.db", "/proc/templates.db"] {
        let url = format!("sqlite://{path}");
        let mut process = Process::launch(&mut stampede(&[("DATABASE_URL", &url)]));
        assert_eq!(process.ended().await.code(), Some(1), "{}", process.log());
        let complaint = format!("the file {path} cannot be used: ");
        // It may have ended before its last line was read.
        eventually("the log says why", async || {
            process.log().contains(&complaint)
        })
        .await;
        assert!(!process.log().contains("WARN"), "{}", process.log());
    }
}

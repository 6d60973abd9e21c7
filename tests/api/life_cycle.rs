//! The process: settings, start, signals, log.

use std::error::Error;
use std::io::Read as _;
use std::process::Command;

use testkit::http::Answer;
use testkit::port::ReservedPort;
use testkit::{Postgres, Redis, Service, eventually, http};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::process::{Process, stampede};

#[test]
fn wrong_settings_end_with_2_and_name_every_one() {
    let settings = [
        ("CACHE_TTL", "soon"),
        ("DB_MAX_CONNECTIONS", "0"),
        ("REDIS_URL", "http://:hunter2@h"),
    ];
    let output = stampede(&settings).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in [
        "CACHE_TTL",
        "\"soon\" is not a duration",
        "CACHE_TTL=30s",
        "DB_MAX_CONNECTIONS",
        "REDIS_URL",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        !text.contains("hunter2") && !text.contains("listening"),
        "{text}"
    );
}

#[test]
fn an_address_that_a_client_does_not_accept_ends_with_2() {
    for (variable, address, part) in [
        ("DATABASE_URL", "postgres://h/d?sslmode=hunter2", ""),
        (
            "REDIS_URL",
            "redis-sentinel://u:hunter2@a,b",
            "the name of the master must follow",
        ),
        (
            "REDIS_URL",
            "redis-cluster://u:hunter2@a,b/7",
            "for example REDIS_URL=",
        ),
        ("REDIS_URL", "redis-ring://u:hunter2@a", "redis-cluster://"),
    ] {
        let settings = [(variable, address), ("HTTP_ADDR", "127.0.0.1:0")];
        let output = stampede(&settings).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            text.contains(variable) && text.contains(part) && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[test]
fn help_version_and_the_settings_are_printed() {
    for (flag, part) in [
        ("--help", "CACHE_TTL_JITTER"),
        ("--version", env!("CARGO_PKG_VERSION")),
        ("--print-config", "REDIS_TIMEOUT=70ms"),
    ] {
        let output = stampede(&[("REDIS_TIMEOUT", "70ms")])
            .arg(flag)
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout).unwrap().contains(part),
            "{flag}"
        );
    }
}

#[tokio::test]
async fn a_misspelt_variable_is_a_warning_with_the_nearest_name_and_without_its_value() {
    let settings = [("DB_TIMOUT", "hunter2"), ("HTTP_ADDR", "127.0.0.1:0")];
    let output = stampede(&settings).arg("--print-config").output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}");
    let logged = Process::start(&settings).await.log();
    for text in [printed, logged] {
        assert!(text.contains("DB_TIMOUT") && text.contains("did you mean DB_TIMEOUT?"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_ends_with_1() {
    let first = Process::start(&[]).await;
    let address = first.url.strip_prefix("http://").unwrap();
    let output = stampede(&[("HTTP_ADDR", address)]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("in use"));
}

#[tokio::test]
async fn the_embedded_default_answers_and_says_where_to_look() {
    let process = Process::start(&[]).await;
    assert_eq!(
        http::get(&format!("{}/template-details?id=1", process.url))
            .await
            .status,
        200
    );
    assert!(process.log().contains("/template-details?id=1") && process.log().contains("/metrics"));
}

#[tokio::test]
async fn the_health_check_asks_the_service_at_its_address() {
    let process = Process::start(&[]).await;
    let address = process.url.strip_prefix("http://").unwrap();
    let check = |address: &str| {
        stampede(&[("HTTP_ADDR", address)])
            .arg("healthcheck")
            .output()
            .unwrap()
            .status
    };
    assert_eq!(check(address).code(), Some(0));
    assert_eq!(
        check(&address.replace("127.0.0.1", "0.0.0.0")).code(),
        Some(0)
    );
    let nobody = ReservedPort::new();
    assert_eq!(
        check(&format!("127.0.0.1:{}", nobody.number())).code(),
        Some(1)
    );
}

#[tokio::test]
async fn a_signal_drains_what_is_under_way_and_ends_with_0() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut process = Process::start(&[("DB_DELAY", "500ms")]).await;
        let idle = tokio::net::TcpStream::connect(process.url.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        let under_way = tokio::spawn(http::get_owned(format!(
            "{}/template-details?id=1",
            process.url
        )));
        process.until_metrics_say("db_queries_in_flight 1").await;
        process.signal(signal);
        assert_eq!(under_way.await.unwrap().status, 200);
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
        drop(idle);
    }
}

/// A request whose query is running.
async fn request_at_the_database(
    process: &Process,
) -> JoinHandle<Result<Answer, Box<dyn Error + Send + Sync>>> {
    let url = format!("{}/template-details?id=1", process.url);
    let request = hyper::Request::get(url).body(Default::default()).unwrap();
    let asking = tokio::spawn(async move { http::Client::new().send(request).await });
    process.until_metrics_say("db_queries_in_flight 1").await;
    asking
}

#[tokio::test]
async fn a_drain_ends_with_the_grace() {
    let mut process = Process::start(&[
        ("DB_DELAY", "60s"),
        ("DB_TIMEOUT", "61s"),
        ("REQUEST_TIMEOUT", "70s"),
        ("SHUTDOWN_GRACE", "200ms"),
    ])
    .await;
    let stuck = request_at_the_database(&process).await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    assert!(stuck.await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut process = Process::start(&[
        ("DB_DELAY", "50s"),
        ("DB_TIMEOUT", "61s"),
        ("REQUEST_TIMEOUT", "70s"),
        ("SHUTDOWN_GRACE", "1h"),
    ])
    .await;
    let _stuck = request_at_the_database(&process).await;
    process.signal("TERM");
    eventually("it drains", async || process.log().contains("draining")).await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(1));
}

#[tokio::test]
async fn state_changes_are_logged_once_each_and_without_secrets() {
    let (database, redis) = (Postgres::start().await, Redis::start().await);
    let url = database
        .database()
        .await
        .replace("postgres@", "postgres:hunter2@");
    let process = Process::start(&[
        ("DATABASE_URL", &url),
        ("REDIS_URL", &redis.url()),
        ("CACHE_TTL", "1ms"),
    ])
    .await;
    let count = |text: &str| process.log().matches(text).count();
    let ask = async || {
        http::get(&format!("{}/template-details?id=1", process.url))
            .await
            .status
    };
    assert_eq!(ask().await, 200);
    redis.kill().await;
    eventually("the loss of Redis is logged", async || {
        count("redis is lost") == 1
    })
    .await;
    database.kill().await;
    eventually("the loss of the database is logged", async || {
        count("the database is lost") == 1
    })
    .await;
    for _ in 0..50 {
        ask().await;
    }
    database.start_again().await;
    eventually("the database's return is logged", async || {
        count("the database is there") == 2
    })
    .await;
    redis.start_again().await;
    eventually("the return of Redis is logged", async || {
        count("redis is there") == 2
    })
    .await;
    let warnings = process.log().matches("WARN").count();
    assert_eq!(warnings, 2, "{}", process.log());
    assert!(!process.log().contains("hunter2"));
}

#[tokio::test]
async fn log_lines_can_be_json_and_requests_are_logged_if_asked() {
    let process = Process::start(&[("LOG_FORMAT", "json"), ("ACCESS_LOG", "true")]).await;
    http::request(
        "GET",
        &format!("{}/healthz", process.url),
        &[("x-request-id", "find-me")],
    )
    .await;
    eventually("the request is logged", async || {
        process.log().contains("find-me")
    })
    .await;
    let log = process.log();
    let line: serde_json::Value =
        serde_json::from_str(log.lines().find(|line| line.contains("find-me")).unwrap()).unwrap();
    assert_eq!(
        (&line["path"], &line["status"]),
        (&"/healthz".into(), &200.into())
    );
    let quiet = Process::start(&[]).await;
    http::get(&format!("{}/healthz", quiet.url)).await;
    assert!(!quiet.log().contains("healthz"));
}

#[tokio::test]
async fn a_wave_of_connections_fits_into_the_backlog() {
    let process = Process::start(&[]).await;
    // Nobody accepts while the process is stopped, so all of them wait in the kernel.
    process.signal("STOP");
    let mut wave = Vec::new();
    for _ in 0..500 {
        let connect = TcpStream::connect(process.address());
        wave.push(
            tokio::time::timeout(std::time::Duration::from_secs(20), connect)
                .await
                .unwrap()
                .unwrap(),
        );
    }
    process.signal("CONT");
    let health = http::get(&format!("{}/healthz", process.url)).await;
    assert_eq!(health.status, 200);
}

#[tokio::test]
async fn from_the_signal_on_every_answer_closes_its_connection_and_readiness_is_503() {
    let mut service = Service::start(&[("DRAIN_DELAY", "1h")]).await;
    assert_eq!(service.template(1).await.header("connection"), None);
    service.shut_down();
    eventually("/readyz says so", async || {
        service.get("/readyz").await.status == 503
    })
    .await;
    for (path, status) in [
        ("/template-details?id=1", 200),
        ("/healthz", 200),
        ("/readyz", 503),
        ("/nowhere", 404),
    ] {
        let answer = service.get(path).await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (status, Some("close")),
            "{path}"
        );
    }
}

/// A connection on which this was sent and nothing is read.
async fn unread(process: &Process, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(process.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_and_slow_readers_do_not_keep_a_drain_from_ending_well() {
    let mut process = Process::start(&[("DB_DELAY", "700ms"), ("SHUTDOWN_GRACE", "3s")]).await;
    let mut idlers = Vec::new();
    for _ in 0..100 {
        idlers.push(unread(&process, "GET /template-details?id=1 HTTP/1.1\r\nhost:").await);
    }
    // More answers than the buffers on the way can take.
    let many = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200);
    for _ in 0..3 {
        idlers.push(unread(&process, &many).await);
    }
    let under_way: Vec<_> = (1..=5)
        .flat_map(|id| vec![id; 20])
        .map(|id| {
            tokio::spawn(http::get_owned(format!(
                "{}/template-details?id={id}",
                process.url
            )))
        })
        .collect();
    process.until_metrics_say("cache_misses_total 100").await;
    process.signal("TERM");
    eventually("it says that it drains", async || {
        process.log().contains("draining")
    })
    .await;
    let ready = http::get(&format!("{}/readyz", process.url)).await;
    assert_eq!(
        (ready.status, ready.header("content-type")),
        (503, Some("application/problem+json"))
    );
    for answer in under_way {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{}{}", answer.text(), process.log());
    }
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    drop(idlers);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_the_process_waits_for_some_and_does_not_spin() {
    let mut limited = Command::new("prlimit");
    limited
        .arg("--nofile=48:48")
        .arg(env!("CARGO_BIN_EXE_stampede"));
    let process = Process::run(limited.env_clear()).await;
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(TcpStream::connect(process.address()).await.unwrap());
    }
    eventually("it has no descriptor left", async || {
        process.log().contains("cannot accept connections")
    })
    .await;
    let cpu = async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.child.id())).unwrap();
        let ticks: Vec<u64> = stat
            .rsplit(") ")
            .next()
            .unwrap()
            .split(' ')
            .skip(11)
            .take(2)
            .map(|n| n.parse().unwrap())
            .collect();
        ticks.iter().sum::<u64>()
    };
    let before = cpu().await;
    // The pause is what is measured: how much of a second the process computes. A busy loop takes a hundred ticks of 10 ms.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let ticks = cpu().await - before;
    assert!(ticks < 30, "{ticks} ticks in a second of waiting");
    drop(connections);
    eventually("it answers again", async || {
        let get = hyper::Request::get(format!("{}/healthz", process.url))
            .body(Default::default())
            .unwrap();
        http::Client::new()
            .send(get)
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(
        process.log().matches("cannot accept").count(),
        1,
        "{}",
        process.log()
    );
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let mut child = stampede(&[]).arg("--print-config").spawn().unwrap();
    drop(child.stdout.take());
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(
        !text.contains("panicked") && child.wait().unwrap().code().is_some(),
        "{text}"
    );
}

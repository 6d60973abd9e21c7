//! Servers can be shared, harmed and mended, and none outlives its owner.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use testkit::{Browser, Postgres, Prometheus, Redis, eventually, http, postgres};

/// Long enough for a living server to answer; only ever awaited from one that must not.
const SILENCE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let postgres = postgres::shared().await;
    let (one, other) = (postgres.database().await, postgres.database().await);
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'";
    postgres::execute(
        &one,
        "CREATE TABLE mine (id int); INSERT INTO mine VALUES (1)",
    )
    .await;
    assert_eq!(postgres::fetch_i64(&one, tables).await, 1);
    assert_eq!(postgres::fetch_i64(&other, tables).await, 0);

    let redis = testkit::redis::shared().await;
    let (one, other) = (redis.database(), redis.database());
    testkit::redis::cli(&one, &["SET", "mine", "1"])
        .await
        .unwrap();
    assert_eq!(
        testkit::redis::cli(&other, &["GET", "mine"]).await.unwrap(),
        Value::Nil
    );
}

#[test]
fn shared_servers_serve_several_runtimes() {
    let ask = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { postgres::shared().await.fetch_i64("SELECT 1::bigint").await })
    };
    let threads = [std::thread::spawn(ask), std::thread::spawn(ask)];
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [1, 1]);
}

#[tokio::test]
async fn postgres_takes_further_settings() {
    let postgres = Postgres::start_with(&["max_connections=8", "log_connections=on"]).await;
    let most = "SELECT setting::bigint FROM pg_settings WHERE name = 'max_connections'";
    assert_eq!(postgres.fetch_i64(most).await, 8);
    // What the server writes is read by a thread of its own.
    eventually("its log says so", async || {
        postgres.log().contains("connection received")
    })
    .await;
}

#[tokio::test]
async fn postgres_comes_back_with_its_port_and_data() {
    let postgres = Postgres::start().await;
    postgres
        .execute("CREATE TABLE kept AS SELECT 7::bigint AS id")
        .await;
    let mut session = postgres::session(&postgres.url()).await;
    postgres.stop().await;
    assert!(
        TcpStream::connect(http::local(postgres.port()))
            .await
            .is_err()
    );
    assert!(sqlx::query("SELECT 1").execute(&mut session).await.is_err());
    postgres.start_again().await;
    assert_eq!(postgres.fetch_i64("SELECT id FROM kept").await, 7);

    let mut session = postgres::session(&postgres.url()).await;
    postgres.kill().await;
    assert!(
        TcpStream::connect(http::local(postgres.port()))
            .await
            .is_err()
    );
    let error = sqlx::query("SELECT 1")
        .execute(&mut session)
        .await
        .unwrap_err();
    assert!(
        error.as_database_error().is_none(),
        "told of the end: {error}"
    );
    postgres.start_again().await;
    assert_eq!(postgres.fetch_i64("SELECT id FROM kept").await, 7);
}

#[tokio::test]
async fn a_frozen_postgres_answers_once_thawed() {
    let postgres = Postgres::start().await;
    let mut session = postgres::session(&postgres.url()).await;
    postgres.freeze().await;
    let mut old = tokio::spawn(async move { sqlx::query("SELECT 1").execute(&mut session).await });
    let url = postgres.url();
    let mut new = tokio::spawn(async move { postgres::fetch_i64(&url, "SELECT 1::bigint").await });
    assert!(
        timeout(SILENCE, async {
            tokio::select!(_ = &mut old => (), _ = &mut new => ())
        })
        .await
        .is_err()
    );
    postgres.thaw().await;
    old.await.unwrap().unwrap();
    assert_eq!(new.await.unwrap(), 1);
    postgres.freeze().await;
    postgres.stop().await;
}

#[tokio::test]
async fn redis_comes_back_empty_on_its_port() {
    let redis = Redis::start().await;
    redis.cli(&["SET", "key", "value"]).await;
    redis.kill().await;
    assert!(
        testkit::redis::cli(&redis.url(), &["GET", "key"])
            .await
            .is_err()
    );
    redis.start_again().await;
    assert_eq!(redis.cli(&["GET", "key"]).await, Value::Nil);
    assert!(redis.log().contains("Ready to accept connections"));
}

#[tokio::test]
async fn a_frozen_redis_answers_once_thawed() {
    let redis = Redis::start().await;
    redis.freeze().await;
    let url = redis.url();
    let mut answer =
        tokio::spawn(async move { testkit::redis::cli(&url, &["ECHO", "now"]).await.unwrap() });
    assert!(timeout(SILENCE, &mut answer).await.is_err());
    redis.thaw().await;
    assert_eq!(answer.await.unwrap(), Value::BulkString(b"now".to_vec()));
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing() {
    let redis = Redis::start().await;
    let (folder, address) = (redis.folder().to_owned(), http::local(redis.port()));
    redis.freeze().await;
    drop(redis);
    gone(&folder).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_dropped_browser_leaves_nothing() {
    let browser = Browser::start().await;
    browser.open("about:blank").await;
    let folder = browser.folder().to_owned();
    let opened = processes_that_name(&folder);
    drop(browser);
    gone(&folder).await;
    assert!(opened > 0);
    eventually("the browser has ended", async || {
        processes_that_name(&folder) == 0
    })
    .await;
}

/// How many processes have `folder` in their command line.
fn processes_that_name(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    lines
        .filter(|line| line.contains("--type=") && line.contains(folder))
        .count()
}

/// Set for the process that [`servers_end_with_a_killed_owner`] kills.
const VICTIM: &str = "STAMPEDE_TEST_VICTIM";

#[tokio::test]
async fn servers_end_with_a_killed_owner() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "servers::private_servers_and_the_shared_one_run_side_by_side",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let owned: Vec<_> = output
        .filter_map(|line| line.strip_prefix("owns ").map(str::to_owned))
        .take(3)
        .collect();
    assert_eq!(owned.len(), 3, "{owned:?}");
    let servers = owned.iter().map(|line| line.split_once(' ').unwrap());
    let servers: Vec<(u16, &Path)> = servers
        .map(|(port, path)| (port.parse().unwrap(), Path::new(path)))
        .collect();
    assert!(servers.iter().all(|(port, folder)| {
        std::net::TcpStream::connect(http::local(*port)).is_ok() && folder.exists()
    }));
    victim.kill().unwrap();
    victim.wait().unwrap();
    for (port, folder) in servers {
        gone(folder).await;
        assert!(TcpStream::connect(http::local(port)).await.is_err());
    }
}

#[tokio::test]
async fn private_servers_and_the_shared_one_run_side_by_side() {
    let (postgres, redis) = (Postgres::start().await, Redis::start().await);
    let shared = testkit::redis::shared().await;
    assert_ne!(redis.port(), shared.port());
    assert_eq!(postgres.fetch_i64("SELECT 1::bigint").await, 1);
    if std::env::var_os(VICTIM).is_some() {
        postgres.freeze().await;
        let owned = [
            (postgres.port(), postgres.folder()),
            (redis.port(), redis.folder()),
            (shared.port(), shared.folder()),
        ];
        let mut output = std::io::stdout().lock();
        for (port, folder) in owned {
            writeln!(output, "\nowns {port} {}", folder.display()).unwrap();
        }
        output.flush().unwrap();
        std::future::pending().await
    }
}

async fn gone(folder: &Path) {
    eventually("the server's folder is gone", async || !folder.exists()).await;
}

#[tokio::test]
async fn prometheus_answers_queries() {
    let prometheus = Prometheus::start("global: { scrape_interval: 1s }").await;
    let found = prometheus.query("vector(2) + 1").await;
    assert_eq!(found, [(Default::default(), 3.0)]);
}

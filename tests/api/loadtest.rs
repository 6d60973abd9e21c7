//! The load test, run against the real service: what it reports is what the service counted, and it fails when it should.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use testkit::guarded::off_runtime;
use testkit::port::ReservedPort;
use testkit::{Redis, Scrape, Service, eventually};

/// Small enough for a second, large enough for a stampede.
const SMALL: [&str; 10] = [
    "--json",
    "--waves=3",
    "--concurrency=40",
    "--spread=20",
    "--ids=50",
    "--pause=0",
    "--seed=7",
    "--outage-command=false",
    "--restore-command=true",
    "--outage",
];

/// The options of [`SMALL`] that every kind of run has.
const PLAIN: usize = 7;

fn script() -> Command {
    let mut bash = Command::new("bash");
    bash.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest.sh"));
    bash.stdin(Stdio::null())
        .env("http_proxy", "http://127.0.0.1:1");
    bash
}

async fn run(arguments: &[&str]) -> Output {
    let mut script = script();
    script.args(arguments);
    off_runtime(move || script.output().unwrap()).await
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error} in {text}\n{}", said(output)))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn reports_what_the_service_counted() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let before = Scrape::of(&service).await;
    let output = run(&[&[service.as_str()], &SMALL[..PLAIN]].concat()).await;
    let counted = &Scrape::of(&service).await - &before;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let run = &report(&output)["parts"]["run"];

    assert_eq!((&run["requests"], &run["errors"]), (&180.into(), &0.into()));
    assert_eq!(counted.sum("template_responses_total"), 180.0);
    for (key, series) in [
        ("queries", "db_hits_total"),
        ("shared", "singleflight_shared_total"),
    ] {
        assert_eq!(run[key].as_f64(), Some(counted.value(series)), "{key}");
    }
    let hits = counted.value("cache_hits_total");
    let share = 100.0 * hits / (hits + counted.value("cache_misses_total"));
    let reported = run["hit_percent"].as_f64().unwrap();
    assert!((reported - share).abs() < 0.01, "{reported} is not {share}");
    let [p50, p95, p99] = ["p50_ms", "p95_ms", "p99_ms"].map(|key| run[key].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p95 && p95 <= p99, "{run}");
}

#[tokio::test]
async fn the_report_for_people_fits_a_terminal() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let output = run(&[&[service.as_str()], &SMALL[1..PLAIN]].concat()).await;
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        text.contains("  requests                        180\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

#[tokio::test]
async fn a_request_that_fails_fails_the_test() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let arguments = [
        service.as_str(),
        "--ids=101",
        "--spread=101",
        "--waves=1",
        "--json",
    ];
    let output = run(&arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(report(&output)["parts"]["run"]["errors"].as_u64().unwrap() >= 1);
    assert!(said(&output).contains("x status 404"), "{}", said(&output));
}

#[tokio::test]
async fn says_so_when_nothing_answers() {
    let nobody = ReservedPort::new();
    let address = format!("http://127.0.0.1:{}", nobody.number());
    let output = run(&[address.as_str()]).await;
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("nothing answers at {address}\n");
    assert!(said(&output).contains(&expected), "{}", said(&output));
    assert!(
        said(&output).contains("docker compose up"),
        "what to do: {}",
        said(&output)
    );
}

#[tokio::test]
async fn refuses_options_that_make_no_sense() {
    let cases: [(&[&str], &str); 10] = [
        (&["--waves", "many"], "--waves"),
        (&["--waves"], "--waves"),
        (&["--concurrency=301"], "--concurrency"),
        (&["--pause=1s"], "--pause"),
        (&["--frequency=1"], "--frequency"),
        (&["localhost"], "localhost"),
        (&["http://a", "http://b"], "http://b"),
        (&["--compare", "--outage"], "--compare and --outage"),
        (&["--outage", "--waves=2"], "three waves"),
        (&["--compare", "--ids=25"], "--ids"),
    ];
    for (arguments, named) in cases {
        let output = run(arguments).await;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
        assert!(
            said(&output).contains(named),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

#[tokio::test]
async fn the_help_names_every_option_and_fits_a_terminal() {
    let output = run(&["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.lines().all(|line| line.len() <= 80));
    for option in SMALL {
        let name = option.split('=').next().unwrap();
        assert!(help.contains(&format!("  {name} ")), "{name}");
    }
}

#[tokio::test]
async fn a_comparison_shows_what_the_protection_is_worth() {
    // So slow that a wave is all there before the first answer, and with a slot for each of its queries.
    let slow = [("DB_DELAY", "200ms"), ("DB_MAX_CONNECTIONS", "40")];
    let on = Service::start(&slow).await;
    let off = Service::start(&[&slow[..], &[("PROTECTION", "off")]].concat()).await;
    let (protected, unprotected) = (on.url(""), off.url(""));
    let arguments = [&["--compare", &unprotected, &protected], &SMALL[..PLAIN]].concat();
    let output = run(&arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let parts = &report(&output)["parts"];
    let of = |part: &str, key: &str| parts[part][key].as_u64().unwrap();
    assert_eq!(
        (of("unprotected", "requests"), of("protected", "requests")),
        (180, 180)
    );
    assert_eq!(of("protected", "queries"), 50, "one for each id: {parts}");
    assert!(of("unprotected", "queries") > 100, "{parts}");
    assert!(
        of("protected", "shared") > 100 && of("unprotected", "shared") == 0,
        "{parts}"
    );

    let again = run(&arguments).await;
    assert!(said(&again).contains("cached already"), "{}", said(&again));
}

#[tokio::test]
async fn an_outage_is_seen_before_during_and_after() {
    let redis = Redis::start().await;
    let running = Service::start(&[("REDIS_URL", &redis.url())]).await;
    let service = running.url("");
    let redis::Value::BulkString(about) = redis.cli(&["INFO", "server"]).await else {
        panic!("a text");
    };
    let about = String::from_utf8(about).unwrap();
    let process = about
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"));
    let [away, back] =
        ["STOP", "CONT"].map(|signal| format!("kill -{signal} {}", process.unwrap()));
    let commands = [
        "--outage",
        "--outage-command",
        &away,
        "--restore-command",
        &back,
        &service,
    ];
    let output = run(&[&commands, &SMALL[..PLAIN]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let parts = &report(&output)["parts"];
    for part in ["before", "during", "after"] {
        assert_eq!(parts[part]["requests"], 60, "{parts}");
        assert_eq!(parts[part]["errors"], 0, "{parts}");
    }
    assert_eq!(parts["before"]["copies"], 0, "{parts}");
    assert!(parts["during"]["copies"].as_u64() > Some(0), "{parts}");
    assert_eq!(
        redis.cli(&["ECHO", "back"]).await,
        redis::Value::BulkString(b"back".to_vec())
    );
}

#[tokio::test]
async fn an_outage_that_cannot_be_made_fails_the_test() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let output = run(&[&[service.as_str()], &SMALL[..]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    let expected = "this did not take Redis away: false";
    assert!(said(&output).contains(expected), "{}", said(&output));
}

#[tokio::test]
async fn brings_redis_back_when_it_is_interrupted() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let scratch = std::env::temp_dir().join(format!("stampede-test-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&scratch).unwrap();
    let mut script = script();
    script
        .current_dir(&scratch)
        .stdout(Stdio::null())
        .args([
            "--outage-command=touch away",
            "--restore-command=touch back",
        ])
        .args([
            "--outage",
            "--waves=3",
            "--concurrency=1",
            "--pause=1",
            &service,
        ]);
    let mut test = script.spawn().unwrap();
    eventually("Redis is away", async || scratch.join("away").exists()).await;
    let process = test.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &process])
            .status()
            .unwrap()
            .success()
    );
    eventually("Redis is back", async || scratch.join("back").exists()).await;
    let status = off_runtime(move || test.wait().unwrap()).await;
    std::fs::remove_dir_all(&scratch).unwrap();
    assert_eq!(status.code(), Some(143));
}

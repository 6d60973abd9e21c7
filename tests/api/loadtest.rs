//! The load test, run against the real service: what it reports is what the service counted, and it fails when it should.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use testkit::guarded::off_runtime;
use testkit::port::ReservedPort;
use testkit::{Redis, Scrape, Service};

/// Small enough for a second, large enough for a stampede.
const SMALL: [&str; 5] = [
    "--waves=3",
    "--concurrency=40",
    "--spread=20",
    "--ids=50",
    "--pause=0",
];

async fn run(arguments: &[&str]) -> Output {
    let mut script = Command::new("bash");
    script
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest.sh"))
        .args(arguments)
        .stdin(Stdio::null())
        .env("http_proxy", "http://127.0.0.1:1");
    off_runtime(move || script.output().unwrap()).await
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The figures in one row of the report, one for each service; `None` is a dash.
fn row(output: &Output, label: &str) -> Vec<Option<f64>> {
    let text = shown(output);
    let start = format!("  {label}  ");
    let row = text.lines().find_map(|line| line.strip_prefix(&start));
    let row = row.unwrap_or_else(|| panic!("{label} in {text}{}", said(output)));
    let cells = row
        .split_whitespace()
        .filter(|cell| !["%", "ms"].contains(cell));
    cells.map(|cell| cell.parse().ok()).collect()
}

#[tokio::test]
async fn reports_what_the_service_counted() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let before = Scrape::of(&service).await;
    let output = run(&[&[service.as_str()], &SMALL[..]].concat()).await;
    let counted = &Scrape::of(&service).await - &before;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    assert_eq!(row(&output, "requests"), [Some(180.0)]);
    assert_eq!(row(&output, "errors"), [Some(0.0)]);
    assert_eq!(counted.sum("template_responses_total"), 180.0);
    for (label, series) in [
        ("database queries", "db_hits_total"),
        ("shared a load", "singleflight_shared_total"),
    ] {
        assert_eq!(
            row(&output, label),
            [Some(counted.value(series))],
            "{label}"
        );
    }
    let hits = counted.value("cache_hits_total");
    let share = 100.0 * hits / (hits + counted.value("cache_misses_total"));
    let reported = row(&output, "cache hit rate")[0].unwrap();
    assert!((reported - share).abs() < 0.01, "{reported} is not {share}");
    let [p50, p95, p99] = ["p50", "p95", "p99"].map(|label| row(&output, label)[0].unwrap());
    assert!(0.0 < p50 && p50 <= p95 && p95 <= p99, "{p50} {p95} {p99}");
}

#[tokio::test]
async fn the_report_fits_a_terminal_and_says_what_its_times_are() {
    let running = Service::start(&[]).await;
    let output = run(&[&[running.url("").as_str()], &SMALL[..]].concat()).await;
    let text = shown(&output);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert!(
        text.contains("closed loop") && text.contains("those of curl"),
        "{text}"
    );
}

#[tokio::test]
async fn a_request_that_fails_fails_the_test() {
    let running = Service::start(&[]).await;
    let service = running.url("");
    let output = run(&[&service, "--ids=101", "--spread=101", "--waves=1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(row(&output, "errors")[0].unwrap() >= 1.0);
    assert!(said(&output).contains("x status 404"), "{}", said(&output));
}

#[tokio::test]
async fn says_so_when_nothing_answers() {
    let nobody = ReservedPort::new();
    let address = format!("http://127.0.0.1:{}", nobody.number());
    let output = run(&[address.as_str()]).await;
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("no counters of the service at {address}/metrics\n");
    assert!(said(&output).contains(&expected), "{}", said(&output));
    let advice = "docker compose up";
    assert!(said(&output).contains(advice), "{}", said(&output));
}

#[tokio::test]
async fn refuses_options_that_make_no_sense() {
    let cases: [(&[&str], &str); 9] = [
        (&["--waves", "many"], "--waves"),
        (&["--waves"], "--waves"),
        (&["--concurrency=301"], "--concurrency"),
        (&["--pause=1s"], "--pause"),
        (&["--frequency=1"], "--frequency"),
        (&["localhost"], "localhost"),
        (&["http://a", "http://b"], "http://b"),
        (&["--compare", "--ids=25"], "--ids"),
        (&["--compare", "--metrics=http://a"], "--compare"),
    ];
    for (arguments, named) in cases {
        let output = run(arguments).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn the_help_names_every_option_and_fits_a_terminal() {
    let output = run(&["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let help = shown(&output);
    assert!(help.lines().all(|line| line.len() <= 80));
    for option in SMALL.iter().chain(&["--metrics", "--compare"]) {
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
    let arguments = [&["--compare", &unprotected, &protected], &SMALL[..]].concat();
    let output = run(&arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let of = |label| match row(&output, label)[..] {
        [Some(unprotected), Some(protected)] => (unprotected, protected),
        ref cells => panic!("{label}: {cells:?}"),
    };
    let text = shown(&output);
    assert_eq!(of("requests"), (180.0, 180.0), "{text}");
    let (without, with) = of("database queries");
    assert_eq!(with, 50.0, "one for each id: {text}");
    assert!(without > 100.0, "{text}");
    let (without, with) = of("shared a load");
    assert!(with > 100.0 && without == 0.0, "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");

    let again = run(&arguments).await;
    assert!(
        shown(&again).contains("cached already"),
        "{}",
        shown(&again)
    );
}

#[tokio::test]
async fn an_outage_of_redis_is_seen_as_answers_from_own_copies() {
    let redis = Redis::start().await;
    let running = Service::start(&[("REDIS_URL", &redis.url())]).await;
    let service = running.url("");
    let arguments = [&[service.as_str()], &SMALL[..]].concat();
    // The first run asks for each id once; its spread has 20 for each of three waves.
    let well = run(&arguments).await;
    assert_eq!(row(&well, "from own copies"), [Some(0.0)]);
    drop(redis);
    let away = run(&arguments).await;
    assert_eq!(away.status.code(), Some(0), "{}", said(&away));
    assert_eq!(row(&away, "from own copies"), [Some(180.0)]);
    assert_eq!(row(&away, "database queries"), [Some(0.0)]);
    assert_eq!(row(&away, "requests per query"), [None]);
}

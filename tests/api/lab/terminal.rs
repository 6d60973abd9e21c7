//! `stampede lab`: the same without a server and without a browser.

use std::process::{Command, Output};

use serde_json::Value;

use super::{Page, embedded};

/// Runs the command with these settings to its end.
async fn lab(arguments: &'static [&str], settings: &'static [(&str, &str)]) -> Output {
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
        command.arg("lab").args(arguments).env_clear();
        command.envs(settings.iter().copied()).output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn queries(document: &Value) -> Vec<(String, u64)> {
    let strategies = document["result"]["strategies"].as_array().unwrap();
    let of = |strategy: &Value| {
        (
            strategy["strategy"].as_str().unwrap().to_owned(),
            strategy["queries"].as_u64().unwrap(),
        )
    };
    strategies.iter().map(of).collect()
}

#[tokio::test]
async fn the_figures_are_those_of_the_counters_and_those_of_a_run_over_http() {
    let output = lab(
        &["--callers", "100", "--query-time", "500ms", "--json"],
        &[],
    )
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let in_terminal = queries(&document);
    let sum: u64 = in_terminal.iter().map(|(_, queries)| queries).sum();
    assert_eq!(document["metrics"]["db_hits_total"], sum);
    assert_eq!(
        document["metrics"]["singleflight_flights_total{outcome=\"ok\"}"],
        1
    );
    assert_eq!(document["metrics"]["singleflight_shared_total"], 100);

    let service = embedded().await;
    let order = serde_json::json!({"callers": 100, "query_time_ms": 500});
    let before = service.scrape().await;
    let run = Page::of(&service).run("stampede", order).await;
    let grown = &service.scrape().await - &before;
    let over_http = queries(&run);
    let sum: u64 = over_http.iter().map(|(_, queries)| queries).sum();
    assert_eq!(grown.value("db_hits_total"), sum as f64);
    assert_eq!(run["parameters"], document["parameters"]);
    for figures in [in_terminal, over_http] {
        let names: Vec<_> = figures.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["off", "load-or-store", "mutex", "singleflight"]);
        assert!(figures[0].1 >= 50 && figures[1].1 >= 50, "{figures:?}");
        assert_eq!((figures[2].1, figures[3].1), (1, 1));
    }
}

#[tokio::test]
async fn the_table_fits_eighty_columns_and_says_what_each_strategy_is_good_and_bad_at() {
    let output = lab(&["--callers", "20", "--query-time", "200ms"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    assert!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );
    for word in [
        "strategy",
        "queries",
        "predicted",
        "at once",
        "p50",
        "p95",
        "max",
        "errors",
        "As promised",
    ] {
        assert!(table.contains(word), "{word}: {table}");
    }
    for name in ["off", "load-or-store", "mutex", "singleflight"] {
        assert!(
            table.lines().any(|line| line.starts_with(name)),
            "{name}: {table}"
        );
        assert!(
            text(&output.stderr).contains(name),
            "no progress: {}",
            text(&output.stderr)
        );
    }
}

#[tokio::test]
async fn a_broken_promise_is_exit_1() {
    // A cache that is away keeps nothing, so that those behind the mutex find nothing at their second look.
    let away = &[("REDIS_URL", "redis://127.0.0.1:1"), ("LAB", "true")];
    let output = lab(
        &[
            "--callers",
            "5",
            "--query-time",
            "20ms",
            "--strategies",
            "mutex",
        ],
        away,
    )
    .await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("NOT as promised"));
    // The service's own copy keeps its promise all the same.
    let output = lab(
        &[
            "--callers",
            "5",
            "--query-time",
            "200ms",
            "--strategies",
            "singleflight",
        ],
        away,
    )
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[tokio::test]
async fn what_cannot_be_run_is_exit_1_and_said_on_standard_error() {
    let away = &[
        ("DATABASE_URL", "postgres://a@127.0.0.1:1/b"),
        ("LAB", "true"),
    ];
    let output = lab(&["--callers", "5"], away).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the database cannot be reached"));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[tokio::test]
async fn it_listens_nowhere_so_that_any_address_will_do() {
    let arguments = &["--callers", "5", "--strategies", "singleflight"];
    let output = lab(arguments, &[("HTTP_ADDR", "0.0.0.0:8080")]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[tokio::test]
async fn its_help_fits_eighty_columns_and_says_what_its_exit_codes_mean() {
    for arguments in [
        &["--help"][..],
        &["incident", "--help"],
        &["experiment", "--help"],
    ] {
        let output = lab(arguments, &[]).await;
        let help = text(&output.stdout);
        assert!(help.contains("Exit 0"), "{help}");
        let wide = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None);
    }
}

#[tokio::test]
async fn an_experiment_is_a_table_of_what_was_predicted_and_measured() {
    let output = lab(&["experiment", "failing-load"], &[]).await;
    let page = text(&output.stdout);
    // 1 if a prediction did not hold, as on a machine that is very busy.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{page}");
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    for said in ["Predicted:", "mutex", "20 (20)", "1 (1)", "predicted:"] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[tokio::test]
async fn what_it_may_not_do_is_exit_2() {
    for (arguments, settings, said) in [
        (
            &["--callers", "5001"][..],
            &[][..],
            "callers must be from 1 to 5000",
        ),
        (&["--query-time", "long"], &[], "query-time"),
        (&["--strategies", "off,luck"], &[], "strategies are"),
        (&["incident", "--outage", "1h"], &[], "outage_ms"),
        (&["experiment", "luck"], &[], "experiment must be jitter"),
        (&["--callers", "5", "incident"], &[], "incident"),
        (&[], &[("LAB", "false")], "LAB=false"),
        (&[], &[("REDIS_URL", "redis://127.0.0.1:1")], "LAB=true"),
    ] {
        let output = lab(arguments, settings).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {settings:?}");
        assert!(
            text(&output.stderr).contains(said),
            "{}",
            text(&output.stderr)
        );
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn the_incident_is_a_timeline() {
    let output = lab(
        &[
            "incident",
            "--warm",
            "1s",
            "--outage",
            "2s",
            "--recovery",
            "1s",
        ],
        &[],
    )
    .await;
    let timeline = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{timeline}");
    assert!(
        timeline.lines().all(|line| line.chars().count() <= 80),
        "{timeline}"
    );
    for word in [
        "unprotected",
        "singleflight",
        "everything",
        "black-holed",
        "outage",
        "recovery",
        "As promised",
    ] {
        assert!(timeline.contains(word), "{word}: {timeline}");
    }
}

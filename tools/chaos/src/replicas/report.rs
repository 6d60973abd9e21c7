//! The summary of a run.

use testkit::Scrape;

use super::caller::Scene;
use super::options::ReplicasOptions;
use super::verdict::Verdict;
use crate::history::History;
use crate::report::{WIDTH, latency, row, tallied};

const SOURCES: [&str; 9] = [
    "hit",
    "near",
    "local",
    "loaded",
    "shared",
    "stale",
    "not_found",
    "shed",
    "error",
];

/// What is counted of each replica besides.
const COUNTERS: [&str; 4] = [
    "db_hits_total",
    "stale_writes_prevented_total",
    "invalidations_total",
    "cache_errors_total",
];

/// Shows it.
pub(crate) async fn show(
    options: &ReplicasOptions,
    scene: &Scene,
    history: &History,
    verdict: &Verdict,
    states: usize,
) {
    let counts = scene.tally.so_far();
    println!("{:=<WIDTH$}", "");
    row("run", &options.line());
    let rate = counts.answers() as f64 / scene.tally.elapsed().as_secs_f64();
    row(
        "operations",
        &format!(
            "{} ({rate:.0}/s) = {}",
            counts.answers(),
            counts.by_source()
        ),
    );
    row("states", &format!("{states} in the database"));
    for (number, replica) in scene.fleet.replicas.iter().enumerate() {
        let scrape = Scrape::of(&replica.url("")).await;
        let sources = SOURCES.map(|source| {
            let series = format!("template_responses_total{{source=\"{source}\"}}");
            format!("{source} {}", scrape.value(&series))
        });
        let counters = COUNTERS.map(|name| format!("{name} {}", scrape.sum(name)));
        row(
            &format!("replica {number}"),
            &format!("{}; {}", sources.join(", "), counters.join(", ")),
        );
    }
    let names = history.names();
    row("faults", &format!("{} = {}", names.len(), tallied(&names)));
    row("latency", &latency(&counts.well));
    let ages = verdict.ages.iter().map(|(source, (oldest, count))| {
        format!("{source} {count} times, at most {} ms", oldest / 1_000)
    });
    let ages: Vec<_> = ages.collect();
    row(
        "replaced",
        &format!("and read all the same: {}", ages.join("; ")),
    );
    let rules: Vec<_> = verdict
        .violations
        .iter()
        .map(|violation| violation.rule.to_string())
        .collect();
    let number = rules.len();
    row(
        "violations",
        &if number == 0 {
            "0".into()
        } else {
            format!("{number} = {}", tallied(&rules))
        },
    );
    println!("{:=<WIDTH$}", "");
}

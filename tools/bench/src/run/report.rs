//! The results, for people (a table, a picture) and for programs.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::measures::{Measures, median, noise};
use crate::picture;
use crate::targets::{Limit, Result};

/// What has figures of its own, beside those that have targets.
const LOADS: [(&str, &str); 9] = [
    ("hello", "hello of bare axum"),
    ("hit", "Redis hit"),
    ("304", "304, after asking Redis"),
    ("local", "local hit, Redis away"),
    ("near", "near hit"),
    ("hello by 4000", "hello, 4,000 callers"),
    ("hit by 4000", "Redis hit, 4,000 callers"),
    ("hit of 100", "Redis hit of 100 templates"),
    ("hit of 1000000", "Redis hit of 1,000,000"),
];

/// The table.
pub(crate) fn print(measures: &Measures, results: &[Result]) {
    if !measures.of("hello cpu").is_empty() {
        println!(
            "{:30} {:>12} {:>14} {:>10}",
            "medians", "CPU us", "requests/s", "p99 us"
        );
    }
    for (name, what) in LOADS {
        let of = |unit: &str| median(measures.of(&format!("{name} {unit}")));
        if !measures.of(&format!("{name} cpu")).is_empty() {
            println!(
                "{what:30} {:12.1} {:14.0} {:10.0}",
                of("cpu"),
                of("rate"),
                of("p99")
            );
        }
    }
    println!(
        "\n{:40} {:>9} {:>7} {:>10}",
        "", "measured", "noise", "target"
    );
    for result in results {
        let verdict = if result.is_met() { "" } else { "  MISSED" };
        println!(
            "{:40} {:9.2} {:7.2} {:>10} {:3}{verdict}",
            result.name,
            result.figure,
            result.noise,
            limit(result),
            result.unit,
        );
    }
}

fn limit(result: &Result) -> String {
    match result.limit {
        Limit::AtMost(limit) => format!("<= {limit}"),
        Limit::AtLeast(limit) => format!(">= {limit}"),
        Limit::Flat(limit) => format!("1 +- {limit}"),
    }
}

/// Writes `tools/bench/results.json` and `tools/bench/results.svg`.
pub(crate) fn save(measures: &Measures, results: &[Result]) -> io::Result<()> {
    let figures: serde_json::Map<String, Value> = measures
        .all()
        .map(|(name, figures)| {
            let figure = json!({ "median": round(median(figures)), "noise": round(noise(figures)), "rounds": figures.len() });
            (name.to_owned(), figure)
        })
        .collect();
    let targets: Vec<Value> = results
        .iter()
        .map(|result| {
            json!({
                "name": result.name,
                "measured": round(result.figure),
                "noise": round(result.noise),
                "target": limit(result),
                "unit": result.unit,
                "met": result.is_met(),
            })
        })
        .collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let all = json!({ "cores": cores, "figures": figures, "targets": targets });
    let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)?;
    fs::write(path("results.json"), text + "\n")?;
    fs::write(path("results.svg"), picture::draw(results))?;
    println!("\nwritten: tools/bench/results.json, tools/bench/results.svg");
    Ok(())
}

fn round(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

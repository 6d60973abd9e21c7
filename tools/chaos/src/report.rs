//! What is shown: a line every few seconds, and the report at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::history::History;
use crate::options::Options;
use crate::tally::{Counts, Latencies, Tally};
use crate::watch::Level;

const PERIOD: Duration = Duration::from_secs(5);
/// The columns that a report is wide.
pub(crate) const WIDTH: usize = 80;

/// Shows a line every few seconds until it is dropped.
pub(crate) async fn progress(tally: &Tally, history: &History) {
    loop {
        sleep(PERIOD).await;
        let (counts, now) = (tally.so_far(), Instant::now());
        println!(
            "{:>4} s  {:>7}: {} | broken: {}",
            tally.elapsed().as_secs(),
            counts.answers(),
            counts.by_source(),
            history.between(now, now)
        );
    }
}

/// What the end of a run has to say.
pub(crate) struct Report<'a> {
    pub(crate) options: Options,
    pub(crate) counts: Counts,
    pub(crate) faults: Vec<String>,
    pub(crate) updates: usize,
    pub(crate) before: Level,
    pub(crate) after: Level,
    /// In MiB, over time.
    pub(crate) memory: &'a [u64],
}

impl Report<'_> {
    /// Shows it.
    pub(crate) fn show(&self) {
        let Options { seed, length, rate } = self.options;
        let counts = &self.counts;
        println!("{:=<WIDTH$}", "");
        row(
            "run",
            &format!(
                "seed {seed}, {}, {rate} requests/s",
                humantime::format_duration(length)
            ),
        );
        row(
            "answers",
            &format!("{} = {}", counts.answers(), counts.by_source()),
        );
        row(
            "hung up",
            &format!("{} callers, before there was an answer", counts.hung_up),
        );
        row("updates", &format!("{} rows, one at a time", self.updates));
        row(
            "faults",
            &format!("{} = {}", self.faults.len(), tallied(&self.faults)),
        );
        row(
            "latency",
            &format!(
                "from the intended time, database well: {}",
                latency(&counts.well)
            ),
        );
        row(
            "",
            &format!(
                "from the intended time, database broken: {}",
                latency(&counts.broken)
            ),
        );
        row(
            "tasks",
            &format!(
                "{} after warm-up, {} at the end",
                self.before.tasks, self.after.tasks
            ),
        );
        row(
            "descriptors",
            &format!(
                "{} after warm-up, {} at the end",
                self.before.descriptors, self.after.descriptors
            ),
        );
        let quarters = self
            .memory
            .chunks(self.memory.len().div_ceil(4).max(1))
            .map(median);
        let quarters: Vec<_> = quarters.map(|mib| mib.to_string()).collect();
        let (before, after) = (self.before.mib, self.after.mib);
        row(
            "memory",
            &format!(
                "{before} MiB, {after} at the end; medians of the quarters {}",
                quarters.join(", ")
            ),
        );
        row("violations", &counts.violations.to_string());
        println!("{:=<WIDTH$}", "");
    }
}

/// Shows one row, wrapped.
pub(crate) fn row(name: &str, text: &str) {
    const INDENT: usize = 13;
    let mut line = format!("{name:<INDENT$}");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            println!("{}", line.trim_end());
            line = " ".repeat(INDENT);
        }
        line += word;
        line.push(' ');
    }
    println!("{}", line.trim_end());
}

/// How often each name is there.
pub(crate) fn tallied(names: &[String]) -> String {
    let mut counts = BTreeMap::<_, u32>::new();
    names
        .iter()
        .for_each(|name| *counts.entry(name).or_default() += 1);
    let words: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(", ")
}

/// The quantiles.
pub(crate) fn latency(latencies: &Latencies) -> String {
    let [half, most, nearly_all, all] = [0.5, 0.99, 0.999, 1.0].map(|share| {
        let milliseconds = latencies.quantile(share).as_secs_f64() * 1e3;
        format!("{milliseconds:.1}")
    });
    format!(
        "{} answers, p50 {half}, p99 {most}, p99.9 {nearly_all}, max {all} ms",
        latencies.len()
    )
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

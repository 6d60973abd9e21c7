//! What an incident comes to: a timeline, what happened in between, and the sums.

use serde::Serialize;

use super::part::Part;
use crate::config::{Config, Protection};
use crate::lab::stampede::Verdict;
use crate::lab::tally::{Sources, Summary, Tally};

/// What the incident came to so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct IncidentResult {
    pub(super) parts: Vec<PartResult>,
    pub(super) verdict: Option<Verdict>,
}

/// The story once through.
#[derive(Debug, Serialize)]
pub(super) struct PartResult {
    pub(super) part: &'static str,
    pub(super) settings: Vec<String>,
    /// What it took to have every template cached; in no sum of the timeline.
    pub(super) warm_up_queries: u64,
    pub(super) timeline: Vec<Point>,
    pub(super) events: Vec<Event>,
    pub(super) totals: Totals,
}

/// What was answered within half a second.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    pub(super) ms: f64,
    pub(super) phase: &'static str,
    pub(super) requests: usize,
    pub(super) errors: u64,
    pub(super) queries: u64,
    pub(super) p95_ms: Option<f64>,
    pub(super) cache_up: bool,
    pub(super) sources: Sources,
}

#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) ms: f64,
    pub(super) what: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Totals {
    pub(super) requests: usize,
    pub(super) errors: u64,
    pub(super) queries: u64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) max_ms: f64,
}

/// As [`IncidentResult`], with a part that is not over.
#[derive(Serialize)]
pub(super) struct Growing<'a> {
    pub(super) parts: Vec<&'a PartResult>,
    pub(super) verdict: Option<Verdict>,
}

impl PartResult {
    pub(super) fn new(part: Part, config: &Config) -> Self {
        let protection = match config.protection {
            Protection::Singleflight => "singleflight",
            Protection::Off => "off",
        };
        let stale_for = humantime::format_duration(config.stale_for);
        Self {
            part: part.name(),
            settings: vec![
                format!("PROTECTION={protection}"),
                format!("LOCAL_ENTRIES={}", config.local_entries),
                format!("STALE_FOR={stale_for}"),
            ],
            warm_up_queries: 0,
            timeline: Vec::new(),
            events: Vec::new(),
            totals: Totals::of(Tally::default().summary(), 0),
        }
    }
}

impl Totals {
    pub(super) fn of(summary: Summary, queries: u64) -> Self {
        let Summary {
            requests,
            errors,
            p50_ms,
            p95_ms,
            max_ms,
            ..
        } = summary;
        Self {
            requests,
            errors,
            queries,
            p50_ms,
            p95_ms,
            max_ms,
        }
    }
}

impl Verdict {
    pub(super) fn of_parts(parts: &[PartResult]) -> Self {
        let say = |PartResult { part, totals, .. }: &PartResult| {
            let Totals {
                requests,
                errors,
                queries,
                ..
            } = totals;
            format!("{part}: {errors} of {requests} requests failed, {queries} queries")
        };
        let said: Vec<_> = parts.iter().map(say).collect();
        Self {
            ok: parts
                .iter()
                .all(|part| part.part != Part::Everything.name() || part.totals.errors == 0),
            sentence: said.join("; "),
        }
    }
}

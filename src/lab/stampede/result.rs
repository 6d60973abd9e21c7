//! What the comparison comes to, and whether the promises were kept.

use serde::Serialize;

use crate::lab::curve::Curve;
use crate::lab::strategy::Strategy;
use crate::lab::tally::Summary;

/// What the comparison came to so far.
#[derive(Debug, Serialize)]
pub(in crate::lab) struct StampedeResult {
    pub(super) database: &'static str,
    pub(super) cache: &'static str,
    pub(super) slots: usize,
    pub(super) predicted_queries: f64,
    pub(in crate::lab) strategies: Vec<Performance>,
    pub(in crate::lab) verdict: Verdict,
}

/// How one strategy did.
#[derive(Debug, Serialize)]
pub(in crate::lab) struct Performance {
    pub(in crate::lab) strategy: Strategy,
    pub(super) protected: bool,
    pub(in crate::lab) expiries: usize,
    pub(in crate::lab) queries: u64,
    pub(in crate::lab) queries_per_expiry: f64,
    pub(in crate::lab) predicted_queries_per_expiry: f64,
    pub(in crate::lab) most_at_once: usize,
    pub(in crate::lab) refused: u64,
    pub(super) took_ms: f64,
    #[serde(flatten)]
    pub(in crate::lab) summary: Summary,
    pub(super) curve: Curve,
}

/// Whether those that promise one query per expiry made no more.
#[derive(Debug, Serialize)]
pub(in crate::lab) struct Verdict {
    pub(in crate::lab) ok: bool,
    pub(in crate::lab) sentence: String,
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl Verdict {
    /// Of those that have performed so far.
    pub(super) fn of(performances: &[Performance]) -> Self {
        let say = |performance: &Performance| {
            let Performance {
                strategy,
                queries,
                expiries,
                ..
            } = performance;
            let queries = counted(*queries, "query", "queries");
            let expiries = counted(*expiries as u64, "expiry", "expiries");
            format!("{}: {queries} for {expiries}", strategy.name())
        };
        let said: Vec<_> = performances.iter().map(say).collect();
        Self {
            ok: performances.iter().all(Performance::keeps_its_promise),
            sentence: said.join("; "),
        }
    }
}

impl Performance {
    /// One query per expiry, where that is promised. Without any, somebody else's answer was there.
    fn keeps_its_promise(&self) -> bool {
        !self.protected || self.queries <= self.expiries as u64
    }
}

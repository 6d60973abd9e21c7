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
    pub(super) knee: u64,
    pub(super) predicted_queries: f64,
    pub(in crate::lab) strategies: Vec<Performance>,
    pub(in crate::lab) verdict: Option<Verdict>,
}

/// How one strategy did.
#[derive(Debug, Serialize)]
pub(in crate::lab) struct Performance {
    pub(in crate::lab) strategy: Strategy,
    pub(super) protected: bool,
    /// Not so if it was stopped: then this is what was measured until then.
    pub(super) complete: bool,
    pub(in crate::lab) expiries: u64,
    /// The most queries that are as promised.
    pub(super) promised_queries: Option<u64>,
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

/// Whether those that promise something of their queries kept it.
#[derive(Debug, Serialize)]
pub(in crate::lab) struct Verdict {
    pub(in crate::lab) ok: bool,
    pub(in crate::lab) sentence: String,
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl Verdict {
    /// Of those that have performed to the end; none before there are any.
    pub(super) fn of(performances: &[Performance]) -> Option<Self> {
        let ended = || {
            performances
                .iter()
                .filter(|performance| performance.complete)
        };
        let say = |performance: &Performance| {
            let Performance {
                strategy,
                queries,
                expiries,
                promised_queries,
                ..
            } = performance;
            let promised = promised_queries.filter(|most| most != expiries && queries > expiries);
            let promised =
                promised.map_or_else(String::new, |most| format!(" (at most {most} promised)"));
            let queries = counted(*queries, "query", "queries");
            let expiries = counted(*expiries, "expiry", "expiries");
            format!("{}: {queries} for {expiries}{promised}", strategy.name())
        };
        let said: Vec<_> = ended().map(say).collect();
        (!said.is_empty()).then(|| Self {
            ok: ended().all(Performance::keeps_its_promise),
            sentence: said.join("; "),
        })
    }
}

impl Performance {
    /// Fewer are no breach: somebody else's answer was there.
    fn keeps_its_promise(&self) -> bool {
        self.promised_queries
            .is_none_or(|most| self.queries <= most)
    }
}

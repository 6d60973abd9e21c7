//! [`Tally`]: what became of the requests of a run.

use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value};

use super::milliseconds;
use crate::metrics::labels::Labels as _;
use crate::outcomes::Source;

/// What became of some requests, in the order in which they ended.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Vec<(Source, Duration)>>);

/// How many answers came from where.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources([u64; Source::ALL.len()]);

/// What a tally comes to.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) requests: usize,
    pub(super) errors: u64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) max_ms: f64,
    pub(super) sources: Sources,
}

impl Tally {
    pub(super) fn add(&self, source: Source, took: Duration) {
        self.0.lock().push((source, took));
    }

    /// How many there are so far.
    pub(super) fn requests(&self) -> usize {
        self.0.lock().len()
    }

    pub(super) fn summary(&self) -> Summary {
        Summary::of(&self.0.lock())
    }

    /// What became of those after the first so many.
    pub(super) fn summary_after(&self, first: usize) -> Summary {
        Summary::of(self.0.lock().get(first..).unwrap_or_default())
    }
}

impl Summary {
    fn of(ended: &[(Source, Duration)]) -> Self {
        let mut sources = Sources::default();
        ended.iter().for_each(|(source, _)| sources.add(*source));
        let mut waits: Vec<_> = ended.iter().map(|(_, took)| *took).collect();
        waits.sort_unstable();
        let at = |share: f64| {
            let rank = (waits.len() as f64 * share).ceil() as usize;
            milliseconds(
                waits
                    .get(rank.saturating_sub(1))
                    .copied()
                    .unwrap_or_default(),
            )
        };
        Self {
            requests: waits.len(),
            errors: sources.errors(),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            max_ms: at(1.0),
            sources,
        }
    }
}

impl Sources {
    /// From counts in the order of [`Source::all`].
    pub(super) fn of(counts: &[u64]) -> Self {
        let mut sources = Self::default();
        let pairs = sources.0.iter_mut().zip(counts);
        pairs.for_each(|(into, from)| *into = *from);
        sources
    }

    fn add(&mut self, source: Source) {
        self.0[source.index()] += 1;
    }

    pub(super) fn count(&self, source: Source) -> u64 {
        self.0[source.index()]
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Requests without an answer.
    pub(super) fn errors(&self) -> u64 {
        self.count(Source::Shed) + self.count(Source::Error)
    }
}

impl Serialize for Sources {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let member = |source: Source| (source.as_str().to_owned(), Value::from(self.count(source)));
        Source::all()
            .into_iter()
            .map(member)
            .collect::<Map<_, _>>()
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_waits_that_somebody_had() {
        let tally = Tally::default();
        (1..=20).for_each(|wait| tally.add(Source::Hit, Duration::from_millis(wait)));
        tally.add(Source::Shed, Duration::from_millis(100));
        let summary = tally.summary();
        assert_eq!(
            (summary.p50_ms, summary.p95_ms, summary.max_ms),
            (11.0, 20.0, 100.0)
        );
        assert_eq!((summary.requests, summary.errors), (21, 1));
    }
}

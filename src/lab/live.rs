//! [`Live`]: one sample a second of what `/metrics` counts, and what it says of the last one.

use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::tally::Sources;
use super::{SharedLab, milliseconds};
use crate::metrics::{Metrics, Reading};
use crate::outcomes::Source;

/// The last five minutes.
pub(super) struct Live {
    pub(super) began: Reading,
    samples: Mutex<VecDeque<Sample>>,
}

/// One second.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    seq: u64,
    requests: u64,
    queries: u64,
    hits: u64,
    misses: u64,
    unanswered: u64,
    shared: u64,
    in_flight: i64,
    queries_in_flight: i64,
    p95_ms: Option<f64>,
    sources: Sources,
}

/// What is asked for: samples, sums and one sentence.
#[derive(Serialize)]
pub(super) struct View {
    seq: u64,
    samples: Vec<Sample>,
    totals: Totals,
    answering: Answering,
}

#[derive(Serialize)]
struct Totals {
    requests: u64,
    queries: u64,
    requests_per_query: Option<f64>,
}

#[derive(Serialize)]
struct Answering {
    mechanism: &'static str,
    sentence: String,
}

const STEP: Duration = Duration::from_secs(1);
const MOST_SAMPLES: usize = 300;

impl Live {
    pub(super) fn new(began: Reading) -> Self {
        Self {
            began,
            samples: Mutex::new(VecDeque::with_capacity(MOST_SAMPLES)),
        }
    }

    fn push(&self, metrics: &Metrics, grown: &Reading) {
        let mut samples = self.samples.lock();
        let seq = samples.back().map_or(1, |last| last.seq + 1);
        if samples.len() == MOST_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample {
            seq,
            requests: grown.requests(),
            queries: grown.queries,
            hits: grown.hits,
            misses: grown.misses,
            unanswered: grown.unanswered,
            shared: grown.shared,
            in_flight: metrics.http.in_flight.get(),
            queries_in_flight: metrics.db_queries_in_flight.get(),
            p95_ms: grown.quantile(0.95).map(milliseconds),
            sources: Sources::of(&grown.sources),
        });
    }

    /// The samples after this one.
    pub(super) fn view(&self, since: u64, metrics: &Metrics) -> View {
        let samples = self.samples.lock();
        let totals = metrics.read().since(&self.began);
        View {
            seq: samples.back().map_or(0, |last| last.seq),
            samples: samples
                .iter()
                .filter(|sample| sample.seq > since)
                .cloned()
                .collect(),
            totals: Totals {
                requests: totals.requests(),
                queries: totals.queries,
                requests_per_query: (totals.queries > 0)
                    .then(|| totals.requests() as f64 / totals.queries as f64),
            },
            answering: samples
                .back()
                .map_or_else(Answering::idle, |last| Answering::of(&last.sources)),
        }
    }
}

/// Takes samples for as long as the lab is there.
pub(super) async fn sample(lab: Weak<SharedLab>, mut last: Reading) {
    let mut clock = interval(STEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock.tick().await;
    loop {
        clock.tick().await;
        let Some(lab) = lab.upgrade() else { return };
        let metrics = &lab.ground.metrics;
        let now = metrics.read();
        lab.live.push(metrics, &now.since(&last));
        last = now;
    }
}

impl Answering {
    fn idle() -> Self {
        Self {
            mechanism: "idle",
            sentence: "nobody has asked for a template in the last second".into(),
        }
    }

    /// What most answers come from; but trouble is named as soon as it is a tenth of them.
    fn of(sources: &Sources) -> Self {
        let total = sources.total();
        let share = |source| sources.count(source) as f64 / total as f64;
        let trouble = [Source::Error, Source::Shed, Source::Stale];
        let trouble = trouble
            .into_iter()
            .find(|source| total > 0 && share(*source) >= 0.1);
        let most = Source::ALL
            .iter()
            .copied()
            .max_by_key(|source| sources.count(*source));
        match trouble.or(most) {
            Some(source) if total > 0 => Self {
                mechanism: source.as_str(),
                sentence: format!("{} ({:.0}%)", sentence(source), share(source) * 100.0),
            },
            _ => Self::idle(),
        }
    }
}

/// Who answers, when most answers come from there.
fn sentence(source: Source) -> &'static str {
    match source {
        Source::Hit => "the cache answers",
        Source::Near => {
            "a copy in this process answers, which Redis or the database has just confirmed"
        }
        Source::Local => {
            "the cache cannot be asked: the in-process copy answers, while its TTL lasts"
        }
        Source::Loaded => "the database answers: each of these requests made a query of its own",
        Source::Shared => {
            "one query answers for many: these requests joined a load that was under way"
        }
        Source::Stale => "a copy past its TTL answers, marked as stale",
        Source::NotFound => "what is asked for does not exist",
        Source::Shed => {
            "limits are reached: requests are refused at once so that the others are served"
        }
        Source::Error => "requests fail: the database cannot say, and there is no copy",
    }
}

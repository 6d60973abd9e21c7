//! [`Story`]: one part while it happens: traffic, the fault, and what is seen of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::part::Part;
use super::result::{Event, PartResult, Point, Totals};
use crate::config::Config;
use crate::fault::Fault;
use crate::lab::arrivals::{TEMPLATES, arrive, popular};
use crate::lab::milliseconds;
use crate::lab::plan::IncidentPlan;
use crate::lab::stage::Stage;
use crate::lab::tally::Tally;
use crate::outcomes::Source;
use crate::template::TemplateId;

/// Half a second to a point.
const POINT: Duration = Duration::from_millis(500);

/// How closely is looked for what happens.
const LOOK: Duration = Duration::from_millis(50);

/// Longest that requests which arrived in time may still take.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// One part while it happens.
pub(super) struct Story {
    stage: Arc<Stage>,
    fills_at_once: usize,
    tally: Arc<Tally>,
    /// Answers that are in the timeline.
    counted: usize,
    queries_before: u64,
    queries_counted: u64,
    began: Instant,
    cache_was_up: bool,
    result: PartResult,
}

impl Story {
    pub(super) fn of(stage: Stage, part: Part, config: &Config) -> Self {
        Self {
            stage: Arc::new(stage),
            fills_at_once: config.db_max_connections,
            tally: Arc::default(),
            counted: 0,
            queries_before: 0,
            queries_counted: 0,
            began: Instant::now(),
            cache_was_up: true,
            result: PartResult::new(part, config),
        }
    }

    /// What there is of it.
    pub(super) fn so_far(&self) -> &PartResult {
        &self.result
    }

    /// What came of it.
    pub(super) fn end(self) -> PartResult {
        self.result
    }

    /// Has every template cached: what is shown is an outage, not a cold start.
    pub(super) async fn warm_up(&mut self) {
        let mut fills = JoinSet::new();
        for number in 1..=TEMPLATES as i64 {
            // No more at once than the database has slots for: nothing is to be refused here.
            if fills.len() == self.fills_at_once {
                fills.join_next().await;
            }
            let (stage, aside) = (Arc::clone(&self.stage), Tally::default());
            let template = TemplateId::new(number).expect("a number from 1");
            fills.spawn(async move { stage.request(template, &aside).await });
        }
        fills.join_all().await;
        self.queries_before = self.stage.demand.sent();
        self.queries_counted = self.queries_before;
        self.result.warm_up_queries = self.queries_before;
        self.began = Instant::now();
    }

    /// Tells the story, and at each point of the timeline how much of it is told.
    pub(super) async fn go_on(
        &mut self,
        plan: IncidentPlan,
        mut at_each_point: impl FnMut(&Self, f64),
    ) {
        let mut requests = JoinSet::new();
        let phases = [
            ("warm", plan.warm_ms, "warm traffic"),
            (
                "outage",
                plan.outage_ms,
                "the cache is black-holed: it takes what is sent and never answers",
            ),
            ("recovery", plan.recovery_ms, "the cache answers again"),
        ];
        let whole = Duration::from_millis(plan.warm_ms + plan.outage_ms + plan.recovery_ms);
        for (phase, length_ms, what) in phases {
            self.stage.faults.cache.set(match phase {
                "outage" => Fault::BlackHoled,
                _ => Fault::None,
            });
            self.happens(what);
            let (stage, tally) = (Arc::clone(&self.stage), Arc::clone(&self.tally));
            let request = || {
                let (stage, tally) = (Arc::clone(&stage), Arc::clone(&tally));
                async move { stage.request(popular(), &tally).await }
            };
            let length = Duration::from_millis(length_ms);
            let traffic = arrive(&mut requests, plan.rate_per_second, length, request);
            tokio::select! {
                _ = traffic => {}
                () = self.watch(phase, |story| {
                    at_each_point(story, story.began.elapsed().as_secs_f64() / whole.as_secs_f64());
                }) => {}
            }
        }
        let answered = async { while requests.join_next().await.is_some() {} };
        let _ = timeout(LAST_ANSWERS, answered).await;
        // Who still has no answer gets none.
        requests.abort_all();
        while let Some(ended) = requests.join_next().await {
            if ended.is_err() {
                self.tally.add(Source::Error, LAST_ANSWERS);
            }
        }
        self.note("recovery");
        self.result.totals = Totals::of(self.tally.summary(), self.queries());
        at_each_point(self, 1.0);
    }

    /// Looks on for ever.
    async fn watch(&mut self, phase: &'static str, mut at_each_point: impl FnMut(&Self)) {
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            self.look(phase);
            let next_point = POINT * (self.result.timeline.len() as u32 + 1);
            if self.began.elapsed() >= next_point {
                self.note(phase);
                self.result.totals = Totals::of(self.tally.summary(), self.queries());
                at_each_point(self);
            }
        }
    }

    /// Whether anything has happened that is worth a line.
    fn look(&mut self, phase: &str) {
        let cache_up = self.stage.cache_is_up();
        if cache_up != self.cache_was_up {
            self.cache_was_up = cache_up;
            self.happens(if cache_up {
                "the cache has proved itself and is asked again"
            } else {
                "the cache is given up after three time-outs in a row: nobody waits for it any more"
            });
        }
        let errors_before = self
            .result
            .events
            .iter()
            .any(|event| event.what == FIRST_ERRORS);
        if phase == "outage" && !errors_before && self.tally.summary().errors > 0 {
            self.happens(FIRST_ERRORS);
        }
    }

    fn note(&mut self, phase: &'static str) {
        let summary = self.tally.summary_after(self.counted);
        let queries = self.stage.demand.sent();
        self.counted += summary.requests;
        self.result.timeline.push(Point {
            ms: milliseconds(self.began.elapsed()),
            phase,
            requests: summary.requests,
            errors: summary.errors,
            queries: queries - self.queries_counted,
            p95_ms: (summary.requests > 0).then_some(summary.p95_ms),
            cache_up: self.cache_was_up,
            sources: summary.sources,
        });
        self.queries_counted = queries;
    }

    fn happens(&mut self, what: &str) {
        self.result.events.push(Event {
            ms: milliseconds(self.began.elapsed()),
            what: what.to_owned(),
        });
    }

    fn queries(&self) -> u64 {
        self.stage.demand.sent() - self.queries_before
    }
}

const FIRST_ERRORS: &str = "requests fail: more queries than the database has slots for";

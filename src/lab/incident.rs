//! The incident: warm traffic, the cache is black-holed, it comes back. First without protection, then with it.
//!
//! The database keeps its limits, so that what is too much for it is refused.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::arrivals::{TEMPLATES, arrive, popular};
use super::milliseconds;
use super::plan::IncidentPlan;
use super::run::Run;
use super::stage::{Ground, Stage};
use super::stampede::Verdict;
use super::strategy::Strategy;
use super::tally::{Sources, Summary, Tally};
use crate::config::{Config, Protection};
use crate::fault::Fault;
use crate::template::TemplateId;

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
    settings: Vec<String>,
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

/// Without protection, and with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Unprotected,
    Protected,
}

/// How many parts there are.
pub(super) const PARTS: usize = 2;

/// Half a second to a point.
const POINT: Duration = Duration::from_millis(500);

/// How closely is looked for what happens.
const LOOK: Duration = Duration::from_millis(50);

/// Longest that requests which arrived in time may still take.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Plays the incident and tells the run what there is of the result.
pub(super) async fn play(
    ground: Arc<Ground>,
    plan: IncidentPlan,
    run: Arc<Run>,
) -> Result<(), String> {
    let mut result = IncidentResult::default();
    run.tell(&result);
    for (done, part) in [Part::Unprotected, Part::Protected].into_iter().enumerate() {
        let config = part.config(&ground.config, plan);
        let stage = Stage::open(&ground, &config, part.strategy(), part.name(), None).await?;
        let mut story = Story {
            stage: Arc::new(stage),
            fills_at_once: config.db_max_connections,
            tally: Arc::default(),
            counted: 0,
            queries_before: 0,
            queries_counted: 0,
            began: Instant::now(),
            cache_was_up: true,
            result: PartResult::new(part, &config),
        };
        story.warm_up().await;
        story
            .go_on(plan, |story, share| {
                run.advance(done, part.name(), share);
                // A copy of what there is: the page draws it while it grows.
                run.tell(&Growing {
                    parts: result.parts.iter().chain([&story.result]).collect(),
                    verdict: None,
                });
            })
            .await;
        result.parts.push(story.result);
        run.tell(&result);
    }
    result.verdict = Some(Verdict::of_parts(&result.parts));
    run.tell(&result);
    Ok(())
}

/// As [`IncidentResult`], with a part that is not over.
#[derive(Serialize)]
struct Growing<'a> {
    parts: Vec<&'a PartResult>,
    verdict: Option<Verdict>,
}

/// One part while it happens.
struct Story {
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
    /// Has every template cached: what is shown is an outage, not a cold start.
    async fn warm_up(&mut self) {
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
        self.began = Instant::now();
    }

    async fn go_on(&mut self, plan: IncidentPlan, mut at_each_point: impl FnMut(&Self, f64)) {
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
                () = traffic => {}
                () = self.watch(phase, |story| {
                    at_each_point(story, story.began.elapsed().as_secs_f64() / whole.as_secs_f64());
                }) => {}
            }
        }
        let answered = async { while requests.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
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

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Protected => "protected",
        }
    }

    fn strategy(self) -> Strategy {
        match self {
            Self::Unprotected => Strategy::Off,
            Self::Protected => Strategy::Singleflight,
        }
    }

    /// The service's own settings but for what the plan asks for, and the protection.
    fn config(self, own: &Config, plan: IncidentPlan) -> Config {
        let query_time = Duration::from_millis(plan.query_time_ms);
        let common = Config {
            early_refresh: None,
            fleet_lease: false,
            stale_while_revalidate: Duration::ZERO,
            cache_ttl: Duration::from_millis(plan.ttl_ms),
            db_delay: query_time,
            db_timeout: own.db_timeout + query_time,
            request_timeout: own.request_timeout + query_time,
            ..own.clone()
        };
        match self {
            Self::Unprotected => Config {
                protection: Protection::Off,
                local_entries: 0,
                stale_for: Duration::ZERO,
                ..common
            },
            Self::Protected => Config {
                protection: Protection::Singleflight,
                local_entries: common.local_entries.max(TEMPLATES as usize),
                stale_for: common.stale_for.max(Duration::from_secs(60)),
                ..common
            },
        }
    }
}

impl PartResult {
    fn new(part: Part, config: &Config) -> Self {
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
            timeline: Vec::new(),
            events: Vec::new(),
            totals: Totals::of(Tally::default().summary(), 0),
        }
    }
}

impl Totals {
    fn of(summary: Summary, queries: u64) -> Self {
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
    fn of_parts(parts: &[PartResult]) -> Self {
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
                .all(|part| part.part != Part::Protected.name() || part.totals.errors == 0),
            sentence: said.join("; "),
        }
    }
}

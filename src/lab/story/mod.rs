//! The guided story: seven short runs of the production code, each told as a stream of JSON lines that a page plays.
//!
//! The first line is the [`scene::Scene`], then come [`film::Frame`]s, and the last line has the sums. A run ends when its
//! reader goes away.

mod film;
mod page;
mod scene;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::arrivals::{arrive, popular_among};
use super::run::Run;
use super::runs::{NotBegun, Runs};
use super::stage::{Ground, Stage};
use super::tally::{Sources, Tally};
use crate::fault::Fault;
use crate::outcomes::Source;
use crate::template::TemplateId;
use film::Film;
pub(super) use page::page;
use scene::Scene;
pub(super) use scene::StoryOrder;

/// What a step came to.
#[derive(Debug, Serialize)]
struct Sums {
    requests: usize,
    /// Loads that asked the database. It took `queries` of them.
    asked: u64,
    queries: u64,
    failed: u64,
    sources: Sources,
    /// What it took to have every key cached before: one request and one query each, in no other number.
    warm_up_queries: u64,
}

/// A line of the stream.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Scene(&'a Scene),
    End(Sums),
    /// Why there is no end.
    Problem(&'a str),
    #[serde(untagged)]
    Frame(film::Frame),
}

/// Where lines go. A page that reads slowly gets longer frames.
pub(super) type Lines = mpsc::Sender<String>;

const LINES_ON_THE_WAY: usize = 64;

const FRAME: Duration = Duration::from_millis(20);

/// Longest that requests which arrived in time may still take.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Plays a step, unless another one is under way.
pub(super) fn begin(
    stories: &Runs,
    ground: Arc<Ground>,
    order: StoryOrder,
) -> Result<mpsc::Receiver<String>, NotBegun> {
    let scene = order.check().map_err(NotBegun::TooLarge)?;
    let (lines, reader) = mpsc::channel(LINES_ON_THE_WAY);
    let run = Run::new("story", 1, &scene, &());
    stories.begin(run, |run| async move {
        let outcome = tokio::select! {
            outcome = play(&ground, scene, &lines) => outcome,
            () = lines.closed() => Ok(()),
            () = run.stopped() => Err("another run has begun".into()),
        };
        if let Err(problem) = &outcome {
            tell(&lines, &Line::Problem(problem)).await;
        }
        outcome
    })?;
    Ok(reader)
}

/// A reader that has gone away is noticed elsewhere.
async fn tell(lines: &Lines, line: &Line<'_>) {
    let text = serde_json::to_string(line).unwrap_or_default();
    let _ = lines.send(text + "\n").await;
}

async fn play(ground: &Ground, mut scene: Scene, lines: &Lines) -> Result<(), String> {
    let config = scene.config(&ground.config);
    let stage = Stage::open(ground, &config, scene.strategy(), "story", scene.knee, None).await?;
    let stage = Arc::new(stage);
    warm_up(&stage, &scene).await;
    let warm_up_queries = stage.demand.sent();
    sleep(scene.wait_before()).await;

    tell(lines, &Line::Scene(&scene)).await;
    let (film, tally) = (
        Arc::new(Film::new(&stage.demand)),
        Arc::new(Tally::default()),
    );
    let mut requests = JoinSet::new();
    let request = || {
        let (stage, film, tally) = (Arc::clone(&stage), Arc::clone(&film), Arc::clone(&tally));
        let template = popular_among(scene.keys);
        let number = film.begun(template);
        async move { film.ended(number, stage.answer(template, &tally).await) }
    };
    let happens = async {
        let traffic = arrive(
            &mut requests,
            scene.rate_per_second,
            scene.length(),
            request,
        );
        tokio::join!(traffic, break_things(&stage, &scene));
        let answered = async { while requests.join_next().await.is_some() {} };
        let answered = timeout(LAST_ANSWERS, answered).await;
        stage.rest(LAST_ANSWERS).await;
        answered.map_err(|_| "requests have had no answer for ten seconds")
    };
    tokio::select! {
        answered = happens => answered?,
        () = watch(&film, &stage, lines) => {}
    }
    tell(lines, &Line::Frame(film.frame(&stage))).await;
    let summary = tally.summary();
    let sums = Sums {
        requests: summary.requests,
        asked: film.asked(&stage.demand),
        queries: film.queries(&stage.demand),
        failed: summary.sources.count(Source::Shed) + summary.sources.count(Source::Error),
        sources: summary.sources,
        warm_up_queries,
    };
    tell(lines, &Line::End(sums)).await;
    Ok(())
}

/// Has every key cached, with no more queries at once than the database bears.
async fn warm_up(stage: &Arc<Stage>, scene: &Scene) {
    let mut fills = JoinSet::new();
    for number in 1..=scene.keys as i64 {
        if fills.len() == scene.knee as usize {
            fills.join_next().await;
        }
        let stage = Arc::clone(stage);
        let template = TemplateId::new(number).expect("a number from 1");
        fills.spawn(async move { stage.request(template, &Tally::default()).await });
    }
    fills.join_all().await;
}

async fn break_things(stage: &Stage, scene: &Scene) {
    let cut = async |switch: &crate::fault::Switch, after: Option<Duration>| {
        if let Some(after) = after {
            sleep(after).await;
            switch.set(Fault::Refused);
        }
    };
    tokio::join!(
        cut(&stage.faults.cache, scene.cache_cut),
        cut(&stage.faults.database, scene.database_cut)
    );
}

/// Tells frames for ever.
async fn watch(film: &Film, stage: &Stage, lines: &Lines) {
    let mut clock = interval(FRAME);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        tell(lines, &Line::Frame(film.frame(stage))).await;
    }
}

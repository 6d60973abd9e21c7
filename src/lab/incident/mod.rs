//! The incident: warm traffic, the cache is black-holed, it comes back. Without protection, with singleflight only, and
//! with local copies too.
//!
//! The database keeps its limits, so that what is too much for it is refused.

mod part;
mod result;
mod story;

use std::sync::Arc;

use super::plan::IncidentPlan;
use super::run::Run;
use super::runs::{NotBegun, Runs};
use super::stage::{Ground, Stage};
use super::stampede::Verdict;
use part::Part;
use result::{Growing, IncidentResult};
use story::Story;

/// How many parts there are.
const PARTS: usize = Part::ALL.len();

/// Begins the incident, unless another run is under way.
pub(super) fn begin(
    runs: &Runs,
    ground: Arc<Ground>,
    plan: IncidentPlan,
) -> Result<Arc<Run>, NotBegun> {
    let run = Run::new("incident", PARTS, &plan, &IncidentResult::default());
    runs.begin(run, |run| async move {
        tokio::select! {
            outcome = play(ground, plan, Arc::clone(&run)) => outcome,
            // What there is of it has been told at each point.
            () = run.stopped() => Ok(()),
        }
    })
}

/// Plays the incident and tells the run what there is of the result.
async fn play(ground: Arc<Ground>, plan: IncidentPlan, run: Arc<Run>) -> Result<(), String> {
    let mut result = IncidentResult::default();
    for (done, part) in Part::ALL.into_iter().enumerate() {
        let config = part.config(&ground.config, plan);
        let (strategy, by) = (part.strategy(), part.name());
        let stage = Stage::open(&ground, &config, strategy, by, plan.knee, None).await?;
        let mut story = Story::of(stage, part, &config);
        story.warm_up().await;
        let parts = &result.parts;
        let tell = |story: &Story, share| {
            run.advance(done, part.name(), share);
            // What there is of it: the page draws it while it grows.
            run.tell(&Growing {
                parts: parts.iter().chain([story.so_far()]).collect(),
                verdict: None,
            });
        };
        story.go_on(plan, tell).await;
        result.parts.push(story.end());
        run.tell(&result);
    }
    result.verdict = Some(Verdict::of_parts(&result.parts));
    run.tell(&result);
    Ok(())
}

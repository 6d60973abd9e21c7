//! The comparison: the same expiry for each strategy, one after the other.

mod result;
mod settings;
mod size;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::arrivals::arrive;
use super::curve::Curve;
use super::milliseconds;
use super::plan::{Load, StampedePlan};
use super::run::Run;
use super::runs::{NotBegun, Runs};
use super::stage::{Ground, Stage};
use super::strategy::Strategy;
use super::tally::Tally;
pub(super) use result::Verdict;
use result::{Performance, StampedeResult};
use settings::config;

/// Longer than any run, so that no load is refused for having waited.
const PATIENCE: Duration = Duration::from_secs(120);

/// Begins the comparison, unless it is too large or another run is under way.
pub(super) fn begin(
    runs: &Runs,
    ground: Arc<Ground>,
    plan: StampedePlan,
) -> Result<Arc<Run>, NotBegun> {
    let bare = config(&ground, &plan, Strategy::Off);
    plan.check_size(&bare).map_err(NotBegun::TooLarge)?;
    let result = StampedeResult {
        database: ground.backends.database_kind(),
        cache: ground.backends.cache_kind(),
        slots: bare.db_max_connections,
        knee: plan.knee,
        predicted_queries: plan.predicted_queries(),
        strategies: Vec::new(),
        verdict: None,
    };
    let run = Run::new("stampede", plan.strategies.len(), &plan, &result);
    runs.begin(run, |run| compare(ground, plan, result, run))
}

/// Runs the comparison and tells the run what there is of the result.
async fn compare(
    ground: Arc<Ground>,
    plan: StampedePlan,
    mut result: StampedeResult,
    run: Arc<Run>,
) -> Result<(), String> {
    for (done, strategy) in plan.strategies.iter().enumerate() {
        run.advance(done, strategy.name(), 0.0);
        let performance = perform(&ground, &plan, *strategy, &run, |share| {
            run.advance(done, strategy.name(), share)
        });
        result.strategies.push(performance.await?);
        result.verdict = Verdict::of(&result.strategies);
        run.tell(&result);
        if !run.is_running() {
            break;
        }
    }
    Ok(())
}

async fn perform(
    ground: &Ground,
    plan: &StampedePlan,
    strategy: Strategy,
    run: &Run,
    progress: impl Fn(f64),
) -> Result<Performance, String> {
    let config = config(ground, plan, strategy);
    let stage = Stage::open(
        ground,
        &config,
        strategy,
        strategy.name(),
        plan.knee,
        Some(plan.template),
    );
    let (stage, tally) = (Arc::new(stage.await?), Arc::new(Tally::default()));
    let (began, mut curve) = (Instant::now(), Curve::new());
    let arrived = tokio::select! {
        arrived = put_requests(&stage, &tally, plan) => Some(arrived),
        () = curve.follow(&stage.demand, |_| progress(tally.requests() as f64 / plan.requests())) => None,
        () = run.stopped() => None,
    };
    let (complete, arrived) = (arrived.is_some(), arrived.unwrap_or_default());
    let took = began.elapsed();
    // The next one begins when nothing of this one is left.
    tokio::select! {
        () = stage.rest(PATIENCE) => {}
        () = run.stopped() => {}
    }
    let demand = &stage.demand;
    let (queries, expiries) = (demand.sent(), plan.expiries());
    Ok(Performance {
        strategy,
        protected: strategy.is_protected(),
        complete,
        expiries,
        promised_queries: plan.promised_queries(strategy, arrived),
        queries,
        queries_per_expiry: queries as f64 / expiries as f64,
        predicted_queries_per_expiry: if strategy.is_protected() {
            1.0
        } else {
            plan.predicted_queries()
        },
        most_at_once: demand.most(),
        refused: demand.asked().saturating_sub(demand.sent()),
        took_ms: milliseconds(took),
        summary: tally.summary(),
        curve,
    })
}

/// Completes when every request has its answer, and says how long they took to arrive.
async fn put_requests(stage: &Arc<Stage>, tally: &Arc<Tally>, plan: &StampedePlan) -> Duration {
    let mut requests = JoinSet::new();
    let template = plan.template;
    let request = || {
        let (stage, tally) = (Arc::clone(stage), Arc::clone(tally));
        async move { stage.request(template, &tally).await }
    };
    let arrived = match plan.load {
        Load::Burst { callers, spread_ms } => {
            let together = Arc::new(Barrier::new(callers));
            let spread = Duration::from_millis(spread_ms);
            for caller in 0..callers {
                let (together, request) = (Arc::clone(&together), request());
                let after = spread.mul_f64(caller as f64 / callers as f64);
                requests.spawn(async move {
                    together.wait().await;
                    if !after.is_zero() {
                        sleep_until(Instant::now() + after).await;
                    }
                    request.await;
                });
            }
            spread
        }
        Load::Sustained {
            rate_per_second,
            duration_ms,
            ..
        } => {
            let longest = Duration::from_millis(duration_ms);
            arrive(&mut requests, rate_per_second, longest, request).await
        }
    };
    while requests.join_next().await.is_some() {}
    arrived
}

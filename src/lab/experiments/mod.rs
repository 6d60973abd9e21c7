//! Experiments: what people argue about, each with a prediction and a measurement.
//!
//! Each case runs on an embedded database and an embedded cache of its own, also if the service has other ones. So the
//! predictions hold everywhere, and the service's data is not touched. The cases of one experiment run side by side. Only [`replicas`] needs what
//! the service has, because a Redis is what it is about.

mod bench;
mod failing_load;
mod jitter;
mod memoized_future;
mod replicas;
mod result;
mod soft_timeout;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, interval};

use super::run::Run;
use super::runs::{NotBegun, Runs};
use super::stage::Ground;
#[cfg(test)]
pub(super) use bench::{Bench, settings};
use result::{Case, ExperimentResult};

/// What there is to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Experiment {
    Jitter,
    FailingLoad,
    SoftTimeout,
    MemoizedFuture,
    Replicas,
}

/// What a person wants to know of an experiment before it runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct About {
    pub(super) name: &'static str,
    question: &'static str,
    setup: &'static str,
    formula: &'static str,
    columns: [&'static str; 3],
    #[serde(skip)]
    answer: &'static str,
    #[serde(skip)]
    takes: Duration,
}

/// An experiment as it is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExperimentOrder {
    /// Its name.
    pub experiment: Option<String>,
}

/// An experiment that exists.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ExperimentPlan {
    #[serde(serialize_with = "by_name")]
    experiment: Experiment,
}

fn by_name<S: serde::Serializer>(experiment: &Experiment, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(experiment.about().name)
}

impl Experiment {
    pub(super) const ALL: [Self; 5] = [
        Self::Jitter,
        Self::FailingLoad,
        Self::SoftTimeout,
        Self::MemoizedFuture,
        Self::Replicas,
    ];

    pub(super) fn about(self) -> About {
        match self {
            Self::Jitter => jitter::ABOUT,
            Self::FailingLoad => failing_load::ABOUT,
            Self::SoftTimeout => soft_timeout::ABOUT,
            Self::MemoizedFuture => memoized_future::ABOUT,
            Self::Replicas => replicas::ABOUT,
        }
    }

    async fn cases(self, ground: &Ground) -> Result<Vec<Case>, String> {
        match self {
            Self::Jitter => jitter::cases(ground).await,
            Self::FailingLoad => failing_load::cases(ground).await,
            Self::SoftTimeout => soft_timeout::cases(ground).await,
            Self::MemoizedFuture => memoized_future::cases(ground).await,
            Self::Replicas => replicas::cases(ground).await,
        }
    }
}

impl ExperimentOrder {
    pub(super) fn check(self) -> Result<ExperimentPlan, &'static str> {
        let name = self.experiment.unwrap_or_default();
        let found = Experiment::ALL
            .into_iter()
            .find(|known| known.about().name == name);
        let experiment = found.ok_or(
            "experiment must be jitter, failing-load, soft-timeout, memoized-future or replicas",
        )?;
        Ok(ExperimentPlan { experiment })
    }
}

/// Begins the experiment, unless another run is under way.
pub(super) fn begin(
    runs: &Runs,
    ground: Arc<Ground>,
    plan: ExperimentPlan,
) -> Result<Arc<Run>, NotBegun> {
    let about = plan.experiment.about();
    let run = Run::new(
        "experiment",
        1,
        &plan,
        &ExperimentResult::of(about, Vec::new()),
    );
    runs.begin(run, |run| async move {
        let cases = plan.experiment.cases(&ground);
        tokio::select! {
            cases = cases => {
                run.tell(&ExperimentResult::of(about, cases?));
                Ok(())
            }
            () = advance(&run, about) => Ok(()),
            () = run.stopped() => Ok(()),
        }
    })
}

/// Says for ever how much of the time that it takes is over.
async fn advance(run: &Run, about: About) {
    let (began, mut clock) = (Instant::now(), interval(Duration::from_millis(100)));
    loop {
        clock.tick().await;
        let share = began.elapsed().as_secs_f64() / about.takes.as_secs_f64();
        run.advance(0, about.name, share);
    }
}

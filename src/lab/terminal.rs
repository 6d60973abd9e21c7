//! The lab without a browser and without a server: `stampede lab`, `stampede lab incident` and `stampede lab experiment`.

mod pages;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::experiments::{self, ExperimentOrder};
use super::plan::{IncidentOrder, StampedeOrder};
use super::run::Run;
use super::runs::{NotBegun, Runs};
use super::stage::Ground;
use super::{incident, stampede, story};
use crate::backends::Backends;
use crate::config::{Config, LabCommand, LabRun};
use crate::metrics::Metrics;

/// What is to be printed, and whether it is what a protected service promises.
#[derive(Debug)]
pub struct Shown {
    /// The table, the timeline or the JSON.
    pub text: String,
    /// Whether the promise was kept.
    pub ok: bool,
}

/// A run, and what it added to the counters.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    run: super::run::View,
    metrics: serde_json::Map<String, Value>,
}

/// Runs what the command asks for and shows it. Progress, and why a run did not reach its end, go to standard error.
///
/// # Errors
/// A flag has a value that the lab refuses, or a setting forbids the run. The text says which.
#[tokio::main]
pub async fn show(config: &Config, command: &LabCommand) -> Result<Shown, String> {
    // Nothing listens here, so that the address does not matter as it does for the page.
    let embedded = config.database_url.is_none() && config.redis_url.is_none();
    match config.lab_asked {
        Some(false) => return Err("the lab makes load, and LAB=false forbids it".into()),
        None if !embedded => {
            return Err("the lab makes load: on a database or a cache that is not embedded it needs LAB=true".into());
        }
        None | Some(true) => {}
    }
    let metrics = Arc::new(Metrics::new("lab"));
    let ground = Arc::new(Ground {
        config: config.clone(),
        backends: Backends::new(config).map_err(|problems| problems.to_string())?,
        metrics: Arc::clone(&metrics),
        flights: Arc::default(),
        traces: Arc::default(),
    });
    if let Some(file) = &command.page {
        return write_page(ground, file).await;
    }
    let runs = Runs::default();
    let run = begin(&runs, ground, command)?;
    let mut said = "";
    while !run.is_over() {
        let doing = run.brief().progress.doing;
        if doing != said {
            eprintln!("{doing} ...");
            said = doing;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let view = run.view();
    let problem = view.problem.clone();
    if let Some(problem) = &problem {
        eprintln!("stampede: {problem}");
    }
    let ok = view.result["verdict"]["ok"] == true && problem.is_none();
    let (json, page): (_, fn(&Value) -> String) = match &command.instead {
        Some(LabRun::Incident(flags)) => (flags.json, pages::timeline),
        Some(LabRun::Experiment(flags)) => (flags.json, pages::experiment),
        None => (command.json, pages::table),
    };
    let text = if json {
        let document = Document {
            run: view,
            metrics: pages::counters(&metrics.encode()),
        };
        let text = serde_json::to_string_pretty(&document);
        text.expect("a document of names, numbers and texts always serialises") + "\n"
    } else if problem.is_some() {
        String::new()
    } else {
        page(&view.result)
    };
    Ok(Shown { text, ok })
}

async fn write_page(ground: Arc<Ground>, file: &Path) -> Result<Shown, String> {
    let page = story::page(ground, |doing| eprintln!("{doing} ...")).await?;
    let written = std::fs::write(file, &page);
    let file = file.display();
    written.map_err(|error| format!("{file} cannot be written: {error}"))?;
    Ok(Shown {
        text: format!("{file}: {} KiB\n", page.len().div_ceil(1024)),
        ok: true,
    })
}

fn begin(runs: &Runs, ground: Arc<Ground>, command: &LabCommand) -> Result<Arc<Run>, &'static str> {
    let begun = if let Some(LabRun::Experiment(flags)) = &command.instead {
        let order = ExperimentOrder {
            experiment: Some(flags.name.clone()),
        };
        experiments::begin(runs, ground, order.check()?)
    } else if let Some(LabRun::Incident(flags)) = &command.instead {
        let order = IncidentOrder {
            rate_per_second: flags.rate_per_second,
            query_time_ms: flags.query_time_ms,
            knee: flags.knee,
            ttl_ms: flags.ttl_ms,
            warm_ms: flags.warm_ms,
            outage_ms: flags.outage_ms,
            recovery_ms: flags.recovery_ms,
        };
        incident::begin(runs, ground, order.check()?)
    } else {
        let order = StampedeOrder {
            mode: command.mode.clone(),
            template: command.template,
            query_time_ms: command.query_time_ms,
            knee: command.knee,
            limits: command.limits.clone(),
            strategies: command.strategies.clone(),
            callers: command.callers,
            spread_ms: command.spread_ms,
            rate_per_second: command.rate_per_second,
            ttl_ms: command.ttl_ms,
            duration_ms: command.duration_ms,
        };
        stampede::begin(runs, ground, order.check()?)
    };
    begun.map_err(|why| match why {
        NotBegun::TooLarge(why) => why,
        NotBegun::Busy => "a run is under way",
    })
}

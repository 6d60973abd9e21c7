//! The lab without a browser and without a server: `stampede lab` and `stampede lab incident`.

mod pages;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::plan::{IncidentOrder, StampedeOrder};
use super::run::Run;
use super::stage::Ground;
use super::{incident, stampede};
use crate::backends::Backends;
use crate::config::{Config, LabCommand};
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
    metrics: serde_json::Map<String, serde_json::Value>,
}

/// Shows what the command asks for. Progress goes to standard error meanwhile.
/// An error is what the command, or a setting, asks for in vain.
pub async fn show(config: &Config, command: &LabCommand) -> Result<Shown, String> {
    if !config.lab {
        return Err(
            "the lab makes load: on a database or a cache that is not embedded it needs LAB=true"
                .into(),
        );
    }
    let metrics = Arc::new(Metrics::new("lab"));
    let ground = Arc::new(Ground {
        config: config.clone(),
        backends: Backends::new(config).map_err(|problems| problems.to_string())?,
        metrics: Arc::clone(&metrics),
        flights: Arc::default(),
    });
    let run = begin(ground, command)?;
    let mut said = "";
    while run.is_running() {
        let doing = run.brief().progress.doing;
        if doing != said {
            eprintln!("{doing} ...");
            said = doing;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let view = run.view();
    let ok = view.result["verdict"]["ok"] == true && view.problem.is_none();
    let text = if command.json {
        let document = Document {
            run: view,
            metrics: pages::counters(&metrics.encode()),
        };
        let text = serde_json::to_string_pretty(&document);
        text.expect("a document of names, numbers and texts always serialises") + "\n"
    } else if let Some(problem) = &view.problem {
        format!("{problem}\n")
    } else if command.incident {
        pages::timeline(&view.result)
    } else {
        pages::table(&view.result)
    };
    Ok(Shown { text, ok })
}

fn begin(ground: Arc<Ground>, command: &LabCommand) -> Result<Arc<Run>, &'static str> {
    let number = |name| command.number(name);
    let run = |kind, parts, parameters| Arc::new(Run::new(1, kind, parts, parameters));
    if command.incident {
        let plan = IncidentOrder {
            rate_per_second: number("rate_per_second"),
            query_time_ms: number("query_time_ms"),
            ttl_ms: number("ttl_ms"),
            warm_ms: number("warm_ms"),
            outage_ms: number("outage_ms"),
            recovery_ms: number("recovery_ms"),
        }
        .check()?;
        let run = run("incident", incident::PARTS, serde_json::json!(plan));
        let playing = Arc::clone(&run);
        tokio::spawn(async move {
            playing.end(incident::play(ground, plan, Arc::clone(&playing)).await)
        });
        return Ok(run);
    }
    let plan = StampedeOrder {
        mode: command.mode.clone(),
        template: number("template"),
        query_time_ms: number("query_time_ms"),
        limits: command.limits.clone(),
        strategies: command.strategies.clone(),
        callers: number("callers"),
        spread_ms: number("spread_ms"),
        rate_per_second: number("rate_per_second"),
        ttl_ms: number("ttl_ms"),
        duration_ms: number("duration_ms"),
    }
    .check()?;
    let run = run("stampede", plan.strategies.len(), serde_json::json!(plan));
    let comparing = Arc::clone(&run);
    tokio::spawn(async move {
        comparing.end(stampede::compare(ground, plan, Arc::clone(&comparing)).await)
    });
    Ok(run)
}

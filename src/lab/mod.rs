//! The lab: makes a stampede, and shows how the service prevents one.
//!
//! It runs the production code, not a model of it. A run opens its own [`stage::Stage`] from the same parts as the service,
//! the background traffic is answered by the handler of a GET, and faults are made where a command or a query is sent
//! ([`crate::fault`]).
//!
//! In reading order: [`plan`] is what a run is asked to do and [`limits`] how much; [`strategy`] who competes; [`stage`]
//! where; [`stampede`], [`incident`], [`story`] and [`experiments`] what happens, and [`predict`] what arithmetic says of
//! it beforehand; [`run`] how far it has come, and [`runs`] that there is one at a time. [`conditions`] holds faults and
//! traffic, [`live`] the last five minutes, [`flights`] what is loading, [`explain`] why an answer is as it is, [`traces`]
//! what was done for it. [`guard`]
//! decides who may ask for any of it over HTTP ([`routes`]); [`terminal`] needs no server at all.
#![doc = include_str!("interface.md")]

mod arrivals;
mod assets;
mod conditions;
mod curve;
mod experiments;
mod explain;
mod flights;
mod guard;
mod incident;
mod limits;
mod live;
mod plan;
mod predict;
mod routes;
mod run;
mod runs;
mod stage;
mod stampede;
mod story;
mod strategy;
mod tally;
mod terminal;
mod traces;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::task::AbortHandle;

use crate::backends::{Backends, Faults};
use crate::config::Config;
use crate::http::Http;
use crate::metrics::Metrics;
use crate::service::TemplateService;
use crate::singleflight::Landing;
use crate::template::TemplateId;
use conditions::Conditions;
use flights::FlightLog;
use live::Live;
use runs::Runs;
use stage::Ground;
pub use terminal::{Shown, show};

/// The lab of one service. Cheap to clone.
#[derive(Clone)]
pub struct Lab {
    shared: Arc<SharedLab>,
}

struct SharedLab {
    ground: Arc<Ground>,
    service: TemplateService,
    _sight: Arc<flights::Sight>,
    conditions: Arc<Conditions>,
    live: Live,
    runs: Runs,
    /// Apart from the runs, which are listed and can be looked at again.
    stories: Runs,
    /// Held while one story ends and the next one begins.
    next_story: tokio::sync::Mutex<()>,
    hosts: guard::Hosts,
    tasks: parking_lot::Mutex<Vec<AbortHandle>>,
}

/// Records the loads of a service that is built before its lab.
#[derive(Clone, Default)]
pub struct Watch {
    flights: Arc<FlightLog>,
}

impl Watch {
    /// The hook that the service calls when a load ends.
    pub fn on_landing(&self) -> impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static + use<> {
        self.flights.hook("service")
    }
}

impl Lab {
    /// The lab of this service, whose backends these are and can be made to fail by these switches.
    pub fn new(
        config: &Config,
        backends: Backends,
        faults: Faults,
        service: TemplateService,
        metrics: Arc<Metrics>,
        watch: Watch,
    ) -> Self {
        let Watch { flights } = watch;
        let sight = flights.look_at("service", service.clone());
        let ground = Ground {
            config: config.clone(),
            backends,
            metrics,
            flights,
            traces: Arc::default(),
        };
        let shared = SharedLab {
            conditions: Arc::new(Conditions::new(faults)),
            live: Live::new(ground.metrics.read()),
            ground: Arc::new(ground),
            service,
            _sight: sight,
            runs: Runs::default(),
            stories: Runs::default(),
            next_story: tokio::sync::Mutex::default(),
            hosts: guard::Hosts::of(config),
            tasks: parking_lot::Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Its routes, the page included. From now on the lab takes samples and sends its traffic to `http`.
    pub fn routes(&self, http: Arc<Http>) -> Router {
        let SharedLab {
            conditions, tasks, ..
        } = &*self.shared;
        let lab = Arc::downgrade(&self.shared);
        let begun = [
            tokio::spawn(live::sample(lab, self.shared.live.began.clone())),
            tokio::spawn(conditions::keep(Arc::clone(conditions))),
            tokio::spawn(traffic::generate(Arc::clone(conditions), Arc::clone(&http))),
        ];
        tasks
            .lock()
            .extend(begun.iter().map(|task| task.abort_handle()));
        routes::router(self.clone(), http)
    }

    /// Ends its run, its faults and its tasks, because the service is about to end.
    pub fn stop(&self) {
        let SharedLab { runs, stories, .. } = &*self.shared;
        for run in [runs.last(), stories.last()].into_iter().flatten() {
            run.stop();
        }
        self.shared.conditions.clear();
        let tasks = std::mem::take(&mut *self.shared.tasks.lock());
        tasks.iter().for_each(AbortHandle::abort);
    }
}

/// With microseconds, which is what an answer from a cache takes.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

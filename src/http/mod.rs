//! The router and its handlers. Templates are read in [`reading`], which [`front`] reaches without the router, and written
//! in [`writing`]. What a status code is stands in [`problems`], the headers of a template in [`headers`], what happens to
//! every request in [`observe`], connections in [`server`].

mod connection;
mod front;
mod headers;
mod in_process;
mod observe;
mod problems;
mod query;
mod reading;
mod server;
mod tags;
mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::{Config, Secret};
use crate::lab::Lab;
use crate::metrics::Metrics;
use crate::service::TemplateService;
pub use front::{AnswerBody, Front};
pub(crate) use in_process::{InProcess, count as count_in_process};
use observe::ResponseCount;
pub(crate) use problems::HttpError;
pub use server::{Times, listen, serve};

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    service: TemplateService,
    metrics: Arc<Metrics>,
    admission: Semaphore,
    draining: AtomicBool,
    admin_token: Option<Secret>,
}

impl Http {
    /// Serves this service's templates, and whatever else the settings ask for.
    pub fn new(service: TemplateService, metrics: Arc<Metrics>, config: &Config) -> Self {
        let shared = Shared {
            service,
            metrics,
            admission: Semaphore::new(config.max_in_flight),
            draining: AtomicBool::new(false),
            admin_token: config.admin_token.clone(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// From now on the service says that it wants no more traffic: in `/readyz`, and with every answer.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Every route but the one that templates are read by; those of the lab included if there is one.
    fn router(&self, lab: Option<&Lab>) -> Router {
        let routes = self.routes();
        let routes = match lab {
            Some(lab) => routes.merge(lab.routes(InProcess::new(self.clone()))),
            None => routes,
        };
        self.dress(routes)
    }

    fn routes(&self) -> Router<Self> {
        Router::new()
            .route("/template-details", any(writing::write))
            .route("/metrics", read_only(get(metrics)))
            .route("/healthz", read_only(get(healthz)))
            .route("/readyz", read_only(get(readyz)))
    }

    /// What goes for every request, whatever its route.
    fn dress(&self, routes: Router<Self>) -> Router {
        routes
            .fallback(async || HttpError::NotFound)
            .layer(CatchPanicLayer::custom(problems::after_panic))
            .layer(middleware::from_fn_with_state(
                self.clone(),
                observe::observe,
            ))
            .with_state(self.clone())
    }
}

/// What an address that nothing can be written to answers to.
const READ_ONLY: &str = "GET, HEAD";

fn read_only(route: MethodRouter<Http>) -> MethodRouter<Http> {
    route.fallback(async || HttpError::MethodNotAllowed { allow: READ_ONLY })
}

/// Counts what was not answered as asked, and says why.
fn refuse(shared: &Shared, error: HttpError, mut count: ResponseCount<'_>) -> Response {
    count.came_from(error.source());
    if let HttpError::Shed(reason) = error {
        shared.metrics.requests_shed.of(reason).inc();
    }
    error.into_response()
}

async fn metrics(State(http): State<Http>) -> Response {
    let exposition = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, exposition)], http.shared.metrics.encode()).into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// A backend that is down makes the service degraded, not unready: it is down for every replica, and taking them all
/// out of service would help nobody.
async fn readyz(State(http): State<Http>) -> Result<String, HttpError> {
    if http.is_draining() {
        return Err(HttpError::Draining);
    }
    let word = |up| if up { "ok" } else { "down" };
    let service = &http.shared.service;
    Ok(format!(
        "database: {}\ncache: {}\n",
        word(service.database_is_up()),
        word(service.cache_is_up())
    ))
}

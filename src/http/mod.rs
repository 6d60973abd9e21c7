//! HTTP: what callers may ask for, and how they are answered. It knows the service below it and nothing of the lab.
//!
//! [`router`] has every route. [`reading`] answers a GET of a template, [`writing`] its PUT and DELETE, and [`query`] says
//! which template is asked for. [`headers`] says what a template's answer carries, [`problems`] what a refusal does.
//! [`observe`] counts every request, [`access_log`] logs it, and [`traced`] has its span. [`server`] accepts the
//! connections, whose time-outs are in [`connection`].

mod access_log;
mod connection;
mod headers;
mod observe;
mod problems;
mod query;
mod reading;
mod router;
mod server;
mod traced;
mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{Either, Full};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{Config, Secret};
use crate::metrics::Metrics;
use crate::outcomes::ShedReason;
use crate::service::TemplateService;
pub(crate) use observe::count_in_process;
pub(crate) use problems::HttpError;
pub use router::Dispatcher;
pub use server::{ServerOptions, listen, serve};

/// The body of a template, or what the router made.
pub type AnswerBody = Either<Full<Bytes>, Body>;

/// What the handlers share.
pub struct Http {
    service: TemplateService,
    metrics: Arc<Metrics>,
    admission: Semaphore,
    draining: AtomicBool,
    admin_token: Option<Secret>,
}

impl Http {
    /// Serves the templates of this service, as the settings say.
    pub fn new(service: TemplateService, metrics: Arc<Metrics>, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            service,
            metrics,
            admission: Semaphore::new(config.max_in_flight),
            draining: AtomicBool::new(false),
            admin_token: config.admin_token.clone(),
        })
    }

    /// From now on `/readyz` is 503, and every answer closes its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// A place among the `MAX_IN_FLIGHT` requests that are answered at once.
    fn admit(&self) -> Result<SemaphorePermit<'_>, HttpError> {
        let place = self.admission.try_acquire();
        place.map_err(|_| HttpError::Shed(ShedReason::InFlight))
    }
}

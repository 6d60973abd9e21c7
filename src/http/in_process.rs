//! Requests that come from inside this process: the lab's. They are counted as those that come over a socket.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::error::HttpError;
use crate::metrics::Metrics;
use crate::metrics::labels::{Method, Route, Source};
use crate::service::Refusal;

/// The service's own routes, asked without a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct InProcess(TowerToHyperService<Router>);

impl InProcess {
    pub(super) fn new(router: Router) -> Self {
        Self(TowerToHyperService::new(router))
    }

    /// The answer to a GET of this path and query; none if that is no address at all.
    pub(crate) async fn get(&self, address: &str) -> Option<Response> {
        let request = Request::get(address).body(Body::empty()).ok()?;
        let Ok(response) = self.0.call(request).await;
        Some(response)
    }
}

/// Counts a request for a template that was put to a service directly, as its answer would have been, and says as what.
pub(crate) fn count(metrics: &Metrics, outcome: Result<Source, Refusal>, took: Duration) -> Source {
    let (source, status) = match outcome {
        Ok(Source::NotFound) => (
            Source::NotFound,
            HttpError::NoSuchTemplate.status().as_u16(),
        ),
        Ok(source) => (source, 200),
        Err(refusal) => {
            let error = HttpError::from(refusal);
            if let HttpError::Shed(reason) = error {
                metrics.requests_shed.of(reason).inc();
            }
            (error.source(), error.status().as_u16())
        }
    };
    metrics.template_responses.of(source).inc();
    let (route, method) = (Route::TemplateDetails, Method::Get);
    metrics
        .http
        .observe(route, method, status, took.as_secs_f64());
    source
}

//! Requests that come from inside this process: the lab's. They are counted as those that come over a socket.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;

use super::Http;
use super::observe::request_id;
use super::problems::HttpError;
use super::reading::Question;
use crate::metrics::Metrics;
use crate::metrics::labels::{Method, Route, Source};
use crate::service::Refusal;

/// The service's own way to a template, asked without a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct InProcess(Http);

impl InProcess {
    pub(super) fn new(http: Http) -> Self {
        Self(http)
    }

    /// The answer to a GET for a template with this query; none if it cannot stand in an address.
    pub(crate) async fn get_template(&self, query: &str) -> Option<Response> {
        let address = format!("{}?{query}", Route::TemplateDetails.as_str());
        let (head, ()) = Request::get(address).body(()).ok()?.into_parts();
        let (id, question) = (request_id(&head.headers), Question::asked_by(head));
        let response = self.0.read(Method::Get, id, question).await;
        Some(response.map(Body::new))
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

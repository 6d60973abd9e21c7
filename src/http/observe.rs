//! What happens to every request, whatever its route: an id, a count, a duration, a log line at `debug`.
//!
//! A request whose sender hangs up is counted as well, under [`HUNG_UP`]: no request goes missing from the equation
//! between requests and answers.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::debug;

use super::Http;
use super::error::Problem;
use crate::metrics::labels::{Method, Route, Source};
use crate::metrics::{GaugeGuard, HUNG_UP, Metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 64;

pub(super) async fn observe(State(http): State<Http>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let mut observed = Observed::begin(&http.shared.metrics, &request);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = problem.body(id.to_str().unwrap_or_default());
    }
    observed.status = response.status().as_u16();
    if tracing::enabled!(tracing::Level::DEBUG) {
        observed.log(&id);
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The caller's id, if it is one that can go into a log as it is; else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let theirs = request.headers().get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=LONGEST_REQUEST_ID).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    });
    theirs.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(format!("{:016x}", fastrand::u64(..)))
            .expect("made of hexadecimal digits")
    })
}

/// One request; counts itself when it is dropped, however it ended.
struct Observed {
    metrics: Arc<Metrics>,
    route: Route,
    method: Method,
    began: Instant,
    status: u16,
    _in_flight: GaugeGuard,
}

impl Observed {
    fn begin(metrics: &Arc<Metrics>, request: &Request) -> Self {
        let path = request
            .extensions()
            .get::<MatchedPath>()
            .map(MatchedPath::as_str);
        let route = match path {
            Some(path) if path.starts_with("/lab") => Some(Route::Lab),
            path => Route::ALL
                .iter()
                .copied()
                .find(|route| Some(route.as_str()) == path),
        };
        Self {
            metrics: Arc::clone(metrics),
            route: route.unwrap_or(Route::Unmatched),
            method: Method::named(request.method().as_str()),
            began: Instant::now(),
            status: HUNG_UP,
            _in_flight: GaugeGuard::raise(&metrics.http.in_flight),
        }
    }

    fn log(&self, id: &HeaderValue) {
        let (method, path, status) = (self.method.as_str(), self.route.as_str(), self.status);
        let milliseconds = self.began.elapsed().as_secs_f64() * 1e3;
        debug!(
            request_id = id.to_str().unwrap_or_default(),
            method, path, status, milliseconds, "answered"
        );
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.metrics
            .http
            .observe(self.route, self.method, self.status, seconds);
    }
}

/// Counts one request for a template in `template_responses_total` when it is dropped, however it ended.
pub(super) struct ResponseCount<'a> {
    metrics: &'a Metrics,
    source: Source,
}

impl<'a> ResponseCount<'a> {
    pub(super) fn new(metrics: &'a Metrics) -> Self {
        Self {
            metrics,
            source: Source::Error,
        }
    }

    pub(super) fn came_from(&mut self, source: Source) {
        self.source = source;
    }
}

impl Drop for ResponseCount<'_> {
    fn drop(&mut self) {
        self.metrics.template_responses.of(self.source).inc();
    }
}

//! What happens to every request, whatever its route: an id, a count, a duration, a log line at `debug`.
//!
//! A request whose sender hangs up is counted as well, under [`HUNG_UP`]: no request goes missing from the equation
//! between requests and answers.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::debug;

use super::Http;
use super::problems::Problem;
use crate::metrics::labels::{Method, Route, Source};
use crate::metrics::{HUNG_UP, HttpMetrics, Metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 64;

pub(super) async fn observe(State(http): State<Http>, request: Request, next: Next) -> Response {
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
    let route = route.unwrap_or(Route::Unmatched);
    let method = Method::named(request.method().as_str());
    let id = request_id(request.headers());
    let mut observed = Observed::begin(&http.shared.metrics, route, method);
    observed.refused(id, next.run(request).await)
}

/// The caller's id, if it is one that can go into a log as it is; else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let theirs = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=LONGEST_REQUEST_ID).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    });
    // A copy: a part of the request would keep all of its memory from being used for the next.
    let theirs = theirs.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
    theirs.unwrap_or_else(|| {
        let mut random = fastrand::u64(..);
        let digits: [u8; 16] = std::array::from_fn(|_| {
            random = random.rotate_left(4);
            b"0123456789abcdef"[random as usize & 15]
        });
        HeaderValue::from_bytes(&digits).expect("made of hexadecimal digits")
    })
}

/// One request; counts itself when it is dropped, however it ended.
pub(super) struct Observed<'a> {
    metrics: &'a HttpMetrics,
    route: Route,
    method: Method,
    began: Instant,
    status: u16,
}

impl<'a> Observed<'a> {
    pub(super) fn begin(metrics: &'a Metrics, route: Route, method: Method) -> Self {
        metrics.http.in_flight.inc();
        Self {
            metrics: &metrics.http,
            route,
            method,
            began: Instant::now(),
            status: HUNG_UP,
        }
    }

    /// Takes note of the answer, and puts the request's id on it.
    pub(super) fn answered<B>(
        &mut self,
        id: HeaderValue,
        mut response: Response<B>,
    ) -> Response<B> {
        self.status = response.status().as_u16();
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.log(&id);
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    /// The same, for an answer that may have a problem to explain.
    pub(super) fn refused(&mut self, id: HeaderValue, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            *response.body_mut() = problem.body(id.to_str().unwrap_or_default());
        }
        self.answered(id, response)
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

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.metrics.in_flight.dec();
        self.metrics
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

//! What requests to every route get: an id, a count, a duration, a line of the access log.
//!
//! A request whose caller hangs up is counted as well, under [`HUNG_UP`], so that requests and answers add up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::access_log::{self, Line};
use super::problems::{self, HttpError};
use super::{Http, query, traced};
use crate::metrics::labels::{Method, Route};
use crate::metrics::{HUNG_UP, HttpMetrics, Metrics};
use crate::outcomes::Source;
use crate::service::Refusal;
use crate::template::TemplateId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 64;

/// The layer that observes what goes through the router.
pub(super) async fn observe(
    State(http): State<Arc<Http>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str);
    let route = match path {
        Some(path) if path.starts_with("/lab") => Route::Lab,
        path => {
            let mut routes = Route::ALL.iter().copied();
            let route = routes.find(|route| Some(route.as_str()) == path);
            route.unwrap_or(Route::Unmatched)
        }
    };
    let method = Method::named(request.method().as_str());
    let id = request_id(request.headers());
    let mut observed = Observed::begin(&http.metrics, route, method);
    if route == Route::TemplateDetails && access_log::is_on() {
        observed.template = query::template_id(request.uri().query()).ok();
    }
    let response = problems::explain(next.run(request).await, &id);
    observed.finish(id, response)
}

/// The caller's id for the request if it is safe in a log, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let theirs = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=LONGEST_REQUEST_ID).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    });
    // A copy, because a slice of the request would keep its memory from being used for the next request.
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

/// One request, which is counted when this is dropped, however it ended.
pub(super) struct Observed<'a> {
    metrics: &'a HttpMetrics,
    route: Route,
    method: Method,
    /// Which one was asked for, for the access log.
    pub(super) template: Option<TemplateId>,
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
            template: None,
            began: Instant::now(),
            status: HUNG_UP,
        }
    }

    /// Notes the answer's status and puts the request's id on it.
    pub(super) fn finish<B>(mut self, id: HeaderValue, mut response: Response<B>) -> Response<B> {
        self.status = response.status().as_u16();
        if access_log::is_on() {
            self.line(Some(&id)).write(Some(response.headers()));
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    fn line<'b>(&self, request_id: Option<&'b HeaderValue>) -> Line<'b> {
        Line {
            request_id,
            method: self.method,
            route: self.route,
            template: self.template,
            status: self.status,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        if self.status == HUNG_UP && access_log::is_on() {
            self.line(None).write(None);
        }
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

    /// The template was answered from this source.
    pub(super) fn answered(&mut self, source: Source) {
        self.source = source;
    }

    /// The request was refused; this is its response.
    pub(super) fn refused(mut self, error: HttpError) -> Response {
        self.note(error);
        error.into_response()
    }

    fn note(&mut self, error: HttpError) {
        self.source = error.source();
        if let HttpError::Shed(reason) = error {
            self.metrics.requests_shed.of(reason).inc();
        }
    }
}

impl Drop for ResponseCount<'_> {
    fn drop(&mut self) {
        self.metrics.template_responses.of(self.source).inc();
        traced::note_source(self.source);
    }
}

/// Counts a request that the service answered without HTTP as if it had come over HTTP, and returns its source.
pub(crate) fn count_in_process(
    metrics: &Metrics,
    outcome: Result<Source, Refusal>,
    took: Duration,
) -> Source {
    let mut count = ResponseCount::new(metrics);
    let refusal = match outcome {
        Ok(Source::NotFound) => Some(HttpError::NoSuchTemplate),
        Ok(source) => {
            count.answered(source);
            None
        }
        Err(refusal) => Some(refusal.into()),
    };
    let status = refusal.map_or(StatusCode::OK, |error| {
        count.note(error);
        error.status()
    });
    let (route, method) = (Route::TemplateDetails, Method::Get);
    metrics
        .http
        .observe(route, method, status.as_u16(), took.as_secs_f64());
    count.source
}

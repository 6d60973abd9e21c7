//! The span of a request for a template: whether there is one, and what it says.
//!
//! Other routes have none: they are asked by probes and scrapers, and would drown what people ask for.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

use super::Http;
use super::headers::SERVER_TIMING;
use super::query::LONGEST_QUERY;
use crate::metrics::labels::{Method, Route};
use crate::outcomes::Source;
use crate::telemetry::traces::{Span, current};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl Http {
    /// The span of a request to the templates' route, if it is sampled.
    #[inline]
    pub(super) fn begin_span<B>(&self, method: Method, request: &Request<B>) -> Option<Span> {
        let headers = request.headers();
        let span = self.service.traces().request(
            name(method),
            || Some(headers.get(TRACEPARENT)?.as_bytes()),
            || tracestate(headers),
        )?;
        span.set("http.request.method", method.as_str());
        span.set("http.route", Route::TemplateDetails.as_str());
        span.set("url.path", Route::TemplateDetails.as_str());
        span.set("url.scheme", "http");
        let query = request.uri().query();
        if let Some(query) = query.filter(|query| query.len() <= LONGEST_QUERY) {
            span.set("url.query", query.to_owned());
        }
        Some(span)
    }
}

/// What W3C asks to be passed on. Every span of the request has a copy.
const LONGEST_STATE: usize = 512;

/// All lines of the header as one; none of them if they are too long.
fn tracestate(headers: &HeaderMap) -> String {
    let lines = headers.get_all(TRACESTATE).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    let state = lines.join(",");
    if state.len() <= LONGEST_STATE {
        state
    } else {
        String::new()
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET /template-details",
        Method::Head => "HEAD /template-details",
        Method::Put => "PUT /template-details",
        Method::Delete => "DELETE /template-details",
        _ => "HTTP /template-details",
    }
}

/// Says in the span how the request was answered, and in the answer which trace it is.
///
/// `Server-Timing` is where browsers' and other vendors' tools look for it.
pub(super) fn finish<B>(span: Span, response: &mut Response<B>) {
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail(match status {
            StatusCode::SERVICE_UNAVAILABLE => "503",
            _ => "500",
        });
    }
    let value = format!("traceparent;desc=\"{}\"", span.traceparent());
    let value = HeaderValue::try_from(value).expect("made of digits and ASCII literals");
    response.headers_mut().append(SERVER_TIMING, value);
    span.finish();
}

/// Says in the span of the request, if there is one, where its answer came from.
pub(super) fn note_source(source: Source) {
    if let Some(span) = current() {
        span.set("stampede.source", source.as_str());
    }
}

//! `ACCESS_LOG=true`: one line per request, with what the caller asked and what it got.
//!
//! The lines have a target of their own, which the filter turns on and off. Off, a request pays for one atomic load.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::{Level, info};

use crate::config::ACCESS_LOG;
use crate::metrics::labels::{Method, Route};
use crate::template::TemplateId;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// One request, as its line says it.
pub(super) struct Line<'a> {
    /// None if its caller hung up before the answer.
    pub(super) request_id: Option<&'a HeaderValue>,
    pub(super) method: Method,
    pub(super) route: Route,
    pub(super) template: Option<TemplateId>,
    pub(super) status: u16,
    pub(super) seconds: f64,
}

/// Whether there is to be a line.
pub(super) fn is_on() -> bool {
    tracing::enabled!(target: ACCESS_LOG, Level::INFO)
}

impl Line<'_> {
    /// Writes the line of a request that was answered with these headers.
    pub(super) fn write(&self, headers: Option<&HeaderMap>) {
        let text = |value: Option<&HeaderValue>| {
            value.and_then(|value| value.to_str().ok().map(str::to_owned))
        };
        info!(
            target: ACCESS_LOG,
            request_id = text(self.request_id),
            method = self.method.as_str(),
            path = self.route.as_str(),
            template = self.template.map(TemplateId::number),
            status = self.status,
            cache = text(headers.and_then(|headers| headers.get(CACHE_STATUS))),
            milliseconds = self.seconds * 1e3,
            "answered"
        );
    }
}

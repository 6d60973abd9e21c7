//! [`Recorder`]: keeps spans in memory, for those who look at them without a collector.

use std::collections::BTreeMap;
use std::time::SystemTime;

use opentelemetry::SpanId;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;
use serde::Serialize;

use super::Sink;

/// Keeps the first spans that end, up to a number.
pub struct Recorder {
    spans: Mutex<Vec<SpanData>>,
    most: usize,
}

/// A span that was kept. Times count from the beginning of the first one.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    name: String,
    id: String,
    /// None for the first of a trace.
    parent: Option<String>,
    /// The ids of the spans that it links to.
    links: Vec<String>,
    start_ms: f64,
    took_ms: f64,
    failed: bool,
    attributes: BTreeMap<String, String>,
}

impl Recorder {
    /// Keeps so many.
    pub fn new(most: usize) -> Self {
        Self {
            spans: Mutex::default(),
            most,
        }
    }

    /// What was kept, in the order in which they began.
    pub fn spans(&self) -> Vec<Recorded> {
        let spans = self.spans.lock();
        let first = spans.iter().map(|span| span.start_time).min();
        let first = first.unwrap_or(SystemTime::UNIX_EPOCH);
        let mut recorded: Vec<_> = spans.iter().map(|span| Recorded::of(span, first)).collect();
        recorded.sort_by(|one, other| one.start_ms.total_cmp(&other.start_ms));
        recorded
    }
}

impl Sink for Recorder {
    fn take(&self, span: SpanData) {
        let mut spans = self.spans.lock();
        if spans.len() < self.most {
            spans.push(span);
        }
    }
}

impl Recorded {
    fn of(span: &SpanData, first: SystemTime) -> Self {
        let milliseconds = |from: SystemTime, to: SystemTime| {
            let took = to.duration_since(from).unwrap_or_default();
            took.as_micros() as f64 / 1e3
        };
        let links = span.links.iter();
        let links = links.map(|link| link.span_context.span_id().to_string());
        let attributes = span.attributes.iter();
        let attributes = attributes.map(|it| (it.key.to_string(), it.value.to_string()));
        Self {
            name: span.name.to_string(),
            id: span.span_context.span_id().to_string(),
            parent: (span.parent_span_id != SpanId::INVALID)
                .then(|| span.parent_span_id.to_string()),
            links: links.collect(),
            start_ms: milliseconds(first, span.start_time),
            took_ms: milliseconds(span.start_time, span.end_time),
            failed: matches!(span.status, Status::Error { .. }),
            attributes: attributes.collect(),
        }
    }

    /// What was done in it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

//! The spans of loads and of those who wait for them.
//!
//! A load is one span, however many callers it has. A follower's wait links to it, and not the load to its followers: a
//! flight may have thousands of callers, and a span has room for 128 links.

use super::loaded::Loaded;
use crate::outcomes::Refresh;
use crate::singleflight::{Group, Landing, Loading, Outcome, Part, Role};
use crate::store::LoadError;
use crate::telemetry::traces::{Span, SpanKind, SpanRef, Traces, current};
use crate::template::TemplateId;

const LOAD: &str = "template.load";

type Flights = Group<TemplateId, Loaded, LoadError>;

/// Begins the span of a load for callers who wait. Its flight's landing ends it.
pub(super) fn begin_load(traces: &Traces, id: TemplateId, loading: &Loading) -> Option<SpanRef> {
    traces.shared(LOAD).map(|load| leave(load, id, loading))
}

/// Begins the span of a refresh: no caller waits for it.
pub(super) fn begin_refresh(
    traces: &Traces,
    id: TemplateId,
    loading: &Loading,
    reason: Refresh,
) -> Option<SpanRef> {
    let load = leave(traces.behind(LOAD)?, id, loading);
    load.set("stampede.refresh.reason", reason.as_str());
    Some(load)
}

fn leave(load: Span, id: TemplateId, loading: &Loading) -> SpanRef {
    let load = load.share();
    load.set("stampede.template.id", id.number());
    loading.leave_note(load.to_note());
    load
}

/// Ends the span of a load.
pub(super) fn landed(landing: &Landing<'_, TemplateId>, outcome: Outcome) {
    let Some(load) = landing.note.and_then(SpanRef::of_note) else {
        return;
    };
    load.set("stampede.flight.callers", i64::from(landing.callers));
    load.set("stampede.flight.outcome", outcome.as_str());
    load.set("stampede.flight.generation", landing.generation.to_string());
    if outcome != Outcome::Ok {
        load.fail(outcome.as_str());
    }
    load.end();
}

/// A traced caller on its way to a flight, until it is known to lead one. If it is dropped before, it has hung up.
pub(super) struct Wait<'a> {
    span: Option<Span>,
    id: TemplateId,
    flights: &'a Flights,
}

impl<'a> Wait<'a> {
    /// None if the caller is not traced.
    pub(super) fn begin(flights: &'a Flights, id: TemplateId) -> Option<Self> {
        let span = current()?.child("template.wait", SpanKind::Internal);
        span.set("stampede.template.id", id.number());
        Some(Self {
            span: Some(span),
            id,
            flights,
        })
    }

    /// The span for the loader to discard: the caller whose loader is called leads a flight and does not wait.
    pub(super) fn span(&self) -> Option<SpanRef> {
        self.span.as_deref().cloned()
    }

    /// Ends it as the caller's part says.
    pub(super) fn finish(mut self, part: Option<&Part>) {
        let Some(span) = self.span.take() else { return };
        match part {
            Some(part) if part.role == Role::Follower => {
                if let Some(load) = part.note.as_ref().and_then(SpanRef::of_note) {
                    span.link_to(&load);
                }
                span.end_after(part.waited);
            }
            Some(_) | None => span.discard(),
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(span) = &self.span else { return };
        let load = self.flights.note(&self.id);
        if let Some(load) = load.as_ref().and_then(SpanRef::of_note) {
            span.link_to(&load);
        }
    }
}

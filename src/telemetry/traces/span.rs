//! [`Span`]: one piece of work, from its beginning to its end, and what is told of it meanwhile.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use parking_lot::Mutex;
use tracing::Instrument as _;

use super::context::{new_span_id, new_trace_id};
use super::{CURRENT, Sink};

/// Which span it is, and whose child.
pub(super) struct Identity {
    context: SpanContext,
    parent: SpanId,
    parent_is_remote: bool,
}

impl Identity {
    /// The span of a request. `parent` is the span of its caller.
    pub(super) fn of_request(trace_id: TraceId, parent: Option<SpanId>, state: TraceState) -> Self {
        let span_id = new_span_id();
        Self {
            context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state),
            parent: parent.unwrap_or(SpanId::INVALID),
            parent_is_remote: parent.is_some(),
        }
    }

    pub(super) fn root(trace_id: TraceId) -> Self {
        let state = TraceState::default();
        let span_id = new_span_id();
        Self {
            context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state),
            parent: SpanId::INVALID,
            parent_is_remote: false,
        }
    }

    fn child_of(parent: &SpanContext) -> Self {
        let (trace_id, state) = (parent.trace_id(), parent.trace_state().clone());
        let span_id = new_span_id();
        Self {
            context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state),
            parent: parent.span_id(),
            parent_is_remote: false,
        }
    }
}

/// A span that its work holds. Dropped before [`Span::finish`], it ends as cancelled.
pub struct Span {
    open: SpanRef,
    is_shared: bool,
}

/// A span that others know of: to be a parent, to be linked to, to be told more.
#[derive(Clone)]
pub struct SpanRef(Arc<Open>);

struct Open {
    identity: Identity,
    name: &'static str,
    kind: SpanKind,
    began: SystemTime,
    clock: Instant,
    /// None once it has ended.
    told: Mutex<Option<Told>>,
    sink: Arc<dyn Sink>,
}

/// What is known of a span besides its name and its times.
#[derive(Default)]
struct Told {
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
    status: Status,
}

impl Span {
    pub(super) fn begin(
        identity: Identity,
        name: &'static str,
        kind: SpanKind,
        sink: Arc<dyn Sink>,
    ) -> Self {
        let open = Open {
            identity,
            name,
            kind,
            began: SystemTime::now(),
            clock: Instant::now(),
            told: Mutex::new(Some(Told::default())),
            sink,
        };
        Self {
            open: SpanRef(Arc::new(open)),
            is_shared: false,
        }
    }

    /// Ends it.
    pub fn finish(self) {
        self.end();
    }

    /// Leaves it to those who know of it to end it.
    pub fn share(mut self) -> SpanRef {
        self.is_shared = true;
        self.open.clone()
    }
}

impl Deref for Span {
    type Target = SpanRef;

    fn deref(&self) -> &SpanRef {
        &self.open
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_shared {
            self.fail("cancelled");
            self.end();
        }
    }
}

impl SpanRef {
    /// Begins a span of a part of this one's work.
    pub fn child(&self, name: &'static str, kind: SpanKind) -> Span {
        let identity = Identity::child_of(self.context());
        Span::begin(identity, name, kind, Arc::clone(&self.0.sink))
    }

    /// Begins a span of asking a database or a cache for something.
    pub fn ask(&self, name: &'static str, system: &'static str, operation: &'static str) -> Span {
        let span = self.child(name, SpanKind::Client);
        span.set("db.system.name", system);
        span.set("db.operation.name", operation);
        span
    }

    /// Begins the first span of a trace, of work that this one has caused and does not wait for.
    pub fn consequence(&self, name: &'static str, kind: SpanKind) -> Span {
        let (sink, identity) = (Arc::clone(&self.0.sink), Identity::root(new_trace_id()));
        let span = Span::begin(identity, name, kind, sink);
        span.link_to(self);
        span
    }

    /// Links to another span. If this one is exported, so is the other, even if it was held.
    pub fn link_to(&self, other: &Self) {
        self.tell(|told| {
            if self.0.sink.is_wanted() {
                other.0.sink.want();
            }
            let link = Link::new(other.context().clone(), Vec::new(), 0);
            told.links.push(link);
        });
    }

    /// Adds an attribute.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        self.tell(|told| told.attributes.push(KeyValue::new(name, value)));
    }

    /// Says that its work has failed. `reason` is one of a few.
    pub fn fail(&self, reason: &'static str) {
        self.tell(|told| {
            told.attributes.push(KeyValue::new("error.type", reason));
            told.status = Status::error("");
        });
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        self.0.told.lock().as_mut().map(tell);
    }

    /// Ends it now, unless it has ended.
    pub fn end(&self) {
        self.end_after(self.0.clock.elapsed());
    }

    /// Ends it so long after its beginning, unless it has ended.
    pub fn end_after(&self, took: Duration) {
        let Some(told) = self.0.told.lock().take() else {
            return;
        };
        let Open { identity, .. } = &*self.0;
        let mut links = SpanLinks::default();
        links.links = told.links;
        self.0.sink.take(SpanData {
            span_context: identity.context.clone(),
            parent_span_id: identity.parent,
            parent_span_is_remote: identity.parent_is_remote,
            span_kind: self.0.kind.clone(),
            name: self.0.name.into(),
            start_time: self.0.began,
            end_time: self.0.began + took,
            attributes: told.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: told.status,
            instrumentation_scope: InstrumentationScope::default(),
        });
    }

    /// Its work turned out to be none: it is not exported.
    pub fn discard(&self) {
        self.0.told.lock().take();
    }

    fn context(&self) -> &SpanContext {
        &self.0.identity.context
    }

    /// As the header of that name says it.
    pub fn traceparent(&self) -> String {
        let (trace_id, span_id) = (self.context().trace_id(), self.context().span_id());
        format!("00-{trace_id}-{span_id}-01")
    }

    /// Runs work in which this is the current span, and whose log lines carry its ids.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let (trace_id, span_id) = (self.context().trace_id(), self.context().span_id());
        let logged = tracing::error_span!("trace", %trace_id, %span_id);
        CURRENT.scope(self.clone(), work).instrument(logged)
    }

    /// In a form in which a group can hand it to its callers.
    pub fn to_note(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::<Open>::clone(&self.0)
    }

    /// What [`SpanRef::to_note`] made.
    pub fn of_note(note: &Arc<dyn Any + Send + Sync>) -> Option<Self> {
        Arc::clone(note).downcast().ok().map(Self)
    }
}

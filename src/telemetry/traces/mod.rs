//! [`Traces`]: spans of requests, loads, queries and commands, in OpenTelemetry's model.
//!
//! A span begins where its work is done, as a child of the [`current`] one. That is a task-local, so that caches and
//! stores need no parameter for it; without a sampled request it is not set, and nothing is made. [`context`] continues
//! the caller's trace and decides whether it is sampled, [`export`] sends what has ended, and
//! [`recorder`] keeps it for the lab.
//!
//! Types and wire format are OpenTelemetry's. Neither its tracer nor `tracing-opentelemetry` is used, for three reasons:
//!
//! - Both build a span before they decide that it is not sampled. Here an unsampled request costs a look at one header,
//!   2 % of a Redis hit (`unsampled` of `bench/gate`).
//! - A load without a sampled leader must be there for a sampled follower to link to. It is *held*: kept until it ends,
//!   and exported only if a sampled span has linked to it. Both of them decide when a span begins.
//! - A span of `tracing` exists only if the log's filter lets it. No link may depend on `RUST_LOG`.

mod context;
mod export;
mod recorder;

use std::any::Any;
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::Either;
use opentelemetry::trace::{Link, SpanContext, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use parking_lot::Mutex;
use tracing::Instrument as _;

pub use context::Sampler;
use context::{Parent, new_span_id, new_trace_id};
pub use export::{Exporter, start};
pub use opentelemetry::trace::SpanKind;
pub use recorder::{Recorded, Recorder};

/// Where spans go that have ended.
pub trait Sink: Send + Sync {
    /// Takes one. It must not wait.
    fn take(&self, span: SpanData);

    /// Whether what it takes is exported.
    fn is_wanted(&self) -> bool {
        true
    }

    /// A span that is exported has linked to one that goes here.
    fn want(&self) {}
}

/// Begins traces, or none if it is the default. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracer>>);

struct Tracer {
    sampler: Sampler,
    sink: Arc<dyn Sink>,
}

impl Traces {
    /// Traces of what this sampler admits.
    pub fn to(sink: Arc<dyn Sink>, sampler: Sampler) -> Self {
        Self(Some(Arc::new(Tracer { sampler, sink })))
    }

    /// The span of a request with these two headers of W3C's Trace Context, if it is sampled.
    #[inline]
    pub fn request<'a>(
        &self,
        name: &'static str,
        traceparent: impl FnOnce() -> Option<&'a [u8]>,
        tracestate: impl FnOnce() -> String,
    ) -> Option<Span> {
        let tracer = self.0.as_ref()?;
        let parent = traceparent().and_then(Parent::parse);
        let trace_id = tracer.sampler.admit(parent.as_ref())?;
        let state = parent.and_then(|_| tracestate().parse().ok());
        let state = state.unwrap_or_default();
        let identity = Identity {
            context: SpanContext::new(trace_id, new_span_id(), TraceFlags::SAMPLED, false, state),
            parent_is_remote: parent.is_some(),
            parent: parent.map_or(SpanId::INVALID, |parent| parent.span_id),
        };
        Some(tracer.begin(identity, name, SpanKind::Server))
    }

    /// A span that nobody asked for, if it is sampled: the first of a trace.
    pub fn root(&self, name: &'static str, kind: SpanKind) -> Option<Span> {
        let tracer = self.0.as_ref()?;
        let trace_id = tracer.sampler.admit(None)?;
        let identity = Identity::root(trace_id);
        Some(tracer.begin(identity, name, kind))
    }

    /// A span of work that its caller shares with others: its child, or a held one if the caller is not sampled.
    ///
    /// The held one is the root of a trace of its own. The caller's trace, if there is one, was not to be recorded.
    pub fn shared(&self, name: &'static str) -> Option<Span> {
        match current() {
            Some(caller) => Some(caller.child(name, SpanKind::Internal)),
            None => self.0.as_ref().map(|tracer| tracer.held(name)),
        }
    }

    /// A span of work that goes on behind its cause: the first of a trace, with a link to the current span. Without a
    /// sampled cause it is held.
    pub fn behind(&self, name: &'static str) -> Option<Span> {
        match current() {
            Some(cause) => Some(cause.consequence(name, SpanKind::Internal)),
            None => self.0.as_ref().map(|tracer| tracer.held(name)),
        }
    }
}

impl Tracer {
    fn begin(&self, identity: Identity, name: &'static str, kind: SpanKind) -> Span {
        Span::begin(identity, name.into(), kind, Arc::clone(&self.sink))
    }

    fn held(&self, name: &'static str) -> Span {
        let held = Arc::new(Held {
            ended: Mutex::new(Some(Vec::new())),
            sink: Arc::clone(&self.sink),
        });
        let identity = Identity::root(new_trace_id());
        Span::begin(identity, name.into(), SpanKind::Internal, held)
    }
}

/// Keeps the spans of one load until a sampled span links to one of them. A load has few.
struct Held {
    /// None once they are wanted.
    ended: Mutex<Option<Vec<SpanData>>>,
    sink: Arc<dyn Sink>,
}

impl Sink for Held {
    fn take(&self, span: SpanData) {
        match &mut *self.ended.lock() {
            Some(ended) => ended.push(span),
            None => self.sink.take(span),
        }
    }

    fn is_wanted(&self) -> bool {
        self.ended.lock().is_none()
    }

    fn want(&self) {
        let ended = self.ended.lock().take();
        for span in ended.into_iter().flatten() {
            self.sink.take(span);
        }
    }
}

/// Which span it is, and whose child.
struct Identity {
    context: SpanContext,
    parent: SpanId,
    parent_is_remote: bool,
}

impl Identity {
    fn root(trace_id: opentelemetry::TraceId) -> Self {
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
    name: Cow<'static, str>,
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
    fn begin(
        identity: Identity,
        name: Cow<'static, str>,
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
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Span {
        let identity = Identity::child_of(self.context());
        Span::begin(identity, name.into(), kind, Arc::clone(&self.0.sink))
    }

    /// Begins a span of asking a database or a cache for something.
    pub fn ask(
        &self,
        name: impl Into<Cow<'static, str>>,
        system: &'static str,
        operation: &'static str,
    ) -> Span {
        let span = self.child(name, SpanKind::Client);
        span.set("db.system.name", system);
        span.set("db.operation.name", operation);
        span
    }

    /// Begins the first span of a trace, of work that this one has caused and does not wait for.
    pub fn consequence(&self, name: &'static str, kind: SpanKind) -> Span {
        let (sink, identity) = (Arc::clone(&self.0.sink), Identity::root(new_trace_id()));
        let span = Span::begin(identity, name.into(), kind, sink);
        span.link_to(self);
        span
    }

    /// Links to another span, which is exported then even if it was held, as far as this one is.
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

    /// Its work has failed, for a reason of a few.
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
            name: self.0.name.clone(),
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

tokio::task_local! {
    static CURRENT: SpanRef;
}

/// The span of the work that is under way, if it is traced.
#[inline]
pub fn current() -> Option<SpanRef> {
    CURRENT.try_with(SpanRef::clone).ok()
}

/// Work that goes on in another task, with the current span in it as well.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    within(current().as_ref(), work)
}

/// Work within a span, if there is one.
pub fn within<F: Future>(
    span: Option<&SpanRef>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    match span {
        Some(span) => Either::Right(span.scope(work)),
        None => Either::Left(work),
    }
}

/// Begins a span of asking a database or a cache for something, if the caller is traced.
pub fn ask(
    name: impl Into<Cow<'static, str>>,
    system: &'static str,
    operation: &'static str,
) -> Option<Span> {
    current().map(|caller| caller.ask(name, system, operation))
}

/// Ends the span of work that failed for this reason, if it did.
pub fn finish(span: Option<Span>, failed: Option<&'static str>) {
    let Some(span) = span else { return };
    if let Some(reason) = failed {
        span.fail(reason);
    }
    span.finish();
}

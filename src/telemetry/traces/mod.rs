//! [`Traces`]: spans of requests, loads, queries and commands, in OpenTelemetry's model.
//!
//! A [`span`] begins where its work is done, as a child of the [`current`] one. That is a task-local, so that caches and
//! stores need no parameter for it. Only sampled requests and held loads set it. [`context`] continues the caller's trace
//! and decides whether it is sampled, [`export`] sends the spans that have ended, and [`recorder`] keeps them for the lab.
//!
//! Types and wire format are OpenTelemetry's. Neither its tracer nor `tracing-opentelemetry` is used, for three reasons:
//!
//! - Both build a span before they decide that it is not sampled. Here an unsampled request costs a look at one header,
//!   2 to 3 % of a Redis hit (`unsampled` of `tools/bench/gate`).
//! - A load without a sampled leader must be there for a sampled follower to link to. It is *held*: kept until it ends,
//!   and exported only if a sampled span has linked to it. Both of them decide when a span begins.
//! - A span of `tracing` exists only if the log's filter lets it. No link may depend on `RUST_LOG`.

mod context;
mod export;
mod recorder;
mod span;

use std::sync::Arc;

use futures_util::future::Either;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

pub use context::Sampler;
use context::{Parent, new_trace_id};
pub use export::{Exporter, start};
pub use opentelemetry::trace::SpanKind;
pub use recorder::{Recorded, Recorder};
use span::Identity;
pub use span::{Span, SpanRef};

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
        let identity = Identity::of_request(trace_id, parent.map(|parent| parent.span_id), state);
        Some(tracer.begin(identity, name, SpanKind::Server))
    }

    /// The first span of a trace that no request began, if it is sampled.
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
        Span::begin(identity, name, kind, Arc::clone(&self.sink))
    }

    fn held(&self, name: &'static str) -> Span {
        let held = Arc::new(Held {
            ended: Mutex::new(Some(Vec::new())),
            sink: Arc::clone(&self.sink),
        });
        let identity = Identity::root(new_trace_id());
        Span::begin(identity, name, SpanKind::Internal, held)
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
pub fn ask(name: &'static str, system: &'static str, operation: &'static str) -> Option<Span> {
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

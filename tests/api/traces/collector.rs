//! A collector of traces: takes OTLP over HTTP, and says which spans came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Takes spans until it is dropped.
pub(super) struct Collector {
    port: u16,
    received: Arc<Mutex<Received>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    headers: HeaderMap,
}

/// A span that came.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) trace_id: String,
    pub(super) id: String,
    /// Empty for the first of a trace.
    pub(super) parent: String,
    pub(super) state: String,
    /// OpenTelemetry's name of the kind.
    pub(super) kind: &'static str,
    /// In nanoseconds since 1970.
    pub(super) start: u64,
    pub(super) end: u64,
    /// Trace id and span id of each.
    pub(super) links: Vec<(String, String)>,
    pub(super) is_error: bool,
    attributes: HashMap<String, String>,
    resource: HashMap<String, String>,
}

impl Collector {
    /// Starts one.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener
            .local_addr()
            .expect("the port that was bound")
            .port();
        let received = Arc::<Mutex<Received>>::default();
        let taker = Arc::clone(&received);
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let mut received = taker.lock().expect("what was received");
            received.spans.extend(decode(&body));
            received.headers = headers;
        };
        let router = Router::new().route("/v1/traces", post(take));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a listener");
        });
        Self {
            port,
            received,
            serving,
        }
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that have come.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.received
            .lock()
            .expect("what was received")
            .spans
            .clone()
    }

    /// Those of this name.
    pub(super) fn named(&self, name: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        spans
    }

    /// The one of this name.
    pub(super) fn the(&self, name: &str) -> Span {
        let spans = self.named(name);
        assert_eq!(spans.len(), 1, "{name} among {:#?}", self.spans());
        spans.into_iter().next().expect("the one")
    }

    /// A header of the last request.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let received = self.received.lock().expect("what was received");
        let value = received.headers.get(name)?;
        Some(value.to_str().expect("a header in ASCII").to_owned())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Span {
    /// An attribute; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// An attribute of what sent it.
    pub(super) fn resource(&self, name: &str) -> &str {
        self.resource.get(name).map_or("", String::as_str)
    }

    /// As another one's link names it.
    pub(super) fn as_link(&self) -> (String, String) {
        (self.trace_id.clone(), self.id.clone())
    }

    /// Whether it is a child of this one.
    pub(super) fn is_child_of(&self, parent: &Self) -> bool {
        self.trace_id == parent.trace_id && self.parent == parent.id
    }

    /// Whether it began and ended while this one lasted.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        other.start <= self.start && self.start <= self.end && self.end <= other.end
    }
}

fn decode(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("an export request");
    let mut spans = Vec::new();
    for sent in request.resource_spans {
        let resource = texts(sent.resource.expect("a resource").attributes);
        for scope in sent.scope_spans {
            spans.extend(scope.spans.into_iter().map(|span| read(span, &resource)));
        }
    }
    spans
}

fn read(span: Exported, resource: &HashMap<String, String>) -> Span {
    let links = span.links.iter();
    let links = links.map(|link| (hexadecimal(&link.trace_id), hexadecimal(&link.span_id)));
    Span {
        trace_id: hexadecimal(&span.trace_id),
        id: hexadecimal(&span.span_id),
        parent: hexadecimal(&span.parent_span_id),
        kind: span.kind().as_str_name(),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        links: links.collect(),
        is_error: span.status.is_some_and(|status| status.code == 2),
        name: span.name,
        state: span.trace_state,
        attributes: texts(span.attributes),
        resource: resource.clone(),
    }
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("an attribute of another type: {other:?}"),
    };
    let attributes = attributes.into_iter();
    attributes
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

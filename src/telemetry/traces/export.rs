//! [`Exporter`]: sends spans that have ended to a collector, in OTLP over HTTP.
//!
//! Nothing waits for the collector: a span is put into a bounded queue, or dropped and counted if that is full. One task
//! sends what has queued, batch after batch. A batch that the collector does not take in time is dropped and counted.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry::propagation::Injector as _;
use opentelemetry_http::{HeaderInjector, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Sampler, Sink, Traces};
use crate::config::{Otel, Secret};
use crate::metrics::Metrics;

/// How many spans may queue: those of a stampede of a thousand callers, twice. A span takes about 1 KiB.
const QUEUE: usize = 8 * 1024;

/// Most spans in one request to the collector.
const BATCH: usize = 512;

/// Longest wait for a batch to fill.
const DELAY: Duration = Duration::from_secs(1);

/// Longest that a batch may take, repetitions included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer of a collector is a few bytes, or a complaint.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Sends spans until it is told to flush.
pub struct Exporter {
    task: JoinHandle<()>,
    stopping: CancellationToken,
}

/// Begins to export, if there is an address to export to.
pub fn start(settings: &Otel, metrics: &Arc<Metrics>) -> (Traces, Option<Exporter>) {
    let Some(endpoint) = endpoint(settings) else {
        return (Traces::default(), None);
    };
    let headers = settings.otel_exporter_otlp_headers.clone();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(headers))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build();
    let mut exporter = match exporter {
        Ok(exporter) => exporter,
        // The error quotes the address, which may hold a password.
        Err(_) => {
            warn!("there are no traces: the collector's address cannot be used");
            return (Traces::default(), None);
        }
    };
    exporter.set_resource(&resource(settings));
    let (sender, spans) = mpsc::channel(QUEUE);
    let queue = Queue {
        sender,
        metrics: Arc::clone(metrics),
    };
    let stopping = CancellationToken::new();
    let export = Export {
        spans,
        exporter,
        metrics: Arc::clone(metrics),
        is_failing: false,
    };
    let task = tokio::spawn(export.run(stopping.clone()));
    let sampler = settings.otel_traces_sampler;
    let sampler = Sampler::new(
        sampler.by_parent,
        sampler.share.unwrap_or(settings.otel_traces_sampler_arg),
    );
    let traces = Traces::to(Arc::new(queue), sampler);
    (traces, Some(Exporter { task, stopping }))
}

/// The address for traces as it is, or the one for all signals with a path added.
fn endpoint(settings: &Otel) -> Option<String> {
    let traces = settings.otel_exporter_otlp_traces_endpoint.as_ref();
    let all = settings.otel_exporter_otlp_endpoint.as_ref();
    let traces = traces.map(|address| address.expose().to_owned());
    traces.or_else(|| {
        let all = all?.expose().trim_end_matches('/');
        Some(format!("{all}/v1/traces"))
    })
}

/// What all spans have in common.
fn resource(settings: &Otel) -> Resource {
    let attributes = pairs(&settings.otel_resource_attributes);
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "stampede"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(
            "service.instance.id",
            format!("{:032x}", fastrand::u128(..)),
        ))
        .with_attributes(attributes.map(|(name, value)| KeyValue::new(name, value)))
        // A name of its own counts more than one among the attributes.
        .with_attributes(
            settings
                .otel_service_name
                .clone()
                .map(|name| KeyValue::new("service.name", name)),
        )
        .build()
}

/// `a=1,b=2`, the values percent-encoded.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| {
        // A plus sign stands for itself here.
        let encoded = format!("={}", value.trim().replace('+', "%2B").replace('&', "%26"));
        let decoded = form_urlencoded::parse(encoded.as_bytes()).next();
        let value = decoded.map(|(_, value)| value.into_owned());
        (name.trim().to_owned(), value.unwrap_or_default())
    })
}

impl Exporter {
    /// Sends what is left, for at most this long.
    pub async fn flush(mut self, longest: Duration) {
        self.stopping.cancel();
        if timeout(longest, &mut self.task).await.is_err() {
            warn!("the collector has not taken the last spans in time");
            self.task.abort();
        }
    }
}

struct Queue {
    sender: mpsc::Sender<SpanData>,
    metrics: Arc<Metrics>,
}

impl Sink for Queue {
    fn take(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.metrics.trace_spans_dropped.inc();
        }
    }
}

struct Export {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    is_failing: bool,
}

impl Export {
    /// Runs until it is told to stop, or nothing can end any more, and no span is left.
    async fn run(mut self, stopping: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled(), if !self.spans.is_closed() => self.spans.close(),
                () = fill(&mut batch, &mut self.spans) => {
                    if batch.is_empty() {
                        return;
                    }
                    self.send(std::mem::take(&mut batch)).await;
                }
            }
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        let sent = timeout(EXPORT_TIMEOUT, self.exporter.export(batch)).await;
        let failed = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if failed.is_some() {
            self.metrics.trace_spans_dropped.inc_by(spans);
        }
        let was_failing = std::mem::replace(&mut self.is_failing, failed.is_some());
        match failed {
            Some(reason) if !was_failing => {
                warn!(
                    reason,
                    "the collector does not take spans: they are dropped"
                );
            }
            None if was_failing => info!("the collector takes spans again"),
            Some(_) | None => {}
        }
    }
}

/// Waits for a span, and a moment for more of them; adds none if there will be none. It can be dropped at any time.
async fn fill(batch: &mut Vec<SpanData>, spans: &mut mpsc::Receiver<SpanData>) {
    if batch.is_empty() && spans.recv_many(batch, BATCH).await == 0 {
        return;
    }
    let end = Instant::now() + DELAY;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(end, spans.recv_many(batch, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The way to the collector.
#[derive(Debug)]
struct Collector {
    client: Client<HttpConnector, Full<Bytes>>,
    /// Added last: the exporter reads the environment by itself, and a flag counts more.
    headers: Option<Secret>,
}

impl Collector {
    fn new(headers: Option<Secret>) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            headers,
        }
    }
}

/// What a trait's async function returns, spelt out.
type Answered<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Collector {
    fn send_bytes<'client, 'sent>(&'client self, request: Request<Bytes>) -> Answered<'sent>
    where
        'client: 'sent,
        Self: 'sent,
    {
        Box::pin(async move {
            let mut request = request.map(Full::new);
            let headers = self.headers.as_ref().map_or("", Secret::expose);
            for (name, value) in pairs(headers) {
                HeaderInjector(request.headers_mut()).set(&name, value);
            }
            let answer = self.client.request(request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_specification_writes_them() {
        let read: Vec<_> = pairs(" a=1 , b = x%20y+z&w,nothing,c=").collect();
        let expected = [("a", "1"), ("b", "x y+z&w"), ("c", "")];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}

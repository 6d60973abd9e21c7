//! Every route of the service, and what goes for each of them.
//!
//! [`Dispatcher`] answers a connection's requests: through the router, or, when a template is read, by the same code without
//! the router around it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Response};
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, any, get};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tower_http::catch_panic::CatchPanicLayer;

use super::observe::{observe, request_id};
use super::problems::{HttpError, after_panic};
use super::reading::{self, ReadRequest};
use super::{AnswerBody, Http, traced, writing};
use crate::metrics::labels::{Method, Route};
use crate::telemetry::traces::Span;

impl Http {
    /// Every route: those of the service, then `further` ones, behind the layers that all of them share.
    pub(super) fn router(self: &Arc<Self>, further: Router) -> Router {
        let read_only =
            |route: MethodRouter<Arc<Self>>| route.fallback(async || HttpError::READ_ONLY);
        Router::new()
            .route("/template-details", any(writing::write).get(reading::get))
            .route("/metrics", read_only(get(metrics)))
            .route("/healthz", read_only(get(healthz)))
            .route("/readyz", read_only(get(readyz)))
            .with_state(Arc::clone(self))
            .merge(further)
            .fallback(async || HttpError::NotFound)
            .layer(CatchPanicLayer::custom(after_panic))
            .layer(middleware::from_fn_with_state(Arc::clone(self), observe))
    }
}

async fn metrics(State(http): State<Arc<Http>>) -> Response<Body> {
    let exposition = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, exposition)], http.metrics.encode()).into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// A failed backend does not make a replica unready: it failed for every replica, and removing them all would not help.
async fn readyz(State(http): State<Arc<Http>>) -> Result<String, HttpError> {
    if http.is_draining() {
        return Err(HttpError::Draining);
    }
    let word = |up| if up { "ok" } else { "down" };
    Ok(format!(
        "database: {}\ncache: {}\n",
        word(http.service.database_is_up()),
        word(http.service.cache_is_up())
    ))
}

/// Answers the requests of all connections.
pub struct Dispatcher {
    http: Arc<Http>,
    router: TowerToHyperService<Router>,
}

impl Dispatcher {
    /// Answers on the routes of `http` and on `further` ones.
    pub fn new(http: Arc<Http>, further: Router) -> Self {
        let router = TowerToHyperService::new(http.router(further));
        Self { http, router }
    }

    /// Answers one request. A read of a template goes around the router's boxed futures and services, which saves 29 % of
    /// the instructions of a Redis hit and 27 of its 38 allocations (`redis-hit` of `tools/bench/gate`).
    pub fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
        let method = Method::named(request.method().as_str());
        let reads = matches!(method, Method::Get | Method::Head);
        let is_template = request.uri().path() == Route::TemplateDetails.as_str();
        let span = is_template.then(|| self.http.begin_span(method, &request));
        let span = span.flatten();
        // Done before the first await: hyper reads on into the memory of a request that is not kept.
        let prepared = if reads && is_template {
            let (head, _no_body) = request.into_parts();
            Prepared::Read(request_id(&head.headers), ReadRequest::parse(head))
        } else {
            // Boxed, so that the future of a read has no room for the router's.
            Prepared::Routed(Box::pin(self.router.call(request)))
        };
        async move {
            let mut answer = match (prepared, span) {
                (Prepared::Read(id, request), None) => self.http.read(method, id, request).await,
                (Prepared::Routed(response), None) => response.await?.map(Either::Right),
                // Boxed, so that the future of a read has no room for the spans'.
                (prepared, Some(span)) => {
                    Box::pin(self.answer_traced(method, prepared, span)).await?
                }
            };
            // The caller's next request goes to another replica.
            if self.http.is_draining() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok(answer)
        }
    }

    async fn answer_traced<R>(
        &self,
        method: Method,
        prepared: Prepared<R>,
        span: Span,
    ) -> Result<Response<AnswerBody>, Infallible>
    where
        R: Future<Output = Result<Response<Body>, Infallible>>,
    {
        let answer = span.scope(async {
            match prepared {
                Prepared::Read(id, request) => Ok(self.http.read(method, id, request).await),
                Prepared::Routed(response) => response.await.map(|it| it.map(Either::Right)),
            }
        });
        let mut answer = answer.await?;
        traced::finish(span, &mut answer);
        Ok(answer)
    }
}

/// A request on its way to its answer.
enum Prepared<R> {
    Read(HeaderValue, Result<ReadRequest, HttpError>),
    Routed(R),
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::future::pending;
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::backends::Backends;
    use crate::config::Config;
    use crate::http::{ServerOptions, listen, serve};
    use crate::metrics::Metrics;
    use crate::service::TemplateService;

    const OPTIONS: ServerOptions = ServerOptions {
        idle_timeout: Duration::from_secs(75),
        drain_delay: Duration::ZERO,
        shutdown_grace: Duration::ZERO,
    };

    async fn embedded() -> Arc<Http> {
        let settings = HashMap::from([("DB_DELAY", "0ms"), ("LAB", "false")]);
        let config = Config::from_variables(|name| settings.get(name).map(|&text| text.into()));
        let config = config.unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let backends = Backends::new(&config).unwrap();
        let (cache, store) = backends.open(&config, &metrics).await;
        let service = TemplateService::new(&config, cache, store, Arc::clone(&metrics), |_| {});
        Http::new(service, metrics, &config)
    }

    /// Sends a request on a connection of its own. Returns the answer's lines, sorted, without what time changes.
    async fn ask(address: SocketAddr, request: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let common = "host: a\r\nx-request-id: 1\r\nconnection: close\r\n\r\n";
        let request = format!("{request}{common}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let timed = ["age", "cache-status", "cache-control", "server-timing"];
        let line = |line: &str| match line.split_once(": ") {
            Some(("date", _)) => "date".to_owned(),
            Some((name, value)) if timed.contains(&name) => {
                format!(
                    "{name}: {}",
                    value.replace(|c: char| c.is_ascii_digit(), "")
                )
            }
            _ => line.to_owned(),
        };
        let mut lines: Vec<_> = answer.split("\r\n").map(line).collect();
        lines.sort();
        lines
    }

    #[tokio::test]
    async fn a_read_is_answered_by_the_router_alone_exactly_as_without_it() {
        let http = embedded().await;
        let (listener, short_way) = bind();
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&http), Router::new()));
        let answer = move |request| Arc::clone(&dispatcher).answer(request);
        tokio::spawn(serve(listener, answer, OPTIONS, pending(), || {}));
        let (listener, router_alone) = bind();
        let router = TowerToHyperService::new(http.router(Router::new()));
        let answer = move |request| router.call(request);
        tokio::spawn(serve(listener, answer, OPTIONS, pending(), || {}));

        ask(short_way, "GET /template-details?id=1 HTTP/1.1\r\n").await;
        for (query, header, status) in [
            ("id=1", "", "200 OK"),
            ("id=1", "if-none-match: \"1-1\"\r\n", "304 Not Modified"),
            ("id=x", "", "400 Bad Request"),
            ("id=1000000", "", "404 Not Found"),
        ] {
            for method in ["GET", "HEAD"] {
                let request = format!("{method} /template-details?{query} HTTP/1.1\r\n{header}");
                let answer = ask(short_way, &request).await;
                assert!(answer.contains(&format!("HTTP/1.1 {status}")), "{answer:?}");
                assert_eq!(ask(router_alone, &request).await, answer, "{request}");
                let counted = format!(
                    "{{method=\"{method}\",path=\"/template-details\",status=\"{}\"}} {}",
                    &status[..3],
                    if method == "GET" && status == "200 OK" {
                        3
                    } else {
                        2
                    },
                );
                let metrics = String::from_utf8(http.metrics.encode()).unwrap();
                assert!(metrics.contains(&counted), "{counted}");
            }
        }
    }

    fn bind() -> (tokio::net::TcpListener, SocketAddr) {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }
}

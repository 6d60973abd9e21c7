//! An HTTP client that hides nothing: no redirects, no retries, every answer as it came.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::waiting::BACKSTOP;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its headers, as they came.
    pub headers: HeaderMap,
    /// Its body, complete.
    pub body: Bytes,
}

impl Answer {
    /// The body, which must be JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }

    /// The body, which must be UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }
}

/// How long a connection may be idle and be used again: as long as load balancers keep theirs.
const IDLE: Duration = Duration::from_secs(60);

/// A client that keeps its connections. It belongs to one test: connections die with the runtime that opened them.
#[derive(Clone)]
pub struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

impl Client {
    /// A client that keeps any number of idle connections.
    pub fn new() -> Self {
        Self::with_idle_connections(usize::MAX)
    }

    /// A client with a connection of its own for each request.
    pub fn without_idle_connections() -> Self {
        Self::with_idle_connections(0)
    }

    fn with_idle_connections(most: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client
            .pool_max_idle_per_host(most)
            .pool_idle_timeout(IDLE)
            .retry_canceled_requests(false);
        Self(client.build(connector))
    }

    /// Sends a request, which may fail.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let answer = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        timeout(BACKSTOP, answer)
            .await
            .expect("an answer or an error in time")
    }

    /// Sends a request without a body, which must be answered.
    pub async fn request(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
        let builder = Request::builder().method(method).uri(url);
        let builder = headers.iter().fold(builder, |builder, (name, value)| {
            builder.header(*name, *value)
        });
        let request = builder.body(Full::default()).expect("a request");
        self.send(request)
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error:?}"))
    }

    /// Gets `url`.
    pub async fn get(&self, url: &str) -> Answer {
        self.request("GET", url, &[]).await
    }
}

/// Gets `url` over a connection of its own.
pub async fn get(url: &str) -> Answer {
    request("GET", url, &[]).await
}

/// As [`get`], for a task that outlives its caller's borrows.
pub async fn get_owned(url: String) -> Answer {
    get(&url).await
}

/// Sends a request without a body over a connection of its own.
pub async fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
    Client::without_idle_connections()
        .request(method, url, headers)
        .await
}

/// Sends `bytes` as they are, and returns what came back until the connection closed or one answer with a
/// `Content-Length` was whole.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut answer = Vec::new();
    let exchange = async {
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        while !is_whole(&answer)
            && stream
                .read_buf(&mut answer)
                .await
                .is_ok_and(|read| read > 0)
        {}
    };
    timeout(BACKSTOP, exchange)
        .await
        .expect("an answer or a close in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The address of `port` on this machine.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= head.len() + 4 + length)
}

//! Explains an answer: makes one real request and says what each member of the answer's headers means.

use axum::body::to_bytes;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::milliseconds;
use super::traces::TraceLog;
use crate::http::Http;
use crate::telemetry::traces::{self, SpanKind};

/// One request, explained.
#[derive(Serialize)]
pub(super) struct Explained {
    request: String,
    status: u16,
    took_ms: f64,
    headers: Map<String, Value>,
    body: Value,
    sentence: &'static str,
    cache_status: Vec<Member>,
    server_timing: Vec<Part>,
}

/// A member of `Cache-Status`.
#[derive(Serialize)]
struct Member {
    member: String,
    meaning: &'static str,
}

/// A member of `Server-Timing`.
#[derive(Serialize)]
struct Part {
    name: String,
    ms: f64,
    meaning: &'static str,
}

/// The headers of an answer that are shown.
const SHOWN: [&str; 9] = [
    "cache-status",
    "server-timing",
    "age",
    "cache-control",
    "etag",
    "retry-after",
    "content-type",
    "location",
    "x-request-id",
];

const LONGEST_BODY: usize = 1024 * 1024;

/// Makes the request and explains its answer; none if the id cannot be part of an address.
pub(super) async fn explain(http: &Http, log: &TraceLog, id: &str) -> Option<Explained> {
    let began = Instant::now();
    let span = log
        .explain()
        .root("GET /template-details", SpanKind::Server);
    let query = format!("id={id}");
    let response = traces::within(span.as_deref(), http.get_template(&query)).await?;
    traces::finish(span, None);
    let (head, body) = response.into_parts();
    let took = began.elapsed();
    let body = to_bytes(body, LONGEST_BODY).await.unwrap_or_default();
    let header = |name: &str| {
        let value = head.headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), Value::from(value)))
    };
    let members: Vec<_> = list(&head.headers, "cache-status", ';').skip(1).collect();
    Some(Explained {
        request: format!("GET /template-details?id={id}"),
        status: head.status.as_u16(),
        took_ms: milliseconds(took),
        headers: SHOWN.into_iter().filter_map(header).collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        sentence: sentence(head.status, &members),
        server_timing: list(&head.headers, "server-timing", ',')
            .filter_map(part)
            .collect(),
        cache_status: members
            .into_iter()
            .map(|member| Member {
                meaning: meaning(member),
                member: member.to_owned(),
            })
            .collect(),
    })
}

/// The parts of a header between separators.
fn list<'a>(headers: &'a HeaderMap, name: &str, separator: char) -> impl Iterator<Item = &'a str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    let parts = value
        .into_iter()
        .flat_map(move |value| value.split(separator));
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn sentence(status: StatusCode, members: &[&str]) -> &'static str {
    let has = |member| members.contains(&member);
    match status.as_u16() {
        400 => "The request is wrong, and no backend was asked.",
        404 => "There is no such template; that is remembered too, for NEGATIVE_TTL.",
        503 => {
            "A limit was reached, or neither the cache nor the database nor a copy could answer."
        }
        200 if has("detail=local") => {
            "The cache could not be asked; the copy in this process answered, whose TTL still lasts."
        }
        200 if has("detail=stale") => {
            "A copy past its TTL answered, because nothing else could, or while it is loaded anew."
        }
        200 if has("hit") => "The cache had it.",
        200 if has("collapsed") => {
            "It was not cached, and another request's query was under way: this request waited for its result."
        }
        200 => {
            "It was not cached: this request asked the database, and requests that came meanwhile got its result."
        }
        _ => "The service has an error.",
    }
}

fn meaning(member: &str) -> &'static str {
    match member {
        "hit" => "answered from what was kept, without a query",
        "fwd=miss" => "the cache was asked, and had nothing that could be used",
        "fwd=bypass" => {
            "the cache could not be asked: it is down, or did not answer within REDIS_TIMEOUT"
        }
        "stored" => "this request's own query filled the cache or the copy in this process",
        "collapsed" => "the answer came with another request's query: one query for all of them",
        "detail=local" => "from the copy in this process, not from the cache",
        "detail=stale" => "from a copy whose TTL is over",
        member if member.starts_with("ttl=-") => "for so many seconds its TTL has been over",
        member if member.starts_with("ttl=") => "for so many more seconds the answer holds",
        _ => "from this service, but not known to the lab",
    }
}

fn part(member: &str) -> Option<Part> {
    let (name, duration) = member.split_once(";dur=")?;
    Some(Part {
        name: name.to_owned(),
        ms: duration.parse().ok()?,
        meaning: match name {
            "cache" => "asking the cache, at most REDIS_TIMEOUT",
            "wait" => "waiting for another request's query",
            "db" => "this request's own query, the wait for a database slot included",
            _ => "from this service, but not known to the lab",
        },
    })
}

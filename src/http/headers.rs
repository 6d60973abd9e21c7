//! The answer that has a template: its headers say where it came from, how old it is and how long it holds.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::cache::entry;
use crate::metrics::labels::Source;
use crate::service::{Answer, Timings};
use crate::template::TemplateId;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// 200 with the template's bytes, or 304 if the caller has this version already.
pub(super) fn template(
    id: TemplateId,
    body: &entry::Body,
    answer: &Answer,
    request: &HeaderMap,
) -> Response {
    let etag = format!("\"{id}-{}\"", body.version);
    let unchanged = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|known| names(known, &etag));
    let mut response = if unchanged {
        Response::default()
    } else {
        Response::new(Body::from(body.json.clone()))
    };
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.reserve(7);
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(CACHE_STATUS, value(cache_status(answer)));
    headers.insert(
        AGE,
        HeaderValue::from(answer.entry.age(answer.now).as_secs()),
    );
    headers.insert(CACHE_CONTROL, cache_control(answer));
    headers.insert(ETAG, value(etag));
    headers.insert(SERVER_TIMING, value(server_timing(answer.timings)));
    response
}

/// `If-None-Match` is a list of tags, or `*`; a weak tag names the same content.
fn names(known: &HeaderValue, etag: &str) -> bool {
    let Ok(known) = known.to_str() else {
        return false;
    };
    known
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn cache_status(answer: &Answer) -> String {
    let left = answer.entry.seconds_left(answer.now);
    let forward = if answer.cache_answered {
        "miss"
    } else {
        "bypass"
    };
    let stored = if answer.stored { "; stored" } else { "" };
    match answer.source {
        Source::Hit => format!("stampede; hit; ttl={left}"),
        Source::Local => format!("stampede; hit; ttl={left}; detail=local"),
        Source::Stale => format!("stampede; hit; ttl={left}; detail=stale"),
        Source::Shared => format!("stampede; fwd={forward}; collapsed"),
        Source::Loaded | Source::NotFound | Source::Shed | Source::Error => {
            format!("stampede; fwd={forward}{stored}")
        }
    }
}

fn cache_control(answer: &Answer) -> HeaderValue {
    match answer.entry.seconds_left(answer.now) {
        _ if answer.source == Source::Stale => HeaderValue::from_static("no-store"),
        left => value(format!("max-age={}", left.max(0))),
    }
}

fn server_timing(timings: Timings) -> String {
    let mut text = String::with_capacity(48);
    add(&mut text, "cache", timings.cache);
    for (name, took) in [("wait", timings.wait), ("db", timings.database)] {
        if let Some(took) = took {
            text.push_str(", ");
            add(&mut text, name, took);
        }
    }
    text
}

/// Milliseconds with one decimal: what the header's definition counts in.
fn add(text: &mut String, name: &str, took: Duration) {
    let tenths = took.as_micros() / 100;
    let written = write!(text, "{name};dur={}.{}", tenths / 10, tenths % 10);
    debug_assert!(written.is_ok(), "a String takes every character");
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made of digits and ASCII literals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_a_weak_tag_and_a_star_all_name_the_version() {
        let known = |text| names(&HeaderValue::from_static(text), "\"1-2\"");
        assert!(known("\"1-2\"") && known("\"0-0\", W/\"1-2\"") && known("*"));
        assert!(!known("\"1-3\"") && !known("1-2") && !known(""));
    }

    #[test]
    fn timings_are_in_milliseconds_with_one_decimal() {
        let cache = Duration::from_micros(449);
        let wait = Some(Duration::from_millis(9));
        assert_eq!(
            server_timing(Timings {
                cache,
                wait,
                database: None
            }),
            "cache;dur=0.4, wait;dur=9.0"
        );
    }
}

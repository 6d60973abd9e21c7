//! The answer that has a template: its headers say where it came from, how old it is and how long it holds.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::time::Duration;

use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::Full;

use super::read::Question;
use crate::cache::entry::Content;
use crate::metrics::labels::Source;
use crate::service::{Answer, Timings};
use crate::template::TemplateId;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// 200 with the template's bytes, or 304 if the caller has this version already.
pub(super) fn template(question: Question, answer: Answer) -> Response<Full<Bytes>> {
    let mut values = Values::default();
    let status = values.write(|text| cache_status(text, &answer));
    let age = values.write(|text| write!(text, "{}", answer.entry.age(answer.now).as_secs()));
    let control = values.write(|text| cache_control(text, &answer));
    let etag = values.write(|text| write!(text, "\"{}-{}\"", question.id, answer.entry.version));
    let timing = values.write(|text| server_timing(text, answer.timings));
    let unchanged = question
        .known
        .iter()
        .any(|known| names(known, &values.0[etag.clone()]));
    let values = Bytes::from(values.0);
    let value = |of: Range<usize>| {
        HeaderValue::from_maybe_shared(values.slice(of)).expect("made of digits and ASCII literals")
    };
    let mut headers = question.headers;
    headers.reserve(7);
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(CACHE_STATUS, value(status));
    headers.insert(AGE, value(age));
    headers.insert(CACHE_CONTROL, value(control));
    headers.insert(ETAG, value(etag));
    headers.insert(SERVER_TIMING, value(timing));
    let body = match answer.entry.content {
        Content::Template(json) if !unchanged => Full::new(json),
        _ => Full::default(),
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

/// The values of the headers, one behind the other in memory that they share.
struct Values(String);

impl Default for Values {
    fn default() -> Self {
        // Mostly enough.
        Self(String::with_capacity(160))
    }
}

impl Values {
    /// Writes a value, and says where it stands.
    fn write(&mut self, value: impl FnOnce(&mut String) -> fmt::Result) -> Range<usize> {
        let start = self.0.len();
        let written = value(&mut self.0);
        debug_assert!(written.is_ok(), "a String takes every character");
        start..self.0.len()
    }
}

/// The tag of one state of a template.
pub(super) fn etag(id: TemplateId, version: i64) -> String {
    format!("\"{id}-{version}\"")
}

/// The version that a tag names, if it is a strong tag of this template.
pub(super) fn version_of(id: TemplateId, tag: &str) -> Option<i64> {
    let (named, version) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    let version = version.parse().ok().filter(|version| *version >= 1)?;
    (TemplateId::parse(named) == Some(id)).then_some(version)
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

fn cache_status(text: &mut String, answer: &Answer) -> fmt::Result {
    let left = answer.entry.seconds_left(answer.now);
    let forward = if answer.cache_answered {
        "miss"
    } else {
        "bypass"
    };
    let stored = if answer.stored { "; stored" } else { "" };
    match answer.source {
        Source::Hit => write!(text, "stampede; hit; ttl={left}"),
        Source::Local => write!(text, "stampede; hit; ttl={left}; detail=local"),
        Source::Stale => write!(text, "stampede; hit; ttl={left}; detail=stale"),
        Source::Shared => write!(text, "stampede; fwd={forward}; collapsed"),
        Source::Loaded | Source::NotFound | Source::Shed | Source::Error => {
            write!(text, "stampede; fwd={forward}{stored}")
        }
    }
}

fn cache_control(text: &mut String, answer: &Answer) -> fmt::Result {
    match answer.entry.seconds_left(answer.now) {
        _ if answer.source == Source::Stale => text.write_str("no-store"),
        left => write!(text, "max-age={}", left.max(0)),
    }
}

fn server_timing(text: &mut String, timings: Timings) -> fmt::Result {
    add(text, "cache", timings.cache)?;
    for (name, took) in [(", wait", timings.wait), (", db", timings.database)] {
        if let Some(took) = took {
            add(text, name, took)?;
        }
    }
    Ok(())
}

/// Milliseconds with one decimal: what the header's definition counts in.
fn add(text: &mut String, name: &str, took: Duration) -> fmt::Result {
    let tenths = took.as_micros() / 100;
    write!(text, "{name};dur={}.{}", tenths / 10, tenths % 10)
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
        let timings = Timings {
            cache,
            wait,
            database: None,
        };
        let mut text = String::new();
        server_timing(&mut text, timings).unwrap();
        assert_eq!(text, "cache;dur=0.4, wait;dur=9.0");
    }
}

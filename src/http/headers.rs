//! The headers of a template's answer, its entity tags included.
//!
//! They say where the answer came from, how old it is and for how long it holds.

use std::ops::Range;
use std::time::Duration;

use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::Full;

use crate::freshness::Content;
use crate::outcomes::Source;
use crate::service::{Answer, Timings};
use crate::template::{Template, TemplateId};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// 200 with the template's bytes, or 304 if the caller knows this version. `headers` is an empty map with
/// room for its headers.
pub(super) fn template(
    mut headers: HeaderMap,
    id: TemplateId,
    known: &IfNoneMatch,
    answer: Answer,
) -> Response<Full<Bytes>> {
    let mut values = Values::default();
    let status = values.write(|text| add_cache_status(text, &answer));
    let age = values.write(|text| add_number(text, answer.entry.age(answer.now).as_secs()));
    let control = values.write(|text| add_cache_control(text, &answer));
    let etag = values.write(|text| add_etag(text, id, answer.entry.version));
    let timing = values.write(|text| add_server_timing(text, answer.timings));
    let unchanged = known.includes(answer.entry.version);
    let values = Bytes::from(values.0);
    let value = |of: Range<usize>| {
        HeaderValue::from_maybe_shared(values.slice(of)).expect("made of digits and ASCII literals")
    };
    // These six and the request's id.
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

/// 200 with the template as a writer has just left it.
pub(super) fn written(template: &Template) -> Response {
    let mut etag = String::new();
    add_etag(&mut etag, template.id, template.version);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            ETAG,
            HeaderValue::try_from(etag).expect("made of digits and ASCII literals"),
        ),
    ];
    (headers, template.to_json()).into_response()
}

/// The values of the headers, one after the other in one allocation.
struct Values(String);

impl Default for Values {
    fn default() -> Self {
        // Enough for most answers.
        Self(String::with_capacity(160))
    }
}

impl Values {
    /// Writes a value and returns its place.
    fn write(&mut self, add_value: impl FnOnce(&mut String)) -> Range<usize> {
        let start = self.0.len();
        add_value(&mut self.0);
        start..self.0.len()
    }
}

fn add_cache_status(text: &mut String, answer: &Answer) {
    let (found, detail) = match answer.source {
        Source::Hit => (true, ""),
        Source::Near => (true, "; detail=near"),
        Source::Local => (true, "; detail=local"),
        Source::Stale => (true, "; detail=stale"),
        Source::Shared => (false, "; collapsed"),
        Source::Loaded if answer.stored => (false, "; stored"),
        Source::Loaded | Source::NotFound | Source::Shed | Source::Error => (false, ""),
    };
    if found {
        text.push_str("stampede; hit; ttl=");
        add_number(text, answer.entry.seconds_left(answer.now));
    } else if answer.cache_answered {
        text.push_str("stampede; fwd=miss");
    } else {
        text.push_str("stampede; fwd=bypass");
    }
    text.push_str(detail);
}

fn add_cache_control(text: &mut String, answer: &Answer) {
    if answer.source == Source::Stale {
        text.push_str("no-store");
    } else {
        text.push_str("max-age=");
        add_number(text, answer.entry.seconds_left(answer.now).max(0));
    }
}

fn add_server_timing(text: &mut String, timings: Timings) {
    add_duration(text, "cache;dur=", timings.cache);
    for (name, took) in [
        (", wait;dur=", timings.wait),
        (", db;dur=", timings.database),
    ] {
        if let Some(took) = took {
            add_duration(text, name, took);
        }
    }
}

/// Milliseconds with one decimal: the unit of `Server-Timing`.
fn add_duration(text: &mut String, name: &str, took: Duration) {
    let tenths = took.as_micros() as u64 / 100;
    text.push_str(name);
    add_number(text, tenths / 10);
    text.push('.');
    add_number(text, tenths % 10);
}

fn add_number(text: &mut String, number: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(number));
}

/// Adds the entity tag of one version of a template.
fn add_etag(text: &mut String, id: TemplateId, version: i64) {
    text.push('"');
    add_number(text, id.number());
    text.push('-');
    add_number(text, version);
    text.push('"');
}

/// The version in a tag, if it is a strong tag of this template.
pub(super) fn version_of(id: TemplateId, tag: &str) -> Option<i64> {
    let (named, version) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    (number(named)? == id.number()).then(|| number(version))?
}

/// A number in a tag, in the only form that [`add_etag`] writes.
fn number(text: &str) -> Option<i64> {
    let is_ours = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| text.parse().ok())?
}

/// The versions in `If-None-Match`: a list of tags, or `*`. A weak tag counts as a strong one.
///
/// They are numbers, because a slice of the request would keep its memory from being used for the next request.
#[derive(Debug, Default)]
pub(super) struct IfNoneMatch {
    everything: bool,
    versions: Vec<i64>,
}

impl IfNoneMatch {
    pub(super) fn parse<'a>(
        id: TemplateId,
        values: impl IntoIterator<Item = &'a HeaderValue>,
    ) -> Self {
        let mut known = Self::default();
        let values = values.into_iter().filter_map(|value| value.to_str().ok());
        for tag in values.flat_map(|value| value.split(',').map(str::trim)) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            known.everything |= tag == "*";
            known.versions.extend(version_of(id, strong));
        }
        known
    }

    /// Whether the caller has this version.
    pub(super) fn includes(&self, version: i64) -> bool {
        self.everything || self.versions.contains(&version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: i64 = 1;

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
        add_server_timing(&mut text, timings);
        assert_eq!(text, "cache;dur=0.4, wait;dur=9.0");
    }

    #[test]
    fn a_list_of_tags_a_weak_tag_and_a_star_all_name_the_version() {
        let includes = |text| {
            let id = TemplateId::new(ID).unwrap();
            IfNoneMatch::parse(id, [&HeaderValue::from_static(text)]).includes(2)
        };
        assert!(includes("\"1-2\"") && includes("\"0-0\", W/\"1-2\"") && includes("*"));
        for other in [
            "\"1-3\"", "1-2", "", "\"2-2\"", "\"1-02\"", "\"01-2\"", "\"1-+2\"", "\"1-2", "\"1-\"",
        ] {
            assert!(!includes(other), "{other}");
        }
    }

    #[test]
    fn the_version_of_a_tag_is_the_one_that_it_was_made_of() {
        let id = TemplateId::new(ID).unwrap();
        for version in [1, 10, i64::MAX] {
            let mut tag = String::new();
            add_etag(&mut tag, id, version);
            assert_eq!(version_of(id, &tag), Some(version));
        }
    }
}

//! The answer that has a template: its headers say where it came from, how old it is and how long it holds.

use std::ops::Range;
use std::time::Duration;

use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::Full;

use super::reading::Question;
use super::tags::add_etag;
use crate::freshness::Content;
use crate::metrics::labels::Source;
use crate::service::{Answer, Timings};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// 200 with the template's bytes, or 304 if the caller has this version already.
pub(super) fn template(question: Question, answer: Answer) -> Response<Full<Bytes>> {
    let mut values = Values::default();
    let status = values.write(|text| add_cache_status(text, &answer));
    let age = answer.entry.age(answer.now).as_secs();
    let age = values.write(|text| add_number(text, i64::try_from(age).unwrap_or(i64::MAX)));
    let control = values.write(|text| add_cache_control(text, &answer));
    let etag = values.write(|text| add_etag(text, question.id, answer.entry.version));
    let timing = values.write(|text| add_server_timing(text, answer.timings));
    let unchanged = question.known.includes(answer.entry.version);
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
    fn write(&mut self, add_value: impl FnOnce(&mut String)) -> Range<usize> {
        let start = self.0.len();
        add_value(&mut self.0);
        start..self.0.len()
    }
}

fn add_cache_status(text: &mut String, answer: &Answer) {
    let hit = match answer.source {
        Source::Hit => "",
        Source::Local => "; detail=local",
        Source::Stale => "; detail=stale",
        _ => return add_miss(text, answer),
    };
    text.push_str("stampede; hit; ttl=");
    add_number(text, answer.entry.seconds_left(answer.now));
    text.push_str(hit);
}

fn add_miss(text: &mut String, answer: &Answer) {
    text.push_str("stampede; fwd=");
    text.push_str(if answer.cache_answered {
        "miss"
    } else {
        "bypass"
    });
    match answer.source {
        Source::Shared => text.push_str("; collapsed"),
        _ if answer.stored => text.push_str("; stored"),
        _ => {}
    }
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

/// Milliseconds with one decimal: what the header's definition counts in.
fn add_duration(text: &mut String, name: &str, took: Duration) {
    let tenths = i64::try_from(took.as_micros() / 100).unwrap_or(i64::MAX);
    text.push_str(name);
    add_number(text, tenths / 10);
    text.push('.');
    add_number(text, tenths % 10);
}

/// What `write!` adds, without its way through a formatter: every answer has half a dozen numbers.
pub(super) fn add_number(text: &mut String, number: i64) {
    if number < 0 {
        text.push('-');
    }
    let (mut rest, mut digits, mut first) = (number.unsigned_abs(), [0; 20], 20);
    while first == 20 || rest > 0 {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text.extend(digits[first..].iter().copied().map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn numbers_are_written_as_everywhere() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, -1, -10, i64::MAX, i64::MIN] {
            let mut text = String::new();
            add_number(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }
}

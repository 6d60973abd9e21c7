//! How an [`Entry`] is written in Redis: one line of text, then the answer's bytes.
//!
//! ```text
//! td1 <checksum> <id> <version> <kind> <stored at> <expires at> <cost>\n{"id":1,…}
//! ```
//!
//! Anything may be written to Redis. So the line names the format's version and the template, and a CRC-32 covers
//! everything behind it. [`decode`] accepts exactly the bytes that [`encode`] writes for this template: nothing foreign,
//! truncated, altered or of another format. The kind is `t`, with a template's bytes behind the line; or `a` for absent
//! or `c` for changed, with nothing behind it. Times are in milliseconds since the Unix epoch, the cost of the load is in
//! microseconds.

use std::io::Write as _;
use std::str::{self, FromStr};

use bytes::{Buf as _, Bytes};

use crate::freshness::{Content, Entry, Moment};
use crate::template::TemplateId;

const FORMAT: &[u8] = b"td1 ";
const CHECKSUM_DIGITS: usize = 8;
const HEAD: usize = FORMAT.len() + CHECKSUM_DIGITS + 1;

/// The checksum as it is written.
fn digits(checksum: u32) -> [u8; CHECKSUM_DIGITS] {
    std::array::from_fn(|place| b"0123456789abcdef"[(checksum >> (28 - 4 * place)) as usize & 15])
}

/// Reads a number that is written as [`encode`] writes it: no plus sign, no leading zeros, no minus zero.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let first = text.trim_start_matches('-').bytes().next()?;
    let only_way = text == "0" || matches!(first, b'1'..=b'9');
    only_way.then(|| text.parse().ok()).flatten()
}

/// The bytes for Redis.
pub(super) fn encode(id: TemplateId, entry: &Entry) -> Vec<u8> {
    let (kind, json): (char, &[u8]) = match &entry.content {
        Content::Template(json) => ('t', json),
        Content::Absent => ('a', &[]),
        Content::Tombstone => ('c', &[]),
    };
    let Entry {
        version,
        answered_at,
        expires_at,
        cost_micros,
        ..
    } = entry;
    let mut bytes = Vec::with_capacity(96 + json.len());
    bytes.extend_from_slice(&[0; HEAD]);
    let written = writeln!(
        bytes,
        "{id} {version} {kind} {} {} {cost_micros}",
        answered_at.0, expires_at.0
    );
    debug_assert!(written.is_ok(), "a Vec takes every byte");
    bytes.extend_from_slice(json);
    let checksum = crc32fast::hash(&bytes[HEAD..]);
    bytes[..HEAD].copy_from_slice(&[FORMAT, &digits(checksum), b" "].concat());
    bytes
}

/// The entry of this template, if these bytes are one.
pub(super) fn decode(id: TemplateId, mut payload: Bytes) -> Option<Entry> {
    let rest = payload.strip_prefix(FORMAT)?;
    let (checksum, rest) = rest.split_at_checked(CHECKSUM_DIGITS)?;
    let rest = rest.strip_prefix(b" ")?;
    if checksum != digits(crc32fast::hash(rest)) {
        return None;
    }
    let line_end = rest.iter().position(|byte| *byte == b'\n')?;
    let mut fields = str::from_utf8(&rest[..line_end]).ok()?.split(' ');
    let named = TemplateId::new(number(fields.next()?)?)?;
    let version = number(fields.next()?)?;
    let kind = fields.next()?;
    let mut moment = || number(fields.next()?).map(Moment);
    let (answered_at, expires_at) = (moment()?, moment()?);
    let cost_micros = number(fields.next()?)?;
    if named != id || fields.next().is_some() {
        return None;
    }
    let without_bytes = match (kind, rest.len() == line_end + 1) {
        ("t", false) => None,
        ("a", true) => Some(Content::Absent),
        ("c", true) => Some(Content::Tombstone),
        _ => return None,
    };
    let content = without_bytes.unwrap_or_else(|| {
        // The rest of the same allocation: a slice would count one more reference to it.
        payload.advance(HEAD + line_end + 1);
        Content::Template(payload)
    });
    Some(Entry {
        version,
        content,
        answered_at,
        expires_at,
        cost_micros,
    })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::freshness::Rules;
    use crate::template::{State, Template, UpdatedAt};

    fn id(number: i64) -> TemplateId {
        TemplateId::new(number).unwrap()
    }

    fn entry() -> Entry {
        let template = Template {
            id: id(7),
            name: "Seven\n".into(),
            updated_at: UpdatedAt(0),
            version: 3,
        };
        Entry::new(
            State::Present(template),
            Moment(1_000),
            Duration::from_secs(30),
            Duration::from_millis(5),
        )
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let ttl = Duration::from_secs(5);
        let absent = Entry::new(State::Absent { version: 4 }, Moment(1), ttl, ttl);
        for entry in [entry(), absent, Rules::default().tombstone(9, Moment(1))] {
            assert_eq!(decode(id(7), encode(id(7), &entry).into()), Some(entry));
        }
    }

    #[test]
    fn an_entry_of_another_template_is_not_decoded() {
        assert_eq!(decode(id(8), encode(id(7), &entry()).into()), None);
    }

    #[test]
    fn no_truncated_entry_is_decoded() {
        let payload = encode(id(7), &entry());
        for length in 0..payload.len() {
            assert_eq!(
                decode(id(7), Bytes::copy_from_slice(&payload[..length])),
                None,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn no_altered_entry_is_decoded() {
        let payload = encode(id(7), &entry());
        for position in 0..payload.len() {
            for bit in 0..8 {
                let mut altered = payload.clone();
                altered[position] ^= 1 << bit;
                assert_eq!(
                    decode(id(7), altered.into()),
                    None,
                    "bit {bit} of byte {position}"
                );
            }
        }
    }

    #[test]
    fn numbers_that_would_have_been_written_in_another_way_are_not_decoded() {
        let sealed = |rest: &str| {
            let checksum = crc32fast::hash(rest.as_bytes());
            Bytes::from(format!("td1 {checksum:08x} {rest}"))
        };
        assert!(decode(id(7), sealed("7 0 a 1 2 3\n")).is_some());
        for line in [
            "07 0 a 1 2 3",
            "7 -0 a 1 2 3",
            "7 0 a +1 2 3",
            "7 0 a 1 02 3",
            "7 0 a 1 2 3 ",
            "7 0 t 1 2 3",
        ] {
            assert_eq!(decode(id(7), sealed(&format!("{line}\n"))), None, "{line}");
        }
    }

    #[test]
    fn foreign_content_is_not_decoded() {
        for foreign in [
            "",
            "td1",
            "td2 00000000 7 1 t 1 1 1\n{}",
            "{\"id\":7}",
            "td1 00000000 \n",
            "\u{0}\u{0}",
        ] {
            assert_eq!(
                decode(id(7), Bytes::copy_from_slice(foreign.as_bytes())),
                None,
                "{foreign:?}"
            );
        }
    }
}

//! How an [`Entry`] is written in Redis: one line of text, then the answer's bytes.
//!
//! ```text
//! td1 <checksum> <id> <version> <stored at> <expires at>\n{"id":1,…}
//! ```
//!
//! Redis is a place where anything may turn up. So the line names the format's version and the template that it is
//! for, and a CRC-32 covers everything behind it: what is foreign, truncated, altered, of another format or of
//! another template is not decoded, and neither is what [`encode`] would have written in another way. Version 0 with
//! no bytes behind the line says that there is no such template.
//! Times are in milliseconds since the Unix epoch.

use std::io::Write as _;
use std::str::{self, FromStr};

use bytes::Bytes;

use super::entry::{Body, Content, Entry, Moment};
use crate::template::TemplateId;

const FORMAT: &[u8] = b"td1 ";
const CHECKSUM_DIGITS: usize = 8;
const HEAD: usize = FORMAT.len() + CHECKSUM_DIGITS + 1;

/// The version of an entry that says that there is no such template.
const ABSENT: i64 = 0;

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
    let (version, json): (i64, &[u8]) = match &entry.content {
        Content::Template(body) => (body.version, &body.json),
        Content::Absent => (ABSENT, &[]),
    };
    let mut rest = Vec::with_capacity(96 + json.len());
    rest.extend_from_slice(&[0; HEAD]);
    let written = writeln!(
        rest,
        "{id} {version} {} {}",
        entry.stored_at.0, entry.expires_at.0
    );
    debug_assert!(written.is_ok(), "a Vec takes every byte");
    rest.extend_from_slice(json);
    let checksum = crc32fast::hash(&rest[HEAD..]);
    let head = [FORMAT, &digits(checksum), b" "].concat();
    rest[..HEAD].copy_from_slice(&head);
    rest
}

/// The entry of this template, if these bytes are one.
pub(super) fn decode(id: TemplateId, payload: &Bytes) -> Option<Entry> {
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
    let mut moment = || number(fields.next()?).map(Moment);
    let (stored_at, expires_at) = (moment()?, moment()?);
    let json = payload.slice(HEAD + line_end + 1..);
    let content = match (version, json.is_empty()) {
        (version, false) => Content::Template(Body { version, json }),
        (ABSENT, true) => Content::Absent,
        (_, true) => return None,
    };
    (named == id && fields.next().is_none()).then_some(Entry {
        content,
        stored_at,
        expires_at,
    })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::template::{Template, UpdatedAt};

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
        Entry::new(Some(template), Moment(1_000), Duration::from_secs(30))
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let absent = Entry::new(None, Moment(1), Duration::from_secs(5));
        for entry in [entry(), absent] {
            assert_eq!(decode(id(7), &encode(id(7), &entry).into()), Some(entry));
        }
    }

    #[test]
    fn an_entry_of_another_template_is_not_decoded() {
        assert_eq!(decode(id(8), &encode(id(7), &entry()).into()), None);
    }

    #[test]
    fn no_truncated_entry_is_decoded() {
        let payload = encode(id(7), &entry());
        for length in 0..payload.len() {
            assert_eq!(
                decode(id(7), &Bytes::copy_from_slice(&payload[..length])),
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
                    decode(id(7), &altered.into()),
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
        assert!(decode(id(7), &sealed("7 0 1 2\n")).is_some());
        for line in ["07 0 1 2", "7 -0 1 2", "7 0 +1 2", "7 0 1 02", "7 0 1 2 "] {
            assert_eq!(decode(id(7), &sealed(&format!("{line}\n"))), None, "{line}");
        }
    }

    #[test]
    fn a_template_whose_row_counts_from_0_is_not_taken_for_an_absent_one() {
        let mut entry = entry();
        if let Content::Template(body) = &mut entry.content {
            body.version = 0;
        }
        assert_eq!(decode(id(7), &encode(id(7), &entry).into()), Some(entry));
    }

    #[test]
    fn foreign_content_is_not_decoded() {
        for foreign in [
            "",
            "td1",
            "td2 00000000 7 1 1 1\n{}",
            "{\"id\":7}",
            "td1 00000000 \n",
            "\u{0}\u{0}",
        ] {
            assert_eq!(
                decode(id(7), &Bytes::copy_from_slice(foreign.as_bytes())),
                None,
                "{foreign:?}"
            );
        }
    }
}

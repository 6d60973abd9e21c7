//! How an [`Entry`] is written in Redis: one line of text, then the answer's bytes.
//!
//! ```text
//! td1 <checksum> <id> <version> <stored at> <expires at>\n{"id":1,…}
//! ```
//!
//! Redis is a place where anything may turn up. So the line names the format's version and the template that it is
//! for, and a CRC-32 covers everything behind it: what is foreign, truncated, altered, of another format or of
//! another template is not decoded. Version 0 with no bytes behind the line says that there is no such template.
//! Times are in milliseconds since the Unix epoch.

use std::io::Write as _;
use std::str;

use bytes::Bytes;

use super::entry::{Body, Content, Entry, Moment};
use crate::template::TemplateId;

const FORMAT: &[u8] = b"td1 ";
const CHECKSUM_DIGITS: usize = 8;
const HEAD: usize = FORMAT.len() + CHECKSUM_DIGITS + 1;

/// The version of an entry that says that there is no such template.
const ABSENT: i64 = 0;

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
    let head = format!("td1 {checksum:08x} ");
    rest[..HEAD].copy_from_slice(head.as_bytes());
    rest
}

/// The entry of this template, if these bytes are one.
pub(super) fn decode(id: TemplateId, payload: &Bytes) -> Option<Entry> {
    let rest = payload.strip_prefix(FORMAT)?;
    let (checksum, rest) = rest.split_at_checked(CHECKSUM_DIGITS)?;
    let rest = rest.strip_prefix(b" ")?;
    let checksum = u32::from_str_radix(str::from_utf8(checksum).ok()?, 16).ok()?;
    if checksum != crc32fast::hash(rest) {
        return None;
    }
    let line_end = rest.iter().position(|byte| *byte == b'\n')?;
    let mut fields = str::from_utf8(&rest[..line_end]).ok()?.split(' ');
    let named = TemplateId::parse(fields.next()?)?;
    let version: i64 = fields.next()?.parse().ok()?;
    let mut moment = || Some(Moment(fields.next()?.parse().ok()?));
    let (stored_at, expires_at) = (moment()?, moment()?);
    let json = payload.slice(HEAD + line_end + 1..);
    let content = match (version, json.is_empty()) {
        (ABSENT, true) => Content::Absent,
        (ABSENT, false) | (_, true) => return None,
        (version, false) => Content::Template(Body { version, json }),
    };
    (named == id && fields.next().is_none()).then_some(Entry {
        content,
        stored_at,
        expires_at,
    })
}

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
                // The checksum's own letters may be of either case.
                let same = (FORMAT.len()..HEAD).contains(&position)
                    && altered.eq_ignore_ascii_case(&payload);
                assert_eq!(
                    decode(id(7), &altered.into()).is_some(),
                    same,
                    "bit {bit} of byte {position}"
                );
            }
        }
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

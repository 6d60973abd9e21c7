//! The leaf types: which template ([`TemplateId`]) and what it is ([`Template`]).
//!
//! Nothing here knows of HTTP, caches or databases.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// A template's number, from 1 to 2^63-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateId(i64);

impl TemplateId {
    /// The id with this number, if it is one that a template can have.
    pub fn new(number: i64) -> Option<Self> {
        (number >= 1).then_some(Self(number))
    }

    /// Reads a decimal integer and nothing else: no sign, no spaces, no other digits than 0 to 9.
    pub fn parse(text: &str) -> Option<Self> {
        let only_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        only_digits
            .then(|| text.parse().ok())
            .flatten()
            .and_then(Self::new)
    }

    /// The number.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for TemplateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

/// A template as the database has it, and, serialised, as a caller gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Template {
    /// Which template.
    pub id: TemplateId,
    /// What it is called.
    pub name: String,
    /// When its row last changed.
    pub updated_at: UpdatedAt,
    /// How often its row changed; with the id it names one state of the template.
    pub version: i64,
}

impl Template {
    /// The bytes of the answer's body.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of integers and strings always serialises")
    }
}

/// What the database says of an id. For each id, a higher version means a later state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is such a template.
    Present(Template),
    /// There is none; version 0 if there never was one, else the version at which it was deleted.
    Absent {
        /// Which state this is.
        version: i64,
    },
}

impl State {
    /// Which state this is.
    pub fn version(&self) -> i64 {
        match self {
            Self::Present(template) => template.version,
            Self::Absent { version } => *version,
        }
    }
}

/// A point in time in whole seconds since the Unix epoch, written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdatedAt(pub i64);

impl UpdatedAt {
    /// The system clock's time.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since_epoch.as_secs()).unwrap_or(LAST_SECOND))
    }
}

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const LAST_SECOND: i64 = 253_402_300_799;

impl fmt::Display for UpdatedAt {
    /// A row may hold any number; outside of what the format can write, the nearest end is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.clamp(0, LAST_SECOND).unsigned_abs();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

impl Serialize for UpdatedAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_decimal_integer_from_1_to_2_to_the_63_minus_1() {
        for (text, number) in [("1", 1), ("007", 7), ("9223372036854775807", i64::MAX)] {
            assert_eq!(
                TemplateId::parse(text).map(TemplateId::number),
                Some(number),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_not_an_id() {
        let many_digits = "9".repeat(100);
        for text in [
            "",
            "0",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "１",
            "٣",
            "1\0",
            "9223372036854775808",
            &many_digits,
        ] {
            assert_eq!(TemplateId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_template_serialises_to_the_answer_of_the_contract() {
        let template = Template {
            id: TemplateId(1),
            name: "Template 1".into(),
            updated_at: UpdatedAt(1_767_225_600),
            version: 1,
        };
        assert_eq!(
            String::from_utf8(template.to_json()).unwrap(),
            r#"{"id":1,"name":"Template 1","updated_at":"2026-01-01T00:00:00Z","version":1}"#
        );
    }

    #[test]
    fn an_absurd_time_in_a_row_is_written_as_the_nearest_one_that_can_be() {
        assert_eq!(UpdatedAt(-5).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(UpdatedAt(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}

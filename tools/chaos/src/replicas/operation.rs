//! [`Operation`]: one read or write, when it was under way, and what came of it.

use std::fmt;

use serde_json::Value;
use testkit::http::Answer;

use crate::judge::source;

/// One read or write. Two are ordered only if one ended before the other began.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The replica that was asked; none for a statement in SQL.
    pub(crate) replica: Option<usize>,
    pub(crate) id: i64,
    /// In microseconds since the run began.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) what: What,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A read saw this version under this name.
    Saw {
        version: i64,
        name: String,
        source: &'static str,
    },
    /// A read was told that there is no such template.
    SawNone,
    /// A write has given it this name.
    Wrote {
        name: String,
        /// The version that the writer was told.
        said: i64,
        /// The version that it was to replace, if that mattered.
        replacing: Option<i64>,
    },
    /// It was removed.
    Removed {
        /// The version that was to be removed, if that mattered.
        replacing: Option<i64>,
    },
    /// A write of which it is not known whether it was made, or which was not to be made as things stood.
    Open(String),
    /// Nothing was said of the template: a limit, a time-out.
    Refused,
    /// No answer may be like this.
    Wrong(String),
}

impl What {
    /// What a read has brought.
    pub(crate) fn read(id: i64, outcome: &Result<Answer, String>) -> Self {
        match outcome {
            Err(error) => Self::Wrong(error.clone()),
            Ok(answer) => match answer.status {
                200 => {
                    Self::body(id, answer).map_or_else(Self::Wrong, |(version, name)| Self::Saw {
                        version,
                        name,
                        source: source(outcome),
                    })
                }
                404 => Self::SawNone,
                503 => Self::Refused,
                status => Self::Wrong(format!("status {status}")),
            },
        }
    }

    /// What came of setting a name.
    pub(crate) fn put(
        id: i64,
        name: String,
        replacing: Option<i64>,
        outcome: &Result<Answer, String>,
    ) -> Self {
        match outcome {
            Ok(answer) if answer.status == 200 => match Self::body(id, answer) {
                Ok((said, told)) if told == name => Self::Wrote {
                    name,
                    said,
                    replacing,
                },
                Ok((_, told)) => Self::Wrong(format!("{name:?} was written, and {told:?} told")),
                Err(wrong) => Self::Wrong(wrong),
            },
            outcome => Self::not_made(&name, outcome),
        }
    }

    /// What came of a removal.
    pub(crate) fn delete(replacing: Option<i64>, outcome: &Result<Answer, String>) -> Self {
        match outcome {
            Ok(answer) if answer.status == 204 => Self::Removed { replacing },
            Ok(answer) if answer.status == 404 => Self::Open("there was none to remove".into()),
            outcome => Self::not_made("removal", outcome),
        }
    }

    fn not_made(what: &str, outcome: &Result<Answer, String>) -> Self {
        match outcome {
            Ok(answer) if matches!(answer.status, 412 | 503) => {
                Self::Open(format!("{what}: {}", answer.status))
            }
            Ok(answer) => Self::Wrong(format!("{what}: status {}", answer.status)),
            Err(error) => Self::Wrong(format!("{what}: {error}")),
        }
    }

    /// The version and the name in a body, which must be of this template and agree with its tag.
    fn body(id: i64, answer: &Answer) -> Result<(i64, String), String> {
        let text = String::from_utf8_lossy(&answer.body);
        let body: Value = serde_json::from_str(&text).map_err(|_| format!("no JSON: {text}"))?;
        let (Some(version), Some(name)) = (body["version"].as_i64(), body["name"].as_str()) else {
            return Err(format!("no version, or no name: {text}"));
        };
        if body["id"] != id {
            return Err(format!("another template: {text}"));
        }
        let etag = format!("\"{id}-{version}\"");
        if answer.header("etag") != Some(&etag) {
            return Err(format!("the ETag is not {etag}: {text}"));
        }
        Ok((version, name.to_owned()))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |micros: u64| micros as f64 / 1e3;
        let (began, ended) = (milliseconds(self.began), milliseconds(self.ended));
        write!(f, "{began:>11.3} to {ended:>11.3} ms  ")?;
        match self.replica {
            Some(replica) => write!(f, "replica {replica}  ")?,
            None => write!(f, "in SQL     ")?,
        }
        let condition = |replacing: &Option<i64>| {
            replacing.map_or_else(String::new, |version| format!(", if at version {version}"))
        };
        match &self.what {
            What::Saw {
                version,
                name,
                source,
            } => write!(f, "read version {version} {name:?} ({source})"),
            What::SawNone => f.write_str("read that there is none"),
            What::Wrote {
                name,
                said,
                replacing,
            } => write!(f, "wrote version {said} {name:?}{}", condition(replacing)),
            What::Removed { replacing } => write!(f, "removed it{}", condition(replacing)),
            What::Open(why) => write!(f, "wrote perhaps: {why}"),
            What::Refused => f.write_str("was refused"),
            What::Wrong(what) => write!(f, "was answered wrongly: {what}"),
        }
    }
}

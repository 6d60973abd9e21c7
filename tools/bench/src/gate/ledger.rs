//! What holds: `tools/bench/counts.txt`, one line for each case.
//!
//! Instructions depend on libc, processor and compiler, so they are judged as a ratio to those of a reference that is
//! counted in the same run. Allocations depend on none of them, and are judged exactly.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

/// How much more than what stands in the ledger is still the same. Debian 12 and 13 differ by 2 %.
const SLACK: f64 = 1.05;

/// What a case takes, per request or call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) allocations: f64,
    /// Of the reference's instructions.
    pub(crate) ratio: f64,
}

/// All lines, and the remarks before them.
pub(crate) struct Ledger {
    remarks: Vec<String>,
    lines: Vec<Line>,
}

struct Line {
    case: String,
    allowed: Count,
    reason: String,
}

/// What the ledger says to a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    Holds(Count),
    /// It takes less, which should be noted.
    Lower(Count),
    Grown(Count),
    /// Nothing stands there.
    Unknown,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Holds(_) | Self::Lower(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (allowed, word) = match self {
            Self::Holds(allowed) => (allowed, ""),
            Self::Lower(allowed) => (allowed, "less: tools/bench/gate --write"),
            Self::Grown(allowed) => (allowed, "GROWN"),
            Self::Unknown => return f.write_str("UNKNOWN: tools/bench/gate --write"),
        };
        let Count { allocations, ratio } = allowed;
        write!(f, "{allocations:11.2} {ratio:7.3}  {word}")
    }
}

impl Count {
    fn verdict(self, allowed: Self) -> Verdict {
        // Two and three digits are what is written.
        let fewer = |a: f64, b: f64| a < b - 0.006;
        if fewer(allowed.allocations, self.allocations) || self.ratio > allowed.ratio * SLACK {
            Verdict::Grown(allowed)
        } else if fewer(self.allocations, allowed.allocations) || self.ratio < allowed.ratio / SLACK
        {
            Verdict::Lower(allowed)
        } else {
            Verdict::Holds(allowed)
        }
    }
}

impl Ledger {
    pub(crate) fn read() -> io::Result<Self> {
        let text = fs::read_to_string(path())?;
        let (remarks, lines) = text
            .lines()
            .partition::<Vec<_>, _>(|line| line.starts_with('#'));
        let lines = lines.into_iter().map(|line| {
            Line::parse(line)
                .ok_or_else(|| io::Error::other(format!("{}: {line}", path().display())))
        });
        Ok(Self {
            remarks: remarks.into_iter().map(str::to_owned).collect(),
            lines: lines.collect::<io::Result<_>>()?,
        })
    }

    pub(crate) fn judge(&self, case: &str, count: Count) -> Verdict {
        let line = self.lines.iter().find(|line| line.case == case);
        line.map_or(Verdict::Unknown, |line| count.verdict(line.allowed))
    }

    /// Allows what was counted. A line that allows more than before needs its reason behind it.
    pub(crate) fn write(&mut self, case: &str, count: Count) {
        match self.lines.iter_mut().find(|line| line.case == case) {
            Some(line) => line.allowed = count,
            None => self.lines.push(Line {
                case: case.to_owned(),
                allowed: count,
                reason: String::new(),
            }),
        }
    }

    pub(crate) fn save(&self) -> io::Result<()> {
        let lines = self.lines.iter().map(Line::to_string);
        let lines: Vec<_> = self.remarks.iter().cloned().chain(lines).collect();
        fs::write(path(), lines.join("\n") + "\n")
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(Self {
            case: words.next()?.to_owned(),
            allowed: Count {
                allocations: words.next()?.parse().ok()?,
                ratio: words.next()?.parse().ok()?,
            },
            reason: words.collect::<Vec<_>>().join(" "),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { allocations, ratio } = self.allowed;
        let line = format!(
            "{:20} {allocations:11.2} {ratio:7.3}  {}",
            self.case, self.reason
        );
        f.write_str(line.trim_end())
    }
}

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Count = Count {
        allocations: 11.0,
        ratio: 2.5,
    };

    #[test]
    fn one_allocation_or_a_tenth_of_the_instructions_more_is_growth_and_2_percent_are_not() {
        for (allocations, ratio, expected) in [
            (11.0, 2.5, Verdict::Holds(ALLOWED)),
            (11.0, 2.55, Verdict::Holds(ALLOWED)),
            (12.0, 2.5, Verdict::Grown(ALLOWED)),
            (11.01, 2.5, Verdict::Grown(ALLOWED)),
            (11.0, 2.75, Verdict::Grown(ALLOWED)),
            (10.0, 2.75, Verdict::Grown(ALLOWED)),
            (10.0, 2.5, Verdict::Lower(ALLOWED)),
            (11.0, 2.25, Verdict::Lower(ALLOWED)),
        ] {
            let count = Count { allocations, ratio };
            assert_eq!(count.verdict(ALLOWED), expected, "{count:?}");
        }
    }
}

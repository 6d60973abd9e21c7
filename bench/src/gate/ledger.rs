//! The counts that hold, and why: `bench/counts.txt`, one line for each case and unit.
//!
//! A line has what the case may take, the lowest that it ever took, and, if the one is larger than the other, why.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

/// How much more than what stands in the ledger is still the same: counts differ a little from run to run.
pub(crate) const SLACK: f64 = 1.03;

/// The remark that says which compiler made what was counted.
const COMPILER: &str = "# Compiler: ";

/// All lines, and the remarks before them.
pub(crate) struct Ledger {
    remarks: Vec<String>,
    lines: Vec<Line>,
}

struct Line {
    case: String,
    unit: String,
    allowed: f64,
    lowest: f64,
    reason: String,
}

/// What the ledger says to a count.
pub(crate) enum Verdict {
    /// As it should be.
    Holds(f64),
    /// Less than there stands.
    Lower(f64),
    /// More than there stands.
    Grown(f64),
    /// No more than there stands, but that once was less, and nobody says why.
    Unreasoned(f64),
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
        match self {
            Self::Holds(allowed) => write!(f, "{allowed:9.1}"),
            Self::Lower(allowed) => write!(f, "{allowed:9.1}  less: bench/gate --write"),
            Self::Grown(allowed) => write!(f, "{allowed:9.1}  GROWN"),
            Self::Unreasoned(lowest) => write!(f, "{lowest:9.1}  GROWN, give a reason"),
            Self::Unknown => write!(f, "{:>9}  UNKNOWN: bench/gate --write", "-"),
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

    /// Whether its instructions were counted with this compiler, so that they can be compared.
    pub(crate) fn is_by(&self, compiler: &str) -> bool {
        let line = format!("{COMPILER}{compiler}");
        self.remarks.contains(&line)
    }

    /// Notes which compiler made what is counted now.
    pub(crate) fn sign(&mut self, compiler: &str) {
        self.remarks.retain(|remark| !remark.starts_with(COMPILER));
        self.remarks.push(format!("{COMPILER}{compiler}"));
    }

    fn line(&self, case: &str, unit: &str) -> Option<&Line> {
        self.lines
            .iter()
            .find(|line| line.case == case && line.unit == unit)
    }

    pub(crate) fn judge(&self, case: &str, unit: &str, figure: f64) -> Verdict {
        let Some(line) = self.line(case, unit) else {
            return Verdict::Unknown;
        };
        if line.exceeded_by(figure) {
            Verdict::Grown(line.allowed)
        } else if grown(line.allowed, line.lowest) && line.reason.is_empty() {
            Verdict::Unreasoned(line.lowest)
        } else if grown(line.allowed, figure) {
            Verdict::Lower(line.allowed)
        } else {
            Verdict::Holds(line.allowed)
        }
    }

    /// Allows what was counted. If that is more than it once was, a reason has to be written beside it.
    pub(crate) fn write(&mut self, case: &str, unit: &str, figure: f64) {
        let before = self.line(case, unit);
        let line = Line {
            case: case.to_owned(),
            unit: unit.to_owned(),
            allowed: figure,
            lowest: before.map_or(figure, |line| line.lowest.min(figure)),
            // It explains what was allowed before, and no further growth.
            reason: before
                .filter(|line| !line.exceeded_by(figure))
                .map_or_else(String::new, |line| line.reason.clone()),
        };
        self.lines
            .retain(|line| line.case != case || line.unit != unit);
        self.lines.push(line);
    }

    pub(crate) fn save(&self) -> io::Result<()> {
        let lines = self.lines.iter().map(Line::to_string);
        let lines: Vec<_> = self.remarks.iter().cloned().chain(lines).collect();
        fs::write(path(), lines.join("\n") + "\n")
    }
}

/// Whether a figure is more than this, and not just by what counts differ.
fn grown(figure: f64, than: f64) -> bool {
    // A tenth is what is written.
    figure > than * SLACK + 0.1
}

impl Line {
    fn exceeded_by(&self, figure: f64) -> bool {
        grown(figure, self.allowed)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(Self {
            case: words.next()?.to_owned(),
            unit: words.next()?.to_owned(),
            allowed: words.next()?.parse().ok()?,
            lowest: words.next()?.parse().ok()?,
            reason: words.collect::<Vec<_>>().join(" "),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            unit,
            allowed,
            lowest,
            reason,
        } = self;
        let line = format!("{case:20} {unit:14} {allowed:9.1} {lowest:9.1}  {reason}");
        f.write_str(line.trim_end())
    }
}

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt"))
}

//! What to measure, and for how long.

use std::process::ExitCode;
use std::time::Duration;

/// What can be measured apart from the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Load,
    Growth,
    Cold,
    Idle,
    Start,
}

const CASES: [(Case, &str, &str); 5] = [
    (
        Case::Load,
        "load",
        "hello, Redis hit, 304 and local hit: CPU, throughput, p99",
    ),
    (
        Case::Growth,
        "growth",
        "Redis hits of 100 and 1,000,000 templates, 64 and 4,000 callers",
    ),
    (
        Case::Cold,
        "cold",
        "1,000 callers of a template that is not cached",
    ),
    (
        Case::Idle,
        "idle",
        "memory of idle connections and of 10,000 local copies",
    ),
    (Case::Start, "start", "from start to the first answer"),
];

const HELP: &str = "\
usage: tools/bench/run [OPTIONS] [CASE...]

Measures what requests cost, beside a server of the same axum that only says
hello, and compares that with the targets. Starts its own PostgreSQL and Redis
from installed binaries; needs wrk. All cases if none is named; then the
results are also written to tools/bench/results.json and tools/bench/results.svg.

  --rounds N      how often the cases of load and growth take turns   [9]
  --seconds S     how long each is put under load in a round        [2.5]
  --list          the cases
  --help          this text

Exit status: 0 when every target was met, 1 when one was missed by more than
the noise of its figure, or when something went wrong.
";

/// What was asked for on the command line.
pub(crate) struct Options {
    cases: Vec<Case>,
    pub(crate) rounds: usize,
    pub(crate) load: Duration,
}

impl Options {
    /// Reads the command line; what is to be said instead of measuring has been said when there is an error.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        let mut options = Self {
            cases: Vec::new(),
            rounds: 9,
            load: Duration::from_millis(2500),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse::<f64>().ok());
            match argument.as_str() {
                "--help" => {
                    print!("{HELP}");
                    return Err(ExitCode::SUCCESS);
                }
                "--list" => {
                    for (_, name, what) in CASES {
                        println!("{name:8} {what}");
                    }
                    return Err(ExitCode::SUCCESS);
                }
                "--rounds" => match number() {
                    Some(rounds) if rounds >= 1.0 => options.rounds = rounds as usize,
                    _ => return Err(misused("--rounds takes a number from 1")),
                },
                "--seconds" => match number() {
                    Some(seconds) if seconds >= 0.1 => {
                        options.load = Duration::from_secs_f64(seconds);
                    }
                    _ => return Err(misused("--seconds takes a number from 0.1")),
                },
                name => match CASES.iter().find(|(_, known, _)| *known == name) {
                    Some((case, ..)) => options.cases.push(*case),
                    None => return Err(misused(&format!("no case {name}: see --list"))),
                },
            }
        }
        Ok(options)
    }

    /// Whether this is to be measured.
    pub(crate) fn includes(&self, case: Case) -> bool {
        self.is_whole() || self.cases.contains(&case)
    }

    /// Whether everything is.
    pub(crate) fn is_whole(&self) -> bool {
        self.cases.is_empty()
    }
}

fn misused(why: &str) -> ExitCode {
    eprintln!("tools/bench/run: {why}");
    ExitCode::FAILURE
}

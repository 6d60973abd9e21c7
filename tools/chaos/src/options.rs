//! [`Options`]: what the command line says.

use std::time::Duration;

use clap::{Arg, Command, value_parser};

use crate::replicas::ReplicasOptions;

/// Its first 20 seconds, which every run of the tests ends with, bring eight spells of many kinds: Redis
/// swallowed, slow, full, frozen and full of garbage, and both servers restarted at once.
const SEED: &str = "2097";

/// What is to be run.
pub(crate) enum Run {
    /// One process, while everything breaks.
    Soak(Options),
    /// Several processes.
    Replicas(ReplicasOptions),
}

/// What to do, for how long, how hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whatever is random follows from it, the schedule of the faults above all.
    pub(crate) seed: u64,
    /// How long faults come and go. Start, warm-up and the wait for quiet come on top.
    pub(crate) length: Duration,
    /// Requests per second, whether or not they are answered in time.
    pub(crate) rate: f64,
}

impl Options {
    /// Reads the command line; ends the process if it makes no sense, or asks for help.
    pub(crate) fn from_command_line() -> Run {
        let matches = Command::new("chaos")
            .about("Checks every answer while everything breaks")
            .arg(
                option("seed", "N", SEED, "what everything random follows from")
                    .value_parser(value_parser!(u64)),
            )
            .arg(option("for", "TIME", "60s", "how long faults come and go").value_parser(length))
            .arg(option("rate", "R", "300", "requests per second").value_parser(rate))
            .subcommand(ReplicasOptions::command())
            .args_conflicts_with_subcommands(true)
            .get_matches();
        if let Some(("replicas", matches)) = matches.subcommand() {
            return Run::Replicas(ReplicasOptions::read(matches));
        }
        let missing = "it has a default";
        Run::Soak(Self {
            seed: *matches.get_one("seed").expect(missing),
            length: *matches.get_one("for").expect(missing),
            rate: *matches.get_one("rate").expect(missing),
        })
    }
}

fn option(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .default_value(default)
        .help(help)
}

fn length(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate: f64 = text.parse().map_err(|_| "not a number")?;
    if (1.0..=100_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("not from 1 to 100000")
    }
}

//! [`LabCommand`]: what `stampede lab` is asked to show. What it may be asked for is not decided here.

use clap::{Arg, ArgAction, ArgMatches, Command as Cli};

/// What to show in the terminal, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabCommand {
    /// The incident, not the comparison of strategies.
    pub incident: bool,
    /// As JSON.
    pub json: bool,
    /// `burst` or `sustained`.
    pub mode: Option<String>,
    /// `lifted` or `kept`.
    pub limits: Option<String>,
    /// Strategies by name.
    pub strategies: Option<Vec<String>>,
    numbers: Vec<(&'static str, u64)>,
}

/// Flag, whether it is a duration, and what it means; the name is the one of the interface.
type Number = (&'static str, &'static str, bool, &'static str);

const OF_A_STAMPEDE: [Number; 7] = [
    (
        "template",
        "template",
        false,
        "which template expires [default: 1]",
    ),
    (
        "callers",
        "callers",
        false,
        "burst: how many ask for it at once, 1 to 5000 [default: 500]",
    ),
    (
        "query_time_ms",
        "query-time",
        true,
        "how long the database takes [default: 100ms]",
    ),
    (
        "spread_ms",
        "spread",
        true,
        "burst: over which time they arrive [default: 0ms]",
    ),
    (
        "rate_per_second",
        "rate",
        false,
        "sustained: requests a second, 1 to 2000 [default: 200]",
    ),
    (
        "ttl_ms",
        "ttl",
        true,
        "sustained: how long an answer holds [default: 1s]",
    ),
    (
        "duration_ms",
        "duration",
        true,
        "sustained: for how long [default: 5s]",
    ),
];

const OF_AN_INCIDENT: [Number; 6] = [
    (
        "rate_per_second",
        "rate",
        false,
        "requests a second, 1 to 2000 [default: 200]",
    ),
    (
        "query_time_ms",
        "query-time",
        true,
        "how long the database takes [default: 100ms]",
    ),
    (
        "ttl_ms",
        "ttl",
        true,
        "how long an answer holds [default: 2s]",
    ),
    (
        "warm_ms",
        "warm",
        true,
        "for how long all is well [default: 3s]",
    ),
    (
        "outage_ms",
        "outage",
        true,
        "for how long the cache does not answer [default: 5s]",
    ),
    (
        "recovery_ms",
        "recovery",
        true,
        "for how long it does again [default: 3s]",
    ),
];

const HEADING: &str = "The run";

impl LabCommand {
    /// The number under this name, durations in milliseconds.
    pub fn number(&self, name: &str) -> Option<u64> {
        let found = self.numbers.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| *number)
    }

    pub(super) fn of(matches: &ArgMatches) -> Self {
        if let Some(matches) = matches.subcommand_matches("incident") {
            return Self {
                incident: true,
                json: matches.get_flag("json"),
                numbers: numbers(matches, &OF_AN_INCIDENT),
                ..Self::default()
            };
        }
        let text = |name| matches.get_one::<String>(name).cloned();
        let strategies = matches.get_many::<String>("strategies");
        Self {
            incident: false,
            json: matches.get_flag("json"),
            mode: text("mode"),
            limits: text("limits"),
            strategies: strategies.map(|names| names.cloned().collect()),
            numbers: numbers(matches, &OF_A_STAMPEDE),
        }
    }
}

/// `stampede lab` and `stampede lab incident`.
pub(super) fn cli() -> Cli {
    let text = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("NAME")
            .help(help)
            .help_heading(HEADING)
    };
    let strategies = text(
        "strategies",
        "which, separated by commas: off, load-or-store, mutex, singleflight; sustained: early and stale too",
    );
    Cli::new("lab")
        .about("Show a stampede, and that there is none: the same expiry for several strategies, without a server")
        .args(OF_A_STAMPEDE.iter().map(number))
        .arg(text("mode", "burst, or sustained: traffic for a while, and a short TTL [default: burst]"))
        .arg(text("limits", "lifted: the database takes whatever comes; kept: as the settings say [default: lifted]"))
        .arg(strategies.value_delimiter(',').value_name("NAMES"))
        .arg(json())
        .after_help(
            "Exit 0 if the protected strategies made no more queries than promised, 1 if they made more or it could not \
             be run (then standard error says why), 2 for a flag or a setting that cannot be used.",
        )
        .args_conflicts_with_subcommands(true)
        .subcommand(
            Cli::new("incident")
                .about("Show an outage of the cache under traffic, first without protection, then with it")
                .args(OF_AN_INCIDENT.iter().map(number))
                .arg(json())
                .after_help(
                    "Exit 0 if no request failed with protection, 1 if one did or it could not be run (then standard \
                     error says why), 2 for a flag or a setting that cannot be used.",
                ),
        )
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("print the result as JSON, with what it added to the counters of /metrics")
        .help_heading(HEADING)
}

fn number((name, flag, is_duration, help): &Number) -> Arg {
    let argument = Arg::new(*name)
        .long(*flag)
        .help(*help)
        .help_heading(HEADING);
    if *is_duration {
        argument.value_name("DURATION").value_parser(milliseconds)
    } else {
        argument
            .value_name("NUMBER")
            .value_parser(clap::value_parser!(u64))
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}

fn numbers(matches: &ArgMatches, known: &[Number]) -> Vec<(&'static str, u64)> {
    let given = known.iter().map(|(name, ..)| name);
    given
        .filter_map(|name| Some((*name, *matches.get_one::<u64>(name)?)))
        .collect()
}

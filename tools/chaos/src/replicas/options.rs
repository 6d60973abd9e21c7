//! [`ReplicasOptions`]: what the command line says of a run with several processes.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::database::Kind;

/// What holds unless `--with` says otherwise. Short lives, so that everything expires all the time.
const SETTINGS: [(&str, &str); 5] = [
    ("CACHE_TTL", "2s"),
    ("NEGATIVE_TTL", "1s"),
    ("STALE_FOR", "0s"),
    ("STALE_WHILE_REVALIDATE", "0s"),
    ("RUST_LOG", "info"),
];

/// What to do, how often, on how many replicas, with which settings.
#[derive(Clone, Debug)]
pub(crate) struct ReplicasOptions {
    /// Whatever is random follows from it.
    pub(crate) seed: u64,
    /// How many reads and writes there are, all together.
    pub(crate) operations: usize,
    /// How many processes serve.
    pub(crate) replicas: usize,
    /// What kind of database they share.
    pub(crate) database: Kind,
    /// Operations per second, in waves.
    pub(crate) rate: f64,
    /// The settings of every process, but for the addresses.
    pub(crate) settings: Vec<(String, String)>,
}

impl ReplicasOptions {
    /// The subcommand.
    pub(crate) fn command() -> Command {
        Command::new("replicas")
            .about("Checks that several processes never answer with what is too old")
            .arg(option("seed", "N", "7").value_parser(value_parser!(u64)))
            .arg(option("operations", "N", "100000").value_parser(value_parser!(usize)))
            .arg(option("replicas", "R", "3").value_parser(value_parser!(u8).range(1..=9)))
            .arg(option("database", "KIND", "postgres").value_parser(Kind::named))
            .arg(option("rate", "N", "1000").value_parser(value_parser!(u32).range(1..)))
            .arg(
                Arg::new("with")
                    .long("with")
                    .value_name("NAME=VALUE")
                    .help("a setting for every process; may be repeated")
                    .action(ArgAction::Append)
                    .value_parser(assignment),
            )
    }

    /// What the subcommand's arguments say.
    pub(crate) fn read(matches: &ArgMatches) -> Self {
        let missing = "it has a default";
        let mut settings: Vec<_> = SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let given = matches.get_many::<(String, String)>("with");
        for (name, value) in given.into_iter().flatten() {
            settings.retain(|(known, _)| known != name);
            settings.push((name.clone(), value.clone()));
        }
        Self {
            seed: *matches.get_one("seed").expect(missing),
            operations: *matches.get_one("operations").expect(missing),
            replicas: usize::from(*matches.get_one::<u8>("replicas").expect(missing)),
            database: *matches.get_one("database").expect(missing),
            rate: f64::from(*matches.get_one::<u32>("rate").expect(missing)),
            settings,
        }
    }

    /// A setting that is a length of time; zero if it is none.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        let setting = self.settings.iter().find(|(known, _)| known == name);
        setting
            .and_then(|(_, value)| humantime::parse_duration(value).ok())
            .unwrap_or_default()
    }

    /// The arguments that repeat this run.
    pub(crate) fn line(&self) -> String {
        let standard = |(name, value): &&(String, String)| {
            !SETTINGS.contains(&(name.as_str(), value.as_str()))
        };
        let with = self.settings.iter().filter(standard);
        let with: String = with
            .map(|(name, value)| format!(" --with {name}={value}"))
            .collect();
        let database = match self.database {
            Kind::Postgres => "",
            Kind::MySql => " --database mysql",
        };
        format!(
            "replicas --operations {} --seed {} --replicas {} --rate {}{database}{with}",
            self.operations, self.seed, self.replicas, self.rate
        )
    }
}

fn option(name: &'static str, value: &'static str, default: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .default_value(default)
}

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

//! Where a setting's text comes from: a flag, else an environment variable, else the file that `X_FILE` names.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command as Cli};

use super::lab::{self, LabCommand};
use super::settings::{SETTINGS, Setting, Shown};
use super::values::Secret;
use super::{Config, Problem, Problems};

/// What the process is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Serve with these settings.
    Serve(Box<Config>),
    /// Ask the service at these settings' address whether it lives.
    Healthcheck(Box<Config>),
    /// Show the lab in the terminal, with these settings.
    Lab(Box<Config>, LabCommand),
    /// Print this text (every setting, as it is) and end.
    Print(String),
}

/// Reads the process's command line and environment. `--help`, `--version` and unknown flags end the process here.
pub fn command() -> Result<Command, Problems> {
    command_from(std::env::args_os(), &|name| {
        std::env::var_os(name).map(|text| text.to_string_lossy().into_owned())
    })
    .unwrap_or_else(|error| error.exit())
}

pub(super) fn command_from(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Result<Command, Problems>, clap::Error> {
    let matches = cli().try_get_matches_from(arguments)?;
    let flags = SETTINGS
        .iter()
        .filter_map(|setting| {
            Some((
                setting.variable,
                matches.get_one::<String>(setting.variable)?.clone(),
            ))
        })
        .collect();
    let sources = Sources { flags, environment };
    Ok(
        Config::read(&sources).map(|config| match matches.subcommand() {
            Some(("healthcheck", _)) => Command::Healthcheck(Box::new(config)),
            Some(("lab", lab)) => Command::Lab(Box::new(config), LabCommand::of(lab)),
            _ if matches.get_flag(PRINT_CONFIG) => Command::Print(sources.print()),
            _ => Command::Serve(Box::new(config)),
        }),
    )
}

const PRINT_CONFIG: &str = "print-config";

fn cli() -> Cli {
    let settings = SETTINGS.iter().map(|setting| {
        Arg::new(setting.variable)
            .long(setting.flag())
            .value_name("VALUE")
            .global(true)
            .help(format!(
                "{} [{}, default {}]",
                setting.meaning, setting.variable, setting.default
            ))
    });
    Cli::new("stampede")
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(80)
        .about("Serves templates through a cache, and survives the stampede when the cache is gone.")
        .after_help(
            "Every flag is also an environment variable (in brackets), and any X_FILE names a file that holds X. \
             Durations read 250ms, 30s, 5m.",
        )
        .arg(
            Arg::new(PRINT_CONFIG)
                .long(PRINT_CONFIG)
                .action(ArgAction::SetTrue)
                .help("Print every setting as it is, secrets left out, and end"),
        )
        .args(settings)
        .subcommand(lab::cli())
        .subcommand(Cli::new("healthcheck").about("Ask the service at HTTP_ADDR whether it lives: exit 0 or 1"))
}

/// The texts of the settings.
pub(super) struct Sources<'a> {
    flags: HashMap<&'static str, String>,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Sources<'a> {
    /// These variables and no flags.
    pub(super) fn only(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            flags: HashMap::new(),
            environment,
        }
    }

    /// An environment variable. An empty one counts as not given: that is what a container file's `X: ${X:-}` leaves
    /// behind.
    pub(super) fn environment(&self, variable: &str) -> Option<String> {
        (self.environment)(variable).filter(|text| !text.is_empty())
    }

    /// The text of this setting, if one was given.
    pub(super) fn text(
        &self,
        variable: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<String> {
        if let Some(flag) = self.flags.get(variable) {
            return Some(flag.clone());
        }
        let file_variable = format!("{variable}_FILE");
        let mut complain = |problem| {
            problems.push(Problem { variable, problem });
            None
        };
        match (self.environment(variable), self.environment(&file_variable)) {
            (Some(_), Some(_)) => complain(format!("given twice: {variable} and {file_variable}")),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => {
                    complain(format!("{file_variable} names {path:?}, which is empty"))
                }
                Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => complain(format!(
                    "{file_variable} names {path:?}, which cannot be read: {error}"
                )),
            },
            (text, None) => text,
        }
    }

    /// Every setting as it is, in the form of an environment file.
    fn print(&self) -> String {
        SETTINGS.iter().fold(String::new(), |mut text, setting| {
            let Setting {
                variable,
                default,
                meaning,
                ..
            } = setting;
            let _ = writeln!(
                text,
                "# {meaning} (default {default})\n{}",
                self.line(setting, variable)
            );
            text
        })
    }

    fn line(&self, setting: &Setting, variable: &'static str) -> String {
        let Some(text) = self.text(variable, &mut Vec::new()) else {
            return format!("#{variable}={}", setting.default);
        };
        match setting.shown {
            Shown::Plain => format!("{variable}={text}"),
            Shown::Address => format!("{variable}={}", Secret::address(text)),
            Shown::Nothing => format!("{variable}={}", Secret::token(text)),
        }
    }
}

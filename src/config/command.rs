//! The command line and the environment: where the text of a setting comes from, and what a person reads about it.
//!
//! A flag wins over its variable, and both over the default. clap checks each text on its own, so that every problem
//! is reported at once. The tests hand in their own variables: nothing here but [`command`] and
//! [`misspelt_variables`] reads the environment.

use std::error::Error as _;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::LazyLock;

use clap::error::Error;
use clap::{
    Arg, ArgMatches, Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
};

use super::lab::LabCommand;
use super::{ACCESS_LOG, Config, Problem, Problems, Secret};

/// What the process is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Serve with these settings.
    Serve(Box<Config>),
    /// Ask the service at these settings' address whether it lives.
    Healthcheck(Box<Config>),
    /// Show the lab in the terminal, with these settings.
    Lab(Box<Config>, Box<LabCommand>),
    /// Print this text (every setting with its value) and end.
    Print(String),
}

/// Serves templates through a cache, and survives the stampede when the cache is gone.
#[derive(Parser)]
#[command(name = "stampede", version, max_term_width = 80)]
#[command(
    after_help = "Every setting is a flag and an environment variable, and any X_FILE names a file that \
    holds X. The flag wins over the variable. Durations read 250ms, 30s, 5m."
)]
struct Cli {
    /// Print every setting with its value, secrets hidden, and end
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    way: Option<Way>,
}

#[derive(Subcommand)]
enum Way {
    Lab(Box<LabCommand>),
    /// Ask the service at HTTP_ADDR whether it lives: exit 0 or 1
    Healthcheck,
}

/// What a person needs to know of one setting, read from its declaration in [`Config`].
#[derive(Debug)]
struct Setting {
    /// The declaration, made independent of the process's environment.
    arg: Arg,
    variable: String,
    /// In Markdown, as is the meaning.
    default: String,
    meaning: String,
    example: String,
}

static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let declared = Config::augment_args(clap::Command::new("settings"));
    declared.get_arguments().map(Setting::of).collect()
});

impl Setting {
    fn of(arg: &Arg) -> Self {
        let text = arg.get_long_help().or(arg.get_help());
        let text = text.map(ToString::to_string).unwrap_or_default();
        let paragraph = |start| text.lines().find_map(|line| line.strip_prefix(start));
        let default = paragraph("Default: ").map(str::to_owned);
        let default = default.unwrap_or_else(|| {
            let fixed = arg.get_default_values().first();
            format!(
                "`{}`",
                fixed.map_or("".into(), |text| text.to_string_lossy())
            )
        });
        let example = paragraph("Example: ").map_or_else(|| plain(&default), str::to_owned);
        let variable = arg.get_env().map(|name| name.to_string_lossy());
        Self {
            variable: variable.unwrap_or_default().into_owned(),
            meaning: text.lines().next().unwrap_or_default().to_owned(),
            default,
            example,
            arg: arg.clone().env(None::<&'static str>),
        }
    }

    fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// The setting as an argument of the command line. It takes every text: [`texts`] checks it later, with all others.
    fn argument(&'static self) -> Arg {
        let [meaning, default] = [&self.meaning, &self.default].map(|text| plain(text));
        Arg::new(self.id())
            .long(self.arg.get_long())
            .value_name("VALUE")
            .global(true)
            .help_heading("Settings of the service")
            .help(format!(
                "{meaning} [env: {}] [default: {default}]",
                self.variable
            ))
    }

    /// The flag that gives the setting this text.
    fn flag(&self, text: &str) -> String {
        format!("--{}={text}", self.arg.get_long().unwrap_or_default())
    }

    /// The value that this text gives, or what is wrong with it.
    fn value(&self, text: &str) -> Result<ArgMatches, String> {
        let alone = clap::Command::new("setting").no_binary_name(true);
        let matches = alone
            .arg(self.arg.clone())
            .try_get_matches_from([self.flag(text)]);
        matches.map_err(|error| match error.source() {
            Some(problem) => problem.to_string(),
            None => error.kind().to_string(),
        })
    }

    /// The text of a flag, else of the variable, else of the file that `X_FILE` names. An empty variable counts as not
    /// given: that is what a container file's `X: ${X:-}` leaves behind.
    fn text(
        &self,
        flag: Option<String>,
        variables: Variables<'_>,
    ) -> Result<Option<String>, String> {
        if flag.is_some() {
            return Ok(flag);
        }
        let variable = &self.variable;
        let file_variable = format!("{variable}_FILE");
        let not_empty = |name: &str| variables(name).filter(|text| !text.is_empty());
        match (not_empty(variable), not_empty(&file_variable)) {
            (Some(_), Some(_)) => Err(format!("given twice: {variable} and {file_variable}")),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => {
                    Err(format!("{file_variable} names {path:?}, which is empty"))
                }
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => Err(format!(
                    "{file_variable} names {path:?}, which cannot be read: {error}"
                )),
            },
            (text, None) => Ok(text),
        }
    }

    /// The setting as a line of an environment file, commented out if it has its default.
    fn line(&self, text: Option<&str>) -> String {
        let (variable, default) = (&self.variable, plain(&self.default));
        let Some(text) = text else {
            return format!("#{variable}={default}");
        };
        let value = self.value(text).ok();
        let secret = value
            .as_ref()
            .map(|value| value.try_get_one::<Secret>(self.id()));
        match secret {
            Some(Ok(Some(secret))) => format!("{variable}={secret}"),
            _ => format!("{variable}={text}"),
        }
    }
}

fn plain(markdown: &str) -> String {
    markdown.replace('`', "")
}

/// `CACHE_TTL`'s example, such as `30s`.
pub(super) fn example(variable: &str) -> &'static str {
    let setting = SETTINGS.iter().find(|setting| setting.variable == variable);
    setting.map_or("", |setting| &setting.example)
}

/// Looks up an environment variable.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The settings that were given a text, by flag, variable or file.
type Texts = Vec<(&'static Setting, String)>;

fn texts(
    flags: impl Fn(&str) -> Option<String>,
    variables: Variables<'_>,
) -> Result<Texts, Problems> {
    let (mut texts, mut problems) = (Texts::new(), Vec::new());
    for setting in SETTINGS.iter() {
        let checked = |text: String| setting.value(&text).map(|_| text);
        let text = setting.text(flags(setting.id()), variables);
        match text.and_then(|text| text.map(checked).transpose()) {
            Ok(text) => texts.extend(text.map(|text| (setting, text))),
            Err(problem) => problems.push(Problem {
                variable: &setting.variable,
                problem,
            }),
        }
    }
    if problems.is_empty() {
        Ok(texts)
    } else {
        Err(Problems(problems))
    }
}

impl Config {
    /// The settings that these variables give, defaults for the rest. Neither flags nor the process's environment count.
    pub fn from_variables(variables: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        Self::of(&texts(|_| None, &variables)?, &variables)
    }

    fn of(texts: &Texts, variables: Variables<'_>) -> Result<Self, Problems> {
        let settings = SETTINGS.iter().map(|setting| setting.arg.clone());
        let command = clap::Command::new("settings")
            .no_binary_name(true)
            .args(settings);
        let flags = texts.iter().map(|(setting, text)| setting.flag(text));
        let parsed = command.try_get_matches_from(flags);
        let parsed = parsed.and_then(|matches| Self::from_arg_matches(&matches));
        let mut config = parsed.expect("clap has accepted each of these texts before");
        let embedded = config.database_url.is_none() && config.redis_url.is_none();
        // The lab makes load and faults, so it is never open to the network unless it was asked for.
        let lab = config.lab_asked;
        config.lab = lab.unwrap_or(embedded && config.http_addr.ip().is_loopback());
        let wanted = variables("RUST_LOG").filter(|text| !text.is_empty());
        config.log_filter = log_filter(wanted, config.access_log);
        let problems = config.contradictions();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(problems))
        }
    }
}

/// By default, what the service itself says of changes of its state. The clients of the backends log only if they are
/// named: they log addresses, a line for every call to a cluster node that is away, and what the migrations skip.
fn log_filter(wanted: Option<String>, access_log: bool) -> String {
    let mut filter = wanted.unwrap_or_else(|| "stampede=info".into());
    for client in ["redis", "sqlx"] {
        if !filter.contains(client) {
            let _ = write!(filter, ",{client}=off");
        }
    }
    // `ACCESS_LOG` alone turns the access log on and off, also beside a `RUST_LOG`.
    let level = if access_log { "info" } else { "off" };
    let _ = write!(filter, ",{ACCESS_LOG}={level}");
    filter
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
    variables: Variables<'_>,
) -> Result<Result<Command, Problems>, Error> {
    let command = Cli::command().args(SETTINGS.iter().map(Setting::argument));
    let matches = command.try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let flags = |id: &str| matches.get_one::<String>(id).cloned();
    Ok(texts(flags, variables).and_then(|texts| {
        let config = Box::new(Config::of(&texts, variables)?);
        Ok(match cli.way {
            Some(Way::Healthcheck) => Command::Healthcheck(config),
            Some(Way::Lab(lab)) => Command::Lab(config, lab),
            None if cli.print_config => Command::Print(print(&texts)),
            None => Command::Serve(config),
        })
    }))
}

/// Every setting with its value, in the form of an environment file.
fn print(texts: &Texts) -> String {
    SETTINGS.iter().fold(String::new(), |mut printed, setting| {
        let given = texts.iter().find(|(given, _)| given.id() == setting.id());
        let line = setting.line(given.map(|(_, text)| text.as_str()));
        let [meaning, default] = [&setting.meaning, &setting.default].map(|text| plain(text));
        let _ = writeln!(printed, "# {meaning} (default {default})\n{line}");
        printed
    })
}

/// The table of settings in `docs/configuration.md`.
#[cfg(test)]
pub(super) fn table() -> String {
    let rows = SETTINGS.iter().map(|setting| {
        let Setting {
            variable,
            default,
            meaning,
            ..
        } = setting;
        format!("| `{variable}` | {default} | {meaning} |\n")
    });
    let head = "| variable | default | meaning |\n|---|---|---|\n".to_owned();
    std::iter::once(head).chain(rows).collect()
}

/// Complaints about variables of the process that are probably misspelt settings. They are warnings, not errors: the
/// environment belongs to other programs too, and one of them may well use `REDIS_URI`. Values are not shown.
pub fn misspelt_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| misspelt(&name)).collect()
}

/// Most letters that a misspelt name adds, lacks or has wrong.
const MOST_EDITS: usize = 2;
/// A shorter name is close to too many others: `LAB` to `LANG`, `LAB_FILE` to `LOG_FILE`.
const SHORTEST_NAME: usize = 8;

pub(super) fn misspelt(name: &str) -> Option<String> {
    let settings = SETTINGS.iter().map(|setting| &setting.variable);
    let long = settings.filter(|variable| variable.len() >= SHORTEST_NAME);
    let known = long.flat_map(|variable| [variable.clone(), format!("{variable}_FILE")]);
    let distances = known.map(|known| (strsim::levenshtein(name, &known), known));
    let (distance, nearest) = distances.min()?;
    (1..=MOST_EDITS)
        .contains(&distance)
        .then(|| format!("the variable {name} is not a setting; did you mean {nearest}?"))
}

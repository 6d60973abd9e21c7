//! [`Config`]: every setting, declared once and checked. Only this folder reads the command line and the environment.
//!
//! Each field of [`Config`] with an `#[arg]` is a setting: its name gives the flag and the variable, its doc comment
//! gives the help and the table in `docs/configuration.md`. [`mod@command`] finds the texts, [`values`] turns them into values, [`budget`]
//! checks what they mean together.

mod address;
mod budget;
mod command;
mod lab;
mod otel;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use address::{Address, is_remote};
pub use command::{Command, command, misspelt_variables};
pub use lab::{ExperimentFlags, IncidentFlags, LabCommand, LabRun};
pub use otel::{Otel, TraceSampler};
pub use values::Secret;

use values::{
    choice, comma_separated, duration, early_refresh, number, percent, socket_address, token, url,
};

/// Every setting of the service, in the order of the help and of `docs/configuration.md`.
///
/// A paragraph "Default:" states a default that is not a fixed value, "Example:" a value that complaints suggest
/// instead of the default.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Address and port to listen on
    ///
    /// Example: 0.0.0.0:8080
    #[arg(long, env, default_value = "127.0.0.1:8080", value_parser = socket_address)]
    pub http_addr: SocketAddr,
    /// Database of the templates: `postgres://…`, `mysql://…` or `sqlite://file`
    ///
    /// Default: embedded
    ///
    /// Example: postgres://app@localhost/app
    #[arg(long, env, value_parser = url(&["postgres", "postgresql", "mysql", "sqlite"]))]
    pub database_url: Option<Secret>,
    /// Cache: `redis://…`, `redis-cluster://host,host` or `redis-sentinel://host,host/name`; with TLS `rediss…`
    ///
    /// Default: embedded
    ///
    /// Example: redis://localhost:6379
    #[arg(long, env, value_parser = url(REDIS_SCHEMES))]
    pub redis_url: Option<Secret>,
    /// `singleflight` shares one load among all callers of a template; `off` sends every miss to the database
    ///
    /// Example: off
    #[arg(long, env, default_value = "singleflight", value_parser = choice(PROTECTIONS))]
    pub protection: Protection,
    /// Longest life of a cached template
    #[arg(long, env, default_value = "30s", value_parser = duration(MILLISECOND, 30 * DAY))]
    pub cache_ttl: Duration,
    /// Largest share of the TTL that is subtracted at random
    #[arg(long, env, default_value = "10%", value_parser = percent)]
    pub cache_ttl_jitter: f64,
    /// Life of the cached answer "there is no such template"
    #[arg(long, env, default_value = "5s", value_parser = duration(MILLISECOND, 30 * DAY))]
    pub negative_ttl: Duration,
    /// How long after its TTL the last-known-good copy may answer when nothing else can; `0s` = never
    #[arg(long, env, default_value = "5m", value_parser = duration(Duration::ZERO, 30 * DAY))]
    pub stale_for: Duration,
    /// `true` allows one load per template for all replicas, by a short lease in Redis
    ///
    /// Example: true
    #[arg(long, env, default_value = "false", value_parser = choice([("false", false), ("true", true)]))]
    #[arg(action = clap::ArgAction::Set)]
    pub fleet_lease: bool,
    /// Beta of XFetch: a higher one reloads a template earlier before its TTL ends; `off` = never before
    ///
    /// Example: 1.0
    // The full path: clap takes `Option` for a setting that may be left out, and this one always has a value.
    #[arg(long, env, default_value = "off", value_parser = early_refresh)]
    pub early_refresh: std::option::Option<f64>,
    /// How long after its TTL the old value answers, marked stale, while one load runs
    ///
    /// Example: 10s
    #[arg(long, env, default_value = "0s", value_parser = duration(Duration::ZERO, 30 * DAY))]
    pub stale_while_revalidate: Duration,
    /// Longest wait for a load while there is a stand-in, a copy of the highest version known; then it answers, marked stale, and the load goes on; `0s` = wait
    ///
    /// Example: 300ms
    #[arg(long, env, default_value = "300ms", value_parser = duration(Duration::ZERO, MINUTE))]
    pub soft_timeout: Duration,
    /// How long a copy that Redis or the database confirmed answers without asking Redis; `0s` = never
    ///
    /// Example: 500ms
    #[arg(long, env, default_value = "0s", value_parser = duration(Duration::ZERO, MINUTE))]
    pub near_for: Duration,
    /// Most templates in the in-process copy; `0` = no copy
    #[arg(long, env, default_value = "10000", value_parser = number(0usize, 10_000_000))]
    pub local_entries: usize,
    /// Longest duration of the whole of one Redis call, the wait for its connection included
    #[arg(long, env, default_value = "50ms", value_parser = duration(MILLISECOND, MINUTE))]
    pub redis_timeout: Duration,
    /// Most database connections, and so most queries in flight
    #[arg(long, env, default_value = "10", value_parser = number(1usize, 1_000))]
    pub db_max_connections: usize,
    /// Longest wait for a database connection
    #[arg(long, env, default_value = "500ms", value_parser = duration(MILLISECOND, MINUTE))]
    pub db_queue_timeout: Duration,
    /// Longest duration of one query; PostgreSQL enforces it too (`statement_timeout`)
    #[arg(long, env, default_value = "2s", value_parser = duration(10 * MILLISECOND, 10 * MINUTE))]
    pub db_timeout: Duration,
    /// Artificial latency added to each query, which holds its connection meanwhile
    ///
    /// Default: `0ms` (embedded: `25ms`)
    ///
    /// Example: 25ms
    // A stampede is invisible on an embedded database that answers in microseconds.
    #[arg(long, env, default_value = "25ms", value_parser = duration(Duration::ZERO, MINUTE))]
    #[arg(default_value_if("database_url", clap::builder::ArgPredicate::IsPresent, "0ms"))]
    pub db_delay: Duration,
    /// MySQL only: how often the service looks for changes that others made
    ///
    /// Example: 500ms
    #[arg(long, env, default_value = "500ms", value_parser = duration(10 * MILLISECOND, 10 * SECOND))]
    pub change_poll: Duration,
    /// Most callers that share one load; the service refuses the next one
    #[arg(long, env, default_value = "10000", value_parser = number(1u32, 1_000_000))]
    pub max_waiters: u32,
    /// Most requests being answered; the service refuses the next one with 503
    #[arg(long, env, default_value = "2000", value_parser = number(1usize, 1_000_000))]
    pub max_in_flight: usize,
    /// Longest duration of one request; must exceed the sum of its parts
    #[arg(long, env, default_value = "5s", value_parser = duration(10 * MILLISECOND, 20 * MINUTE))]
    pub request_timeout: Duration,
    /// How long a keep-alive connection may be idle; longer than the 60s of most load balancers
    #[arg(long, env, default_value = "75s", value_parser = duration(MILLISECOND, DAY))]
    pub idle_timeout: Duration,
    /// How long the service still answers everything after SIGTERM, SIGINT or SIGHUP, while `/readyz` says 503; then it drains
    ///
    /// Example: 3s
    #[arg(long, env, default_value = "0s", value_parser = duration(Duration::ZERO, HOUR))]
    pub drain_delay: Duration,
    /// Longest drain; a second signal ends it at once
    #[arg(long, env, default_value = "10s", value_parser = duration(Duration::ZERO, DAY))]
    pub shutdown_grace: Duration,
    /// Bearer token of `PUT` and `DELETE`; without one they do not exist (404)
    ///
    /// Default: unset
    ///
    /// Example: $(openssl rand -hex 16)
    #[arg(long, env, value_parser = token)]
    pub admin_token: Option<Secret>,
    /// Whether the lab is served; [`Config::lab_asked`] unless that is `auto`.
    #[arg(skip)]
    pub lab: bool,
    /// The page at `/`: `true`, `false`, or `auto` = only with a loopback HTTP_ADDR, embedded database and embedded cache
    ///
    /// Example: true
    // The full path: clap takes `Option` for a setting that may be left out, and this one always has a value.
    #[arg(id = "lab", long = "lab", env = "LAB", default_value = "auto", value_parser = choice(LAB))]
    pub lab_asked: std::option::Option<bool>,
    /// Host names of the lab besides this machine's own, separated by commas
    ///
    /// Default: none
    ///
    /// Example: lab.example,192.0.2.7
    #[arg(long, env, default_value = "", hide_default_value = true, value_parser = comma_separated)]
    pub lab_hosts: std::vec::Vec<String>,
    /// `text` for people, `json` for machines; RUST_LOG filters
    ///
    /// Example: json
    #[arg(long, env, default_value = "text", value_parser = choice(LOG_FORMATS))]
    pub log_format: LogFormat,
    /// `true` logs one line per request
    ///
    /// Example: true
    #[arg(long, env, default_value = "false", value_parser = choice([("false", false), ("true", true)]))]
    #[arg(action = clap::ArgAction::Set)]
    pub access_log: bool,
    /// The settings of the traces.
    #[command(flatten)]
    pub otel: Otel,
    /// Which log lines are written: `RUST_LOG`, without the clients of the backends unless it names them.
    #[arg(skip)]
    pub log_filter: String,
}

/// Whether callers of one template share one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// All callers that ask meanwhile share one load per template.
    Singleflight,
    /// Every miss loads for itself: the "before" of the story.
    Off,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The target of the lines that `ACCESS_LOG` turns on.
pub const ACCESS_LOG: &str = "access";

/// One server, a cluster, and a master that sentinels name; each with TLS as well.
const REDIS_SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
];

const PROTECTIONS: [(&str, Protection); 2] = [
    ("singleflight", Protection::Singleflight),
    ("off", Protection::Off),
];
const LAB: [(&str, Option<bool>); 3] =
    [("auto", None), ("true", Some(true)), ("false", Some(false))];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is wrong with one setting. It never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong with its value.
    pub problem: String,
}

/// Every problem found, reported at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// One line per problem, with an example that works.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Problem { variable, problem } in &self.0 {
            let example = command::example(variable);
            writeln!(
                f,
                "  {variable}: {problem} (for example {variable}={example})"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests;

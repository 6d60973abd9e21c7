//! [`Config`]: every setting, checked. The only reader of the command line, the environment and `X_FILE` files.
//!
//! A setting's name, default and effect stand in [`settings`]; how a text becomes a value in [`values`]; where the
//! text comes from in [`sources`]. What the settings mean to each other is checked here.

mod address;
mod budget;
mod lab;
mod settings;
mod sources;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use address::Address;
pub use lab::LabCommand;
pub use settings::{SETTINGS, Setting};
pub use sources::{Command, command};
pub use values::Secret;

use sources::Sources;
use values::Reader;

/// Every setting of the service, in the order of the table that `--help` prints.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listen address.
    pub http_addr: SocketAddr,
    /// Where the templates are kept; without one, an embedded database.
    pub database_url: Option<Secret>,
    /// Where answers are cached; without one, an embedded cache.
    pub redis_url: Option<Secret>,
    /// Whether callers of one template share one load.
    pub protection: Protection,
    /// Upper bound of a cached template's life.
    pub cache_ttl: Duration,
    /// Share of the TTL, 0 to 1, up to which it is shortened at random.
    pub cache_ttl_jitter: f64,
    /// Life of "there is no such template".
    pub negative_ttl: Duration,
    /// How long after its TTL a last-known-good copy may still answer.
    pub stale_for: Duration,
    /// Whether replicas take turns to load a template, by a lease in Redis.
    pub fleet_lease: bool,
    /// How eagerly a template is loaded anew before its TTL ends (XFetch's beta); none = not at all.
    pub early_refresh: Option<f64>,
    /// How long after its TTL a template still answers while it is loaded anew.
    pub stale_while_revalidate: Duration,
    /// Longest wait for a load while a copy can stand in for it; 0 = until the load ends.
    pub soft_timeout: Duration,
    /// How long a confirmed copy answers without asking Redis; 0 = not at all.
    pub near_for: Duration,
    /// Bound of the in-process copy; 0 = none.
    pub local_entries: usize,
    /// The whole of one Redis call.
    pub redis_timeout: Duration,
    /// Most queries in flight.
    pub db_max_connections: usize,
    /// Longest wait for one of the database slots.
    pub db_queue_timeout: Duration,
    /// Longest one query.
    pub db_timeout: Duration,
    /// Artificial delay inside each query.
    pub db_delay: Duration,
    /// Most callers on one flight.
    pub max_waiters: u32,
    /// Most requests being answered.
    pub max_in_flight: usize,
    /// Backstop for one request.
    pub request_timeout: Duration,
    /// How long a keep-alive connection may be idle.
    pub idle_timeout: Duration,
    /// How long everything is still accepted and answered after a signal to end.
    pub drain_delay: Duration,
    /// Longest drain.
    pub shutdown_grace: Duration,
    /// What a writer must show; without it, nobody can write.
    pub admin_token: Option<Secret>,
    /// Whether the lab is served.
    pub lab: bool,
    /// What `LAB` says of it; none = `auto`.
    pub lab_asked: Option<bool>,
    /// Names under which the lab answers besides this machine's own.
    pub lab_hosts: Vec<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// `RUST_LOG`: which log lines are written.
    pub log_filter: String,
}

/// Whether callers of one template share one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// One load per template at a time, shared by everyone who asks meanwhile.
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

/// What is wrong with one setting: never holds the value of a secret.
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
            writeln!(
                f,
                "  {variable}: {problem} (for example {})",
                settings::example(variable)
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Config {
    /// The settings that these variables give, defaults for the rest.
    pub fn from_variables(variables: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        Self::read(&Sources::only(&variables))
    }

    fn read(sources: &Sources<'_>) -> Result<Self, Problems> {
        let mut read = Reader::new(sources);
        let database_url = read.url("DATABASE_URL", &["postgres", "postgresql", "sqlite"]);
        let redis_url = read.url("REDIS_URL", REDIS_SCHEMES);
        let embedded = database_url.is_none() && redis_url.is_none();
        let http_addr = read.address("HTTP_ADDR");
        let lab_asked = read.one_of(
            "LAB",
            &[("auto", None), ("true", Some(true)), ("false", Some(false))],
        );
        let config = Self {
            http_addr,
            protection: read.one_of(
                "PROTECTION",
                &[
                    ("singleflight", Protection::Singleflight),
                    ("off", Protection::Off),
                ],
            ),
            cache_ttl: read.duration("CACHE_TTL", MILLISECOND..=30 * DAY),
            cache_ttl_jitter: read.percent("CACHE_TTL_JITTER"),
            negative_ttl: read.duration("NEGATIVE_TTL", MILLISECOND..=30 * DAY),
            stale_for: read.duration("STALE_FOR", Duration::ZERO..=30 * DAY),
            fleet_lease: read.one_of("FLEET_LEASE", &[("false", false), ("true", true)]),
            early_refresh: read.factor("EARLY_REFRESH"),
            stale_while_revalidate: read
                .duration("STALE_WHILE_REVALIDATE", Duration::ZERO..=30 * DAY),
            soft_timeout: read.duration("SOFT_TIMEOUT", Duration::ZERO..=MINUTE),
            near_for: read.duration("NEAR_FOR", Duration::ZERO..=MINUTE),
            local_entries: read.number("LOCAL_ENTRIES", 0..=10_000_000),
            redis_timeout: read.duration("REDIS_TIMEOUT", MILLISECOND..=MINUTE),
            db_max_connections: read.number("DB_MAX_CONNECTIONS", 1..=1_000),
            db_queue_timeout: read.duration("DB_QUEUE_TIMEOUT", MILLISECOND..=MINUTE),
            db_timeout: read.duration("DB_TIMEOUT", 10 * MILLISECOND..=10 * MINUTE),
            db_delay: {
                let default = if database_url.is_none() {
                    EMBEDDED_DB_DELAY
                } else {
                    "0ms"
                };
                read.duration_or("DB_DELAY", default, Duration::ZERO..=MINUTE)
            },
            max_waiters: read.number("MAX_WAITERS", 1..=1_000_000),
            max_in_flight: read.number("MAX_IN_FLIGHT", 1..=1_000_000),
            request_timeout: read.duration("REQUEST_TIMEOUT", 10 * MILLISECOND..=20 * MINUTE),
            idle_timeout: read.duration("IDLE_TIMEOUT", MILLISECOND..=DAY),
            drain_delay: read.duration("DRAIN_DELAY", Duration::ZERO..=HOUR),
            shutdown_grace: read.duration("SHUTDOWN_GRACE", Duration::ZERO..=DAY),
            admin_token: read.token("ADMIN_TOKEN"),
            // The lab makes load and faults: nobody on the network gets it unasked.
            lab: lab_asked.unwrap_or(embedded && http_addr.ip().is_loopback()),
            lab_asked,
            lab_hosts: read.names("LAB_HOSTS"),
            log_format: read.one_of(
                "LOG_FORMAT",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            ),
            log_filter: log_filter(sources.environment("RUST_LOG")),
            database_url,
            redis_url,
        };
        let mut problems = read.problems();
        if problems.is_empty() {
            problems = config.contradictions();
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(problems))
        }
    }
}

/// One server, a cluster, and a master that sentinels name; each with TLS as well.
const REDIS_SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
];

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes a stampede visible on a database that otherwise answers in microseconds.
const EMBEDDED_DB_DELAY: &str = "25ms";

/// What changes, and nothing per request. The Redis client is heard only by name: it logs addresses, and of a cluster a line
/// for every call to a node that is away.
fn log_filter(wanted: Option<String>) -> String {
    match wanted {
        Some(filter) if filter.contains("redis") => filter,
        Some(filter) => format!("{filter},redis=off"),
        None => "info,redis=off".into(),
    }
}

#[cfg(test)]
mod tests;

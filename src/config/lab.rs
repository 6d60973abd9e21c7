//! [`LabCommand`]: the flags of `stampede lab`. The lab itself checks their ranges, as it does for its page.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Show a stampede and how each strategy deals with it, without a server
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit 0 if the protected strategies made no more queries than promised; 1 if they made more or the \
    run failed (standard error says why); 2 for a flag or a setting that cannot be used."
)]
pub struct LabCommand {
    /// What to show in place of the comparison.
    #[command(subcommand)]
    pub instead: Option<LabRun>,
    /// Which template expires (default 1)
    #[arg(long, value_name = "NUMBER")]
    pub template: Option<u64>,
    /// Burst: how many callers ask at once, 1 to 5000 (default 500)
    #[arg(long, value_name = "NUMBER")]
    pub callers: Option<u64>,
    /// How long one query takes (default 100ms)
    #[arg(long = "query-time", value_name = "DURATION", value_parser = milliseconds)]
    pub query_time_ms: Option<u64>,
    /// How many queries at once the database runs as fast as one, 1 to 1000 (default 10)
    #[arg(long, value_name = "NUMBER")]
    pub knee: Option<u64>,
    /// Burst: over how long the callers arrive (default 0ms)
    #[arg(long = "spread", value_name = "DURATION", value_parser = milliseconds)]
    pub spread_ms: Option<u64>,
    /// Sustained: requests per second, 1 to 2000 (default 200)
    #[arg(long = "rate", value_name = "NUMBER")]
    pub rate_per_second: Option<u64>,
    /// Sustained: TTL of a cached template (default 1s)
    #[arg(long = "ttl", value_name = "DURATION", value_parser = milliseconds)]
    pub ttl_ms: Option<u64>,
    /// Sustained: how long the traffic lasts (default 5s)
    #[arg(long = "duration", value_name = "DURATION", value_parser = milliseconds)]
    pub duration_ms: Option<u64>,
    /// burst, or sustained: traffic for a while with a short TTL (default burst)
    #[arg(long, value_name = "NAME")]
    pub mode: Option<String>,
    /// lifted: up to 256 queries at once, beyond the service's limit; kept: as the settings say (default lifted)
    #[arg(long, value_name = "NAME")]
    pub limits: Option<String>,
    /// Which, separated by commas: off, load-or-store, mutex, singleflight; sustained has early and stale too
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub strategies: Option<Vec<String>>,
    /// Print the result as JSON, with what it added to the counters of /metrics
    #[arg(long)]
    pub json: bool,
    /// Instead, write the guided story with recorded runs as one HTML file, which needs no server
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
}

/// What `stampede lab` shows in place of the comparison.
#[derive(Clone, Debug, Subcommand)]
pub enum LabRun {
    /// Show an outage of the cache: without protection, with singleflight only, with everything
    Incident(IncidentFlags),
    /// Try what people argue about, each with what was predicted and what was measured
    Experiment(ExperimentFlags),
}

/// The flags of `stampede lab incident`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit 0 if no request failed with everything on; 1 if one did or the run failed (standard error says \
    why); 2 for a flag or a setting that cannot be used."
)]
pub struct IncidentFlags {
    /// Requests per second, 1 to 2000 (default 400)
    #[arg(long = "rate", value_name = "NUMBER")]
    pub rate_per_second: Option<u64>,
    /// How long one query takes (default 100ms)
    #[arg(long = "query-time", value_name = "DURATION", value_parser = milliseconds)]
    pub query_time_ms: Option<u64>,
    /// How many queries at once the database runs as fast as one, 1 to 1000 (default 10)
    #[arg(long, value_name = "NUMBER")]
    pub knee: Option<u64>,
    /// TTL of a cached template (default 2s)
    #[arg(long = "ttl", value_name = "DURATION", value_parser = milliseconds)]
    pub ttl_ms: Option<u64>,
    /// How long the cache works before the outage (default 3s)
    #[arg(long = "warm", value_name = "DURATION", value_parser = milliseconds)]
    pub warm_ms: Option<u64>,
    /// How long the cache does not answer (default 5s)
    #[arg(long = "outage", value_name = "DURATION", value_parser = milliseconds)]
    pub outage_ms: Option<u64>,
    /// How long the cache works after the outage (default 3s)
    #[arg(long = "recovery", value_name = "DURATION", value_parser = milliseconds)]
    pub recovery_ms: Option<u64>,
    /// Print the result as JSON, with what it added to the counters of /metrics
    #[arg(long)]
    pub json: bool,
}

/// The flags of `stampede lab experiment`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit 0 if every prediction held; 1 if one did not or the run failed (standard error says why); 2 for a \
    flag or a setting that cannot be used."
)]
pub struct ExperimentFlags {
    /// jitter, failing-load, soft-timeout, memoized-future or replicas (needs REDIS_URL and LAB=true)
    pub name: String,
    /// Print the result as JSON, with what it added to the counters of /metrics
    #[arg(long)]
    pub json: bool,
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}

//! OpenTelemetry's own variables. Without an endpoint there are no traces.

use super::values::{Secret, choice, share, token, url};

/// The settings of the traces.
#[derive(Clone, Debug, clap::Args)]
pub struct Otel {
    /// Collector of the traces, as OTLP over HTTP; `/v1/traces` is added to its path; without one there are no traces
    ///
    /// Default: unset
    ///
    /// Example: http://localhost:4318
    #[arg(long, env, value_parser = url(&["http"]))]
    pub otel_exporter_otlp_endpoint: Option<Secret>,
    /// The same for traces alone, with its whole path
    ///
    /// Default: unset
    ///
    /// Example: http://localhost:4318/v1/traces
    #[arg(long, env, value_parser = url(&["http"]))]
    pub otel_exporter_otlp_traces_endpoint: Option<Secret>,
    /// Headers for the collector, such as `authorization=Bearer%20…`, separated by commas
    ///
    /// Default: unset
    ///
    /// Example: authorization=Bearer%20token
    #[arg(long, env, value_parser = token)]
    pub otel_exporter_otlp_headers: Option<Secret>,
    /// Name of the service in its traces
    ///
    /// Default: `stampede`
    #[arg(long, env)]
    pub otel_service_name: Option<String>,
    /// More about the service in its traces, such as `deployment.environment.name=test`, separated by commas
    ///
    /// Default: none
    ///
    /// Example: deployment.environment.name=test
    #[arg(long, env, default_value = "", hide_default_value = true)]
    pub otel_resource_attributes: String,
    /// Which traces are recorded: `always_on`, `always_off`, `traceidratio`, or one of them after `parentbased_`
    ///
    /// Example: parentbased_traceidratio
    #[arg(long, env, default_value = "parentbased_always_on", value_parser = choice(SAMPLERS))]
    pub otel_traces_sampler: TraceSampler,
    /// The share that `traceidratio` records
    ///
    /// Example: 0.1
    #[arg(long, env, default_value = "1.0", value_parser = share)]
    pub otel_traces_sampler_arg: f64,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceSampler {
    /// Whether the caller decides, if it says so.
    pub by_parent: bool,
    /// The share of the others; none for that of `OTEL_TRACES_SAMPLER_ARG`.
    pub share: Option<f64>,
}

const SAMPLERS: [(&str, TraceSampler); 6] = [
    ("always_on", sampler(false, Some(1.0))),
    ("always_off", sampler(false, Some(0.0))),
    ("traceidratio", sampler(false, None)),
    ("parentbased_always_on", sampler(true, Some(1.0))),
    ("parentbased_always_off", sampler(true, Some(0.0))),
    ("parentbased_traceidratio", sampler(true, None)),
];

const fn sampler(by_parent: bool, share: Option<f64>) -> TraceSampler {
    TraceSampler { by_parent, share }
}

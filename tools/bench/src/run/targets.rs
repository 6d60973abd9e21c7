//! What is promised of the figures, and whether it holds.

use crate::measures::{Measures, median, noise};

/// Which side of the limit is good.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// As far from 1 as this at most, to either side.
    Flat(f64),
}

/// A figure of this run beside its target.
pub(crate) struct Result {
    pub(crate) name: &'static str,
    pub(crate) figure: f64,
    pub(crate) noise: f64,
    pub(crate) unit: &'static str,
    pub(crate) limit: Limit,
}

impl Result {
    /// Whether the target is met, as far as the noise can tell.
    pub(crate) fn is_met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.figure - self.noise <= limit,
            Limit::AtLeast(limit) => self.figure + self.noise >= limit,
            Limit::Flat(limit) => (self.figure - 1.0).abs() - self.noise <= limit,
        }
    }
}

type Figures = fn(&Measures) -> Vec<f64>;

/// In the order of the table.
const TARGETS: &[(&str, &str, Limit, Figures)] = &[
    (
        "CPU of a Redis hit / hello",
        "x",
        Limit::AtMost(1.8),
        |all| all.ratio("hit cpu", "hello cpu"),
    ),
    ("CPU of a 304 / hello", "x", Limit::AtMost(1.4), |all| {
        all.ratio("304 cpu", "hello cpu")
    }),
    (
        "CPU of a local hit / hello",
        "x",
        Limit::AtMost(1.4),
        |all| all.ratio("local cpu", "hello cpu"),
    ),
    (
        "throughput of Redis hits / hello",
        "x",
        Limit::AtLeast(0.75),
        |all| all.ratio("hit rate", "hello rate"),
    ),
    (
        "throughput of local hits / hello",
        "x",
        Limit::AtLeast(0.9),
        |all| all.ratio("local rate", "hello rate"),
    ),
    (
        "CPU of a near hit / hello",
        "x",
        Limit::AtMost(1.1),
        |all| all.ratio("near cpu", "hello cpu"),
    ),
    (
        "throughput of near hits / hello",
        "x",
        Limit::AtLeast(0.9),
        |all| all.ratio("near rate", "hello rate"),
    ),
    (
        // One per minute, which is `NEAR_FOR`, and a run takes some minutes.
        "near hits: lookups in Redis",
        "",
        Limit::AtMost(10.0),
        |all| all.of("near lookups").to_vec(),
    ),
    (
        "p99 of Redis hits / hello",
        "x",
        Limit::AtMost(2.0),
        |all| all.ratio("hit p99", "hello p99"),
    ),
    (
        "throughput without Redis / with it",
        "x",
        Limit::AtLeast(0.9),
        |all| all.ratio("local rate", "hit rate"),
    ),
    (
        "CPU of a hit, 1,000,000 / 100 templates",
        "x",
        Limit::Flat(0.1),
        |all| all.ratio("hit of 1000000 cpu", "hit of 100 cpu"),
    ),
    (
        "CPU of a hit, 4,000 / 64 callers",
        "x",
        Limit::Flat(0.1),
        |all| all.ratio("hit by 4000 cpu", "hit cpu"),
    ),
    (
        "cold template, 1,000 callers: queries",
        "",
        Limit::AtMost(1.0),
        |all| all.of("cold queries").to_vec(),
    ),
    (
        "cold template: last answer after query",
        "ms",
        Limit::AtMost(15.0),
        |all| all.of("cold last answer").to_vec(),
    ),
    ("an idle connection", "KiB", Limit::AtMost(20.0), |all| {
        all.of("idle connection").to_vec()
    }),
    (
        "everything, with 10,000 local copies",
        "MiB",
        Limit::AtMost(64.0),
        |all| all.of("10000 copies").to_vec(),
    ),
    (
        "from start to the first answer",
        "ms",
        Limit::AtMost(100.0),
        |all| all.of("start").to_vec(),
    ),
];

/// What was measured beside its targets.
pub(crate) fn judge(measures: &Measures) -> Vec<Result> {
    let measured = |(name, unit, limit, figures): &(&'static str, &'static str, Limit, Figures)| {
        let figures = figures(measures);
        (!figures.is_empty()).then(|| Result {
            name,
            figure: median(&figures),
            noise: noise(&figures),
            unit,
            limit: *limit,
        })
    };
    TARGETS.iter().filter_map(measured).collect()
}

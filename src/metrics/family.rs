//! Handles: a [`Family`] of counters resolved once, a gauge that falls by itself, and their registration.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::labels::Labels;

/// One counter per member of a closed set.
#[derive(Debug)]
pub struct Family<L> {
    members: Vec<IntCounter>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Family<L> {
    /// The counter of this member.
    pub fn of(&self, labels: L) -> &IntCounter {
        &self.members[labels.index()]
    }
}

/// One histogram per member of a closed set.
#[derive(Debug)]
pub struct Histograms<L> {
    members: Vec<Histogram>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Histograms<L> {
    /// The histogram of this member.
    pub fn of(&self, labels: L) -> &Histogram {
        &self.members[labels.index()]
    }
}

/// Holds a gauge one higher until it is dropped, however that comes about.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Raises the gauge.
    pub fn raise(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes series in a registry. Names and labels are literals of this crate, so a refusal is a mistake in it that the
/// first construction in any test shows.
pub(super) struct Register<'a>(pub(super) &'a Registry);

const VALID: &str = "series have valid names, and each is registered once per registry";

impl Register<'_> {
    pub(super) fn collector<C: Collector + 'static>(&self, collector: C) {
        self.0.register(Box::new(collector)).expect(VALID);
    }

    fn added<C: Collector + Clone + 'static>(&self, series: prometheus::Result<C>) -> C {
        let series = series.expect(VALID);
        self.collector(series.clone());
        series
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.added(IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.added(IntGauge::new(name, help))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.added(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        ))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        self.added(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        ))
    }

    pub(super) fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.added(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn counters<L: Labels>(&self, name: &str, help: &str) -> Family<L> {
        let series = self.counter_vec(name, help, L::NAMES);
        let members = L::all()
            .into_iter()
            .map(|labels| series.with_label_values(&labels.values()))
            .collect();
        Family {
            members,
            labels: PhantomData,
        }
    }

    pub(super) fn histograms_of<L: Labels>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Histograms<L> {
        let series = self.histograms(name, help, buckets, L::NAMES);
        let members = L::all()
            .into_iter()
            .map(|labels| series.with_label_values(&labels.values()))
            .collect();
        Histograms {
            members,
            labels: PhantomData,
        }
    }

    /// A gauge that is always 1: its labels are what it says.
    pub(super) fn constant(&self, name: &str, help: &str, labels: &[(&str, &str)]) {
        let options = labels
            .iter()
            .fold(Opts::new(name, help), |options, (label, value)| {
                options.const_label(*label, *value)
            });
        self.added(IntGauge::with_opts(options)).set(1);
    }
}

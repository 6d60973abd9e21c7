//! What was measured, round by round.

use std::collections::BTreeMap;

/// Figures by name; the n-th ones of names that are measured together are of the same round.
#[derive(Default)]
pub(crate) struct Measures {
    by_name: BTreeMap<String, Vec<f64>>,
}

impl Measures {
    pub(crate) fn add(&mut self, name: &str, figure: f64) {
        self.by_name
            .entry(name.to_owned())
            .or_default()
            .push(figure);
    }

    /// All rounds of one name; none if it was not measured.
    pub(crate) fn of(&self, name: &str) -> &[f64] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// One figure over another, round by round.
    pub(crate) fn ratio(&self, name: &str, to: &str) -> Vec<f64> {
        let pairs = self.of(name).iter().zip(self.of(to));
        pairs.map(|(figure, to)| figure / to).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.by_name
            .iter()
            .map(|(name, figures)| (name.as_str(), figures.as_slice()))
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// How far the median may be off: the standard error that the middle half of the figures suggests.
pub(crate) fn noise(figures: &[f64]) -> f64 {
    let half = quantile(figures, 0.75) - quantile(figures, 0.25);
    half / (figures.len() as f64).sqrt()
}

fn quantile(figures: &[f64], of: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = of * last as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}

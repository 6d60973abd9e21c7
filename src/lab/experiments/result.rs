//! What an experiment comes to: its cases, each figure with what was predicted.

use serde::Serialize;

use super::About;
use crate::lab::stampede::Verdict;

/// What an experiment came to; no cases before its end.
#[derive(Debug, Serialize)]
pub(super) struct ExperimentResult {
    #[serde(flatten)]
    about: About,
    cases: Vec<Case>,
    answer: Option<&'static str>,
    verdict: Option<Verdict>,
}

/// What was compared with the other cases.
#[derive(Debug, Serialize)]
pub(super) struct Case {
    pub(super) case: String,
    pub(super) settings: Vec<String>,
    /// One for each column.
    pub(super) figures: [Figure; 3],
}

/// A figure, and between which bounds it was predicted.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Figure {
    measured: f64,
    predicted: Option<f64>,
    least: Option<f64>,
    most: Option<f64>,
    holds: bool,
}

impl Figure {
    /// Nothing was predicted.
    pub(super) fn only(measured: f64) -> Self {
        Self {
            measured,
            predicted: None,
            least: None,
            most: None,
            holds: true,
        }
    }

    /// What was predicted, and how far from it is as good.
    pub(super) fn predicted(self, predicted: f64, least: f64, most: f64) -> Self {
        Self {
            predicted: Some(predicted),
            least: Some(least),
            most: Some(most),
            holds: (least..=most).contains(&self.measured),
            ..self
        }
    }

    /// What was predicted, where only less of it would be a surprise: a time on a busy machine.
    pub(super) fn at_least(self, predicted: f64, least: f64) -> Self {
        Self {
            most: None,
            ..self.predicted(predicted, least, f64::INFINITY)
        }
    }

    /// Exactly this.
    pub(super) fn exactly(self, predicted: f64) -> Self {
        self.predicted(predicted, predicted, predicted)
    }

    /// Within a factor of two.
    pub(super) fn about(self, predicted: f64) -> Self {
        self.predicted(predicted, predicted / 2.0, predicted * 2.0)
    }
}

impl ExperimentResult {
    pub(super) fn of(about: About, cases: Vec<Case>) -> Self {
        let verdict = (!cases.is_empty()).then(|| verdict(about, &cases));
        Self {
            about,
            answer: verdict.is_some().then_some(about.answer),
            cases,
            verdict,
        }
    }
}

fn verdict(about: About, cases: &[Case]) -> Verdict {
    let figures = cases.iter().flat_map(|case| {
        let columns = about.columns.iter().zip(&case.figures);
        columns.map(move |(column, figure)| (&case.case, column, figure))
    });
    let predicted: Vec<_> = figures
        .filter(|(.., figure)| figure.predicted.is_some())
        .collect();
    let wrong = predicted.iter().filter(|(.., figure)| !figure.holds);
    let wrong: Vec<_> = wrong
        .map(|(case, column, _)| format!("{column} of {case}"))
        .collect();
    let (all, right) = (predicted.len(), predicted.len() - wrong.len());
    Verdict {
        ok: wrong.is_empty(),
        sentence: if wrong.is_empty() {
            format!("all {all} predictions hold")
        } else {
            format!(
                "{right} of {all} predictions hold; not {}",
                wrong.join(", ")
            )
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_outside_its_bounds_is_named() {
        let about = super::super::jitter::ABOUT;
        let case = |measured| Case {
            case: "many keys".into(),
            settings: Vec::new(),
            figures: [
                Figure::only(measured).exactly(1.0),
                Figure::only(measured).about(2.0),
                Figure::only(measured),
            ],
        };
        let result = |measured| ExperimentResult::of(about, vec![case(measured)]).verdict;
        assert!(result(1.0).is_some_and(|verdict| verdict.ok));
        let wrong = result(3.0).expect("a verdict");
        assert!(!wrong.ok);
        assert_eq!(
            wrong.sentence,
            "1 of 2 predictions hold; not peak queries of many keys"
        );
    }
}

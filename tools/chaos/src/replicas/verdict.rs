//! [`Verdict`]: what the judge found in the whole run, the shortest history that shows it, and how old answers were.

use std::collections::{BTreeMap, HashMap};

use super::audit::States;
use super::clock::Clock;
use super::judge::Judge;
use super::operation::{Operation, What};
use super::rule::Violation;
use crate::history::History;

/// What came of everything.
pub(crate) struct Verdict {
    /// The operations by template, in the order of their beginnings.
    cases: HashMap<i64, Vec<Operation>>,
    pub(crate) violations: Vec<Violation>,
    /// By source: how long after its replacement a state was still read, in microseconds, and how often.
    pub(crate) ages: BTreeMap<&'static str, (u64, u64)>,
}

/// More operations than these are not shown.
const MOST_SHOWN: usize = 40;

impl Verdict {
    /// Judges a run.
    pub(crate) fn of(journal: Vec<Operation>, states: &HashMap<i64, States>, judge: Judge) -> Self {
        let mut cases = HashMap::<_, Vec<_>>::new();
        for operation in journal {
            cases.entry(operation.id).or_default().push(operation);
        }
        let (mut violations, mut ages) = (Vec::new(), BTreeMap::new());
        for (id, operations) in &mut cases {
            let states = &states[id];
            violations.extend(judge.judge(operations, states));
            age(operations, &mut ages);
        }
        Self {
            cases,
            violations,
            ages,
        }
    }

    /// The violation that needs the fewest operations to be seen, and these operations.
    pub(crate) fn shortest(&self) -> Option<(&Violation, Vec<&Operation>)> {
        let histories = self.violations.iter().map(|violation| {
            let culprit = &violation.culprit;
            let witness = violation.witness.as_ref().map(|(witness, _)| witness);
            let from = witness.map_or(culprit.began, |witness| witness.began);
            let between = self.cases[&culprit.id]
                .iter()
                .filter(|other| other.ended >= from && other.began <= culprit.ended);
            (violation, between.collect::<Vec<_>>())
        });
        histories.min_by_key(|(violation, between)| (violation.witness.is_none(), between.len()))
    }

    /// Shows the shortest history, if there is any.
    pub(crate) fn show(&self, history: &History, clock: Clock) {
        let Some((violation, between)) = self.shortest() else {
            return;
        };
        let culprit = &violation.culprit;
        println!("VIOLATION of template {}", culprit.id);
        println!("  {}", violation.rule);
        println!("  {}", violation.remark);
        if let Some((witness, version)) = &violation.witness {
            println!("  {witness}  <- version {version}");
        }
        println!("  {culprit}  <- too old");
        let from = between.first().map_or(culprit.began, |first| first.began);
        println!(
            "  broken meanwhile: {}",
            history.between(clock.instant(from), clock.instant(culprit.ended))
        );
        println!("  everything else that was done to it meanwhile:");
        for operation in between.iter().take(MOST_SHOWN) {
            println!("  {operation}");
        }
        if between.len() > MOST_SHOWN {
            println!("  and {} more", between.len() - MOST_SHOWN);
        }
    }
}

/// Notes how long after the end of the write that replaced it each state was still read.
fn age(operations: &[Operation], ages: &mut BTreeMap<&'static str, (u64, u64)>) {
    let mut replaced: Vec<(i64, u64)> = operations
        .iter()
        .filter_map(|operation| match operation.what {
            What::Wrote { said, .. } => Some((said, operation.ended)),
            _ => None,
        })
        .collect();
    replaced.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut first = u64::MAX;
    for (_, ended) in &mut replaced {
        first = first.min(*ended);
        *ended = first;
    }
    replaced.reverse();
    for operation in operations {
        if let What::Saw {
            version, source, ..
        } = operation.what
        {
            let later = replaced.partition_point(|(other, _)| *other <= version);
            let then = replaced.get(later).map_or(u64::MAX, |(_, ended)| *ended);
            if let Some(age) = operation.began.checked_sub(then) {
                let (oldest, count) = ages.entry(source).or_default();
                *oldest = age.max(*oldest);
                *count += 1;
            }
        }
    }
}

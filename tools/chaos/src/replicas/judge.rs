//! [`Judge`]: the four rules, applied to everything that was done to one template.
//!
//! Each operation is known by the time that it was under way, so one happened before another only if it ended before the
//! other began; whatever ran at the same time may have happened in either order, and nothing is held against it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::audit::States;
use super::operation::{Operation, What};
use super::rule::{Rule, Violation};

/// What holds in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    /// How long after its replacement a state may still be seen.
    pub(crate) life: Duration,
    /// Whether what is marked as stale may be older than all that.
    pub(crate) stale_may_be_older: bool,
}

/// The operations on one template, and what is known of them by now.
struct Case<'a> {
    judge: Judge,
    states: &'a States,
    /// In the order of their beginnings.
    operations: &'a [Operation],
    violations: Vec<Violation>,
}

/// A version, and the operation that shows that it was there when the operation had ended.
type Bound = Option<(i64, usize)>;

impl Judge {
    /// Judges all operations on one template.
    pub(crate) fn judge(self, operations: &mut [Operation], states: &States) -> Vec<Violation> {
        operations.sort_by_key(|operation| operation.began);
        let mut case = Case {
            judge: self,
            states,
            operations,
            violations: Vec::new(),
        };
        let versions = case.versions();
        case.order(versions);
        case.violations
    }
}

impl Case<'_> {
    /// The version that each operation names by itself. What it names and never was breaks a rule.
    fn versions(&mut self) -> Vec<Option<i64>> {
        let named = self.states.named();
        let mut versions = vec![None; self.operations.len()];
        for (index, operation) in self.operations.iter().enumerate() {
            let named = |name: &str| named.get(name).copied();
            let wrong = match &operation.what {
                What::Saw { version, name, .. } if named(name) == Some(*version) => {
                    versions[index] = Some(*version);
                    let made_at = self.states.of(*version).map(|state| state.at);
                    (made_at > Some(operation.ended))
                        .then(|| "it was seen before it was made".into())
                }
                What::Saw { name, .. } => Some(self.truth(named(name))),
                What::Wrote {
                    name,
                    said,
                    replacing,
                } => {
                    versions[index] = named(name);
                    let through = operation.replica.is_some();
                    let replaced = replacing.is_none_or(|version| named(name) == Some(version + 1));
                    (named(name).is_none() || through && named(name) != Some(*said) || !replaced)
                        .then(|| self.truth(named(name)))
                }
                What::Removed {
                    replacing: Some(version),
                } => {
                    versions[index] = Some(version + 1);
                    let gone = self.states.of(version + 1);
                    let gone = gone.is_some_and(|state| state.name.is_none());
                    (!gone).then(|| "that version was not removed".into())
                }
                What::Wrong(_) => Some("no answer may be like this".into()),
                What::Removed { replacing: None }
                | What::SawNone
                | What::Open(_)
                | What::Refused => None,
            };
            if let Some(remark) = wrong {
                self.violations.push(Violation {
                    rule: Rule::Whole,
                    culprit: operation.clone(),
                    witness: None,
                    remark,
                });
            }
        }
        versions
    }

    fn truth(&self, version: Option<i64>) -> String {
        version.map_or_else(
            || "nothing had this name, ever".into(),
            |version| format!("what had this name was version {version}"),
        )
    }

    /// The versions with the times when they were surely committed: some operation that shows them had ended.
    fn commits(&self, versions: &[Option<i64>]) -> Vec<(u64, i64, usize)> {
        let shown = versions.iter().enumerate();
        let mut commits: Vec<_> = shown
            .filter_map(|(index, version)| Some((self.operations[index].ended, (*version)?, index)))
            .collect();
        commits.sort_unstable();
        commits
    }

    /// Applies the rules that speak of time.
    fn order(&mut self, mut versions: Vec<Option<i64>>) {
        let life = self.judge.life.as_micros() as u64;
        let exact = self.commits(&versions);
        for (index, operation) in self.operations.iter().enumerate() {
            if operation.what == (What::Removed { replacing: None }) {
                let before = newest(&exact, operation.began).map_or(0, |(version, _)| version);
                versions[index] = self.states.absent_from(before);
            }
        }
        let commits = self.commits(&versions);
        let replicas = self
            .operations
            .iter()
            .filter_map(|operation| operation.replica);
        let mut replicas = vec![Known::default(); replicas.max().map_or(0, |most| most + 1)];
        let mut ending = BinaryHeap::new();
        let operations = self.operations;
        let (mut elsewhere, mut next) = (None, 0);
        for (index, operation) in operations.iter().enumerate() {
            while let Some(Reverse((ended, version, earlier))) = ending.peek().copied()
                && ended < operation.began
            {
                ending.pop();
                let earlier_operation: &Operation = &operations[earlier];
                if let Some(replica) = earlier_operation.replica {
                    replicas[replica].learn(earlier_operation, version, earlier);
                }
            }
            while let Some((ended, version, earlier)) = commits.get(next)
                && ended + life < operation.began
            {
                raise(&mut elsewhere, *version, *earlier);
                next += 1;
            }
            let Some(replica) = operation.replica else {
                continue;
            };
            let known = replicas[replica];
            let mut version = versions[index];
            if matches!(operation.what, What::Saw { .. } | What::SawNone) {
                let bounds = self.bounds(operation, known, elsewhere);
                let least = bounds.iter().filter_map(|(_, bound)| *bound);
                let least = least.map(|(version, _)| version).max().unwrap_or_default();
                if operation.what == What::SawNone {
                    // One that broke a rule shows nothing.
                    let last = self.states.last_absent(operation.ended);
                    version = self
                        .states
                        .absent_from(least)
                        .filter(|first| Some(*first) <= last);
                }
                self.compare(operation, versions[index], &bounds);
            }
            if let Some(version) = version {
                ending.push(Reverse((operation.ended, version, index)));
            }
        }
    }

    /// What this read must have seen, rule by rule.
    fn bounds(&self, read: &Operation, known: Known, elsewhere: Bound) -> Vec<(Rule, Bound)> {
        let mut bounds = vec![(Rule::OwnWrites, known.written)];
        let stale = matches!(
            read.what,
            What::Saw {
                source: "stale",
                ..
            }
        );
        if !(stale && self.judge.stale_may_be_older) {
            bounds.extend([(Rule::NeverBack, known.seen), (Rule::NotTooOld, elsewhere)]);
        }
        bounds
    }

    fn compare(&mut self, read: &Operation, version: Option<i64>, bounds: &[(Rule, Bound)]) {
        // Absent is whatever absence favours the service.
        let most = match read.what {
            What::SawNone => self.states.last_absent(read.ended),
            _ => version,
        };
        let Some(most) = most else {
            if read.what == What::SawNone {
                self.violations.push(Violation {
                    rule: Rule::Whole,
                    culprit: read.clone(),
                    witness: None,
                    remark: "it had never been removed".into(),
                });
            }
            return;
        };
        let broken = bounds
            .iter()
            .filter_map(|(rule, bound)| Some((*rule, (*bound)?)))
            .filter(|(_, (least, _))| most < *least)
            .max_by_key(|(_, (_, index))| self.operations[*index].ended);
        if let Some((rule, (least, index))) = broken {
            let witness = Some((self.operations[index].clone(), least));
            self.violations.push(Violation {
                rule,
                culprit: read.clone(),
                witness,
                remark: format!("version {least} or later had to be seen"),
            });
        }
    }
}

/// What a replica has shown and written so far.
#[derive(Clone, Copy, Default)]
struct Known {
    seen: Bound,
    written: Bound,
}

impl Known {
    fn learn(&mut self, operation: &Operation, version: i64, index: usize) {
        let which = match operation.what {
            What::Saw { .. } | What::SawNone => &mut self.seen,
            _ => &mut self.written,
        };
        raise(which, version, index);
    }
}

fn raise(bound: &mut Bound, version: i64, index: usize) {
    if bound.is_none_or(|(known, _)| known < version) {
        *bound = Some((version, index));
    }
}

/// The newest of the commits before a moment.
fn newest(commits: &[(u64, i64, usize)], before: u64) -> Bound {
    let earlier = commits.partition_point(|(ended, ..)| *ended < before);
    let newest = commits[..earlier]
        .iter()
        .max_by_key(|(_, version, _)| *version);
    newest.map(|(_, version, index)| (*version, *index))
}

#[cfg(test)]
mod tests;

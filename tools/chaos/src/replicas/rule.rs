//! [`Rule`]: what must not be broken, and what is said of a [`Violation`].

use std::fmt;

use super::operation::Operation;

/// What must not be broken; see the module's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What a replica has shown is not followed by something older.
    NeverBack,
    /// What was written through a replica is not followed there by something older.
    OwnWrites,
    /// What is older than its life is seen nowhere.
    NotTooOld,
    /// What is answered is a state that there was, whole.
    Whole,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverBack => "rule 1: the replica had shown a newer state before",
            Self::OwnWrites => "rule 2: a newer state had been written through the replica",
            Self::NotTooOld => "rule 3: it was replaced longer ago than its life",
            Self::Whole => "rule 4: there was no such state",
        })
    }
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    /// What broke it.
    pub(crate) culprit: Operation,
    /// What shows that it did, and the version that had to be seen.
    pub(crate) witness: Option<(Operation, i64)>,
    /// What is to be added.
    pub(crate) remark: String,
}

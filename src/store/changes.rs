//! [`Change`]: what a writer asks for.

/// Name, version and time of change, as a query returns them; no name if there is no such template.
pub(super) type Row = (Option<String>, i64, i64);

/// Stands for any version in the statements of changes.
pub(super) const ANY_VERSION: i64 = 0;

/// A change of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Gives it this name, and creates it if it does not exist.
    Put {
        /// The name.
        name: String,
        /// On which condition.
        condition: Condition,
    },
    /// Deletes it.
    Delete {
        /// On which condition.
        condition: Condition,
    },
}

/// What must hold for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// There is such a template.
    Exists,
    /// It is in one of these versions.
    OneOf(Vec<i64>),
}

impl Change {
    /// On which condition.
    pub fn condition(&self) -> &Condition {
        match self {
            Self::Put { condition, .. } | Self::Delete { condition } => condition,
        }
    }

    /// The versions to try one after the other. [`ANY_VERSION`] is among them; none is for a template that need not exist.
    pub(super) fn versions(&self) -> Vec<Option<i64>> {
        match self.condition() {
            Condition::None => vec![None],
            Condition::Exists => vec![Some(ANY_VERSION)],
            Condition::OneOf(versions) => versions.iter().copied().map(Some).collect(),
        }
    }
}

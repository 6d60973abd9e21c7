//! [`Change`]: what a writer asks for, and on which condition.

use crate::template::TemplateId;

/// A change of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It shall have this name; it comes to be if it does not exist.
    Put {
        /// The name.
        name: String,
        /// On which condition.
        condition: Condition,
    },
    /// It shall be gone.
    Delete {
        /// On which condition.
        condition: Condition,
    },
}

/// What must be so for a change to be made.
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

    /// The versions to try one after the other; 0 stands for any, and none for "whether there is one or not".
    pub(super) fn versions(&self) -> Vec<Option<i64>> {
        match self.condition() {
            Condition::None => vec![None],
            Condition::Exists => vec![Some(0)],
            Condition::OneOf(versions) => versions.iter().copied().map(Some).collect(),
        }
    }
}

/// What somebody, in this process or elsewhere, has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This template has come to this version, or to a later one.
    Changed {
        /// Which template.
        id: TemplateId,
        /// To which version.
        version: i64,
    },
    /// Every template may have changed.
    AllChanged,
    /// Notices of up to now may have been lost.
    Gap,
}

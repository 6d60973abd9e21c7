//! [`Ledger`]: which versions of each template there are, and since when each has been replaced. The one writer keeps
//! it, and every answer is judged by it.

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// The ids that exist are 1 to this.
pub(crate) const TEMPLATES: i64 = 100;

/// Every version of every template, for as long as the run lasts.
pub(crate) struct Ledger {
    templates: Vec<Mutex<Vec<Version>>>,
}

/// One version; its number is its place plus 1.
struct Version {
    /// When its commit was known to be done, if it is.
    committed_at: Option<Instant>,
}

/// What is known of the version that an answer claims.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has begun to write it.
    Unheard,
    /// It is the newest, or its successor's commit is not known to be done.
    Current,
    /// Its successor was there no later than this.
    ReplacedAt(Instant),
}

impl Ledger {
    /// What the migration leaves: every template in version 1.
    pub(crate) fn new() -> Self {
        let first = || {
            Mutex::new(vec![Version {
                committed_at: Some(Instant::now()),
            }])
        };
        Self {
            templates: (0..TEMPLATES).map(|_| first()).collect(),
        }
    }

    /// Notes that the next version is about to be written, and returns its number: the same again as long as its
    /// commit is in doubt.
    pub(crate) fn begin(&self, id: i64) -> i64 {
        let mut versions = self.versions(id);
        if versions
            .last()
            .is_some_and(|last| last.committed_at.is_some())
        {
            versions.push(Version { committed_at: None });
        }
        versions.len() as i64
    }

    /// Notes that the version begun last is there by now.
    pub(crate) fn committed(&self, id: i64) {
        if let Some(last) = self.versions(id).last_mut() {
            last.committed_at = Some(Instant::now());
        }
    }

    /// What is known of a version.
    pub(crate) fn standing(&self, id: i64, version: i64) -> Standing {
        let versions = self.versions(id);
        if version < 1 || version > versions.len() as i64 {
            return Standing::Unheard;
        }
        let successor = versions
            .get(version as usize)
            .and_then(|next| next.committed_at);
        successor.map_or(Standing::Current, Standing::ReplacedAt)
    }

    /// How many versions were written after the first ones.
    pub(crate) fn updates(&self) -> usize {
        (1..=TEMPLATES).map(|id| self.versions(id).len() - 1).sum()
    }

    fn versions(&self, id: i64) -> MutexGuard<'_, Vec<Version>> {
        self.templates[id as usize - 1]
            .lock()
            .expect("nobody panics with it")
    }
}

/// What a template is called in this version; version 1 is the migration's.
pub(crate) fn name(id: i64, version: i64) -> String {
    match version {
        1 => format!("Template {id}"),
        version => format!("Template {id}, version {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stands_from_its_beginning_until_its_successor_is_committed() {
        let ledger = Ledger::new();
        assert_eq!(ledger.standing(7, 2), Standing::Unheard);
        assert_eq!(
            (ledger.begin(7), ledger.begin(7)),
            (2, 2),
            "in doubt, it is begun again"
        );
        assert_eq!(
            (ledger.standing(7, 1), ledger.standing(7, 2)),
            (Standing::Current, Standing::Current)
        );
        ledger.committed(7);
        assert!(matches!(ledger.standing(7, 1), Standing::ReplacedAt(_)));
        assert_eq!(ledger.standing(7, 2), Standing::Current);
        assert_eq!(ledger.updates(), 1);
    }
}

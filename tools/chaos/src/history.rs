//! [`History`]: what was broken when, so that an answer can be judged by what held while it was made.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long after a database fault its after-effects are excused.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// Every fault of the run so far.
pub(crate) struct History {
    faults: Mutex<Vec<Fault>>,
}

struct Fault {
    name: String,
    of_the_database: bool,
    from: Instant,
    until: Option<Instant>,
}

impl Fault {
    /// Whether it, or its after-effects, fell into this time.
    fn touches(&self, from: Instant, until: Instant, grace: Duration) -> bool {
        self.from <= until && self.until.is_none_or(|end| end + grace >= from)
    }
}

/// A fault that lasts until this is dropped.
pub(crate) struct FaultGuard<'a> {
    history: &'a History,
    place: usize,
}

impl Drop for FaultGuard<'_> {
    fn drop(&mut self) {
        self.history.faults()[self.place].until = Some(Instant::now());
    }
}

impl History {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self {
            faults: Mutex::default(),
        }
    }

    /// Notes that a fault begins.
    pub(crate) fn begin(&self, name: String, of_the_database: bool) -> FaultGuard<'_> {
        let mut faults = self.faults();
        faults.push(Fault {
            name,
            of_the_database,
            from: Instant::now(),
            until: None,
        });
        FaultGuard {
            history: self,
            place: faults.len() - 1,
        }
    }

    /// Whether the database had no fault in all this time, and for so long before it.
    pub(crate) fn database_was_well(&self, from: Instant, until: Instant, grace: Duration) -> bool {
        let faults = self.faults();
        !faults
            .iter()
            .any(|fault| fault.of_the_database && fault.touches(from, until, grace))
    }

    /// The names of the faults in this time.
    pub(crate) fn between(&self, from: Instant, until: Instant) -> String {
        let faults = self.faults();
        let touching = faults
            .iter()
            .filter(|fault| fault.touches(from, until, Duration::ZERO));
        let names: Vec<_> = touching.map(|fault| fault.name.as_str()).collect();
        if names.is_empty() {
            "nothing".into()
        } else {
            names.join(" and ")
        }
    }

    /// The names of all faults so far, in their order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.faults()
            .iter()
            .map(|fault| fault.name.clone())
            .collect()
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().expect("nobody panics with it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_well_again_when_the_grace_after_a_fault_is_over() {
        let history = History::new();
        let now = Instant::now();
        drop(history.begin("database freeze".into(), true));
        drop(history.begin("redis freeze".into(), false));
        let later = now + Duration::from_secs(2);
        assert!(!history.database_was_well(now, later, GRACE));
        assert!(!history.database_was_well(later, later, GRACE));
        assert!(history.database_was_well(later, later, Duration::from_secs(1)));
        assert_eq!(
            history.between(now, later),
            "database freeze and redis freeze"
        );
        assert_eq!(history.between(later, later), "nothing");
    }
}

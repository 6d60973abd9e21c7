//! [`Demand`]: how much was asked of one store. `/metrics` adds up all stores of the process, and the lab shows one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How much was asked of a store.
#[derive(Debug, Default)]
pub struct Demand {
    now: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicU64,
    sent: AtomicU64,
}

/// One load, for as long as it lives.
pub(super) struct Load<'a>(&'a Demand);

impl Demand {
    /// Loads that wait for a permit or for an answer.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// The most of those at any one time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Loads that have begun.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Queries that were sent, as `db_hits_total` counts them.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) -> Load<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(before + 1, Ordering::Relaxed);
        Load(self)
    }

    pub(super) fn send(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_at_once_is_remembered() {
        let demand = Demand::default();
        let two = (demand.begin(), demand.begin());
        drop(two);
        drop(demand.begin());
        assert_eq!((demand.now(), demand.most(), demand.asked()), (0, 2, 3));
    }
}

//! Who has boarded a flight and who has left it: the counts that decide about sharing, saturation and abandonment.
//!
//! Every write happens under the lock of the flight's shard, which is what makes "the last one leaves" and "one more
//! joins" exclude each other; the atomics are there for those who only look.

use super::super::sync::{AtomicBool, AtomicU32, Ordering};

/// The callers of one flight.
pub(crate) struct Roster {
    joined: AtomicU32,
    left: AtomicU32,
    /// Whether at least one caller wants the load finished although nobody waits for it.
    finish: AtomicBool,
}

impl Roster {
    /// A roster with the leader on it.
    pub(crate) fn new(finish: bool) -> Self {
        Self {
            joined: AtomicU32::new(1),
            left: AtomicU32::new(0),
            finish: AtomicBool::new(finish),
        }
    }

    /// Everyone who ever boarded.
    pub(crate) fn joined(&self) -> u32 {
        self.joined.load(Ordering::Acquire)
    }

    /// Adds a caller, unless `cap` of them are still aboard.
    pub(crate) fn join(&self, cap: u32, finish: bool) -> bool {
        let joined = self.joined.load(Ordering::Relaxed);
        if joined - self.left.load(Ordering::Relaxed) >= cap || joined == u32::MAX {
            return false;
        }
        self.joined.store(joined + 1, Ordering::Release);
        if finish {
            self.finish.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Takes a caller off; true if nobody is left and nobody wanted the load finished all the same.
    pub(crate) fn leave(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed) + 1;
        self.left.store(left, Ordering::Relaxed);
        left == self.joined.load(Ordering::Relaxed) && !self.finish.load(Ordering::Relaxed)
    }
}

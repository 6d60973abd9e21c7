//! [`MemoryCache`]: what stands in for Redis when there is none, with the same TTLs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::entry::{Entry, Moment};
use super::shelf::{Kept, Shelf};
use super::{Lookup, Stored};
use crate::template::TemplateId;

/// Answers inside this process.
#[derive(Debug)]
pub struct MemoryCache {
    shelf: Shelf,
    overtime: Duration,
    stands_for: Duration,
    /// What was stored before may have changed since.
    trusted_since: AtomicU64,
}

/// About as many templates as the Redis of the container file holds in its 64 MB.
const ENTRIES: usize = 64 * 1024;

impl MemoryCache {
    /// Empty. A template answers for `overtime` after its TTL, while it is loaded anew; no
    /// older state takes the place of one for `stands_for`.
    pub fn new(overtime: Duration, stands_for: Duration) -> Self {
        Self {
            shelf: Shelf::new(ENTRIES),
            overtime,
            stands_for,
            trusted_since: AtomicU64::new(0),
        }
    }

    pub(super) fn lookup(&self, id: TemplateId, now: Moment) -> Lookup {
        let trusted_since = Moment(self.trusted_since.load(Ordering::Relaxed));
        let usable = |kept: &Kept| {
            kept.is_newest()
                && kept.entry.is_usable(now, self.overtime)
                && kept.entry.stored_at >= trusted_since
        };
        match self.shelf.at(id) {
            Some(kept) if usable(&kept) => Lookup::Hit(kept.entry),
            _ => Lookup::Miss,
        }
    }

    pub(super) fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        if self.shelf.put(id, entry, self.stands_for) {
            Stored::Yes
        } else {
            Stored::Overtaken
        }
    }

    pub(super) fn overtake(&self, id: TemplateId, changed: &Entry) {
        self.shelf.overtake(id, changed);
    }

    pub(super) fn distrust(&self, now: Moment) {
        self.trusted_since.fetch_max(now.0 + 1, Ordering::Relaxed);
    }

    pub(super) fn forget(&self, id: TemplateId) {
        self.shelf.forget(id);
    }
}

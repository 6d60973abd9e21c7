//! [`MemoryCache`]: what stands in for Redis when there is none, with the same TTLs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::wire::Wire;
use super::{Lookup, Stored};
use crate::fault::Switch;
use crate::freshness::entry::{Entry, Moment};
use crate::freshness::map::{Kept, Shelf};
use crate::metrics::Metrics;
use crate::metrics::labels::Operation;
use crate::template::TemplateId;

/// Answers inside this process.
pub struct MemoryCache {
    shelf: Shelf,
    overtime: Duration,
    stands_for: Duration,
    /// What was stored before may have changed since.
    trusted_since: AtomicU64,
    /// None where nothing can fail.
    wire: Option<Wire>,
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
            wire: None,
        }
    }

    /// The same behind a way to it that can fail; a call takes no longer than `timeout`.
    pub fn behind(self, faults: Switch, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        let wire = faults.exists().then(|| Wire::new(faults, timeout, metrics));
        Self { wire, ..self }
    }

    pub(super) fn is_up(&self) -> bool {
        self.wire.as_ref().is_none_or(Wire::is_up)
    }

    pub(super) async fn lookup(&self, id: TemplateId, now: Moment) -> Lookup {
        match self.pass(Operation::Get).await {
            true => self.find(id, now),
            false => Lookup::Unanswered,
        }
    }

    /// As [`MemoryCache::store`], for what may be missed.
    pub(super) async fn fill(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self.pass(Operation::Set).await {
            true => self.store(id, entry),
            false => Stored::No,
        }
    }

    fn find(&self, id: TemplateId, now: Moment) -> Lookup {
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

    /// Whether the way to it lets a call through.
    async fn pass(&self, operation: Operation) -> bool {
        match &self.wire {
            None => true,
            Some(wire) => wire.lets_through(operation).await,
        }
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

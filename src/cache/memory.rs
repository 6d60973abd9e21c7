//! [`MemoryCache`]: what stands in for Redis when there is none, with the same TTLs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Lookup;
use super::wire::Wire;
use crate::fault::Switch;
use crate::freshness::{Content, Copies, Entry, Moment, Rules, Stored};
use crate::metrics::Metrics;
use crate::metrics::labels::Operation;
use crate::template::TemplateId;

/// Answers inside this process.
pub struct MemoryCache {
    copies: Copies,
    /// None where nothing can fail.
    wire: Option<Wire>,
}

/// About as many templates as the Redis of the container file holds in its 64 MB.
const ENTRIES: usize = 64 * 1024;

impl MemoryCache {
    /// Empty.
    pub fn new(rules: Rules) -> Self {
        Self {
            copies: Copies::new(ENTRIES, rules),
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
            true => self
                .copies
                .answer(id, now)
                .map_or(Lookup::Miss, Lookup::Hit),
            false => Lookup::Unanswered,
        }
    }

    pub(super) async fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self.pass(Operation::Set).await {
            true => self.copies.store(id, entry),
            false => Stored::No,
        }
    }

    /// Stores what must not be missed. This process itself is told, so that it gets through in any case.
    pub(super) fn announce(&self, id: TemplateId, entry: &Entry) {
        match entry.content {
            Content::Template(_) | Content::Absent => {
                self.copies.store(id, entry);
            }
            Content::Tombstone => {
                self.copies.note(id, entry);
            }
        }
    }

    pub(super) fn ignore_before(&self, now: Moment) {
        self.copies.ignore_before(now);
    }

    pub(super) fn forget(&self, id: TemplateId) {
        self.copies.remove(id);
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

//! [`MemoryCache`]: stands in for Redis when there is none, with the same rules.

use std::sync::Arc;
use std::time::Duration;

use super::Lookup;
use super::gate::FaultGate;
use crate::fault::Switch;
use crate::freshness::{Content, Copies, Entry, Moment, Rules, Stored};
use crate::metrics::Metrics;
use crate::outcomes::Operation;
use crate::template::TemplateId;

/// Entries in this process.
pub struct MemoryCache {
    copies: Copies,
    /// None where nothing can fail.
    gate: Option<FaultGate>,
}

/// About as many templates as the Redis of the container file holds in its 64 MB.
const ENTRIES: usize = 64 * 1024;

impl MemoryCache {
    /// Empty.
    pub fn new(rules: Rules) -> Self {
        Self {
            copies: Copies::new(ENTRIES, rules),
            gate: None,
        }
    }

    /// The same behind a gate that can make it fail. A call takes no longer than `timeout`.
    pub fn behind(self, faults: Switch, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        let gate = faults
            .exists()
            .then(|| FaultGate::new(faults, timeout, metrics));
        Self { gate, ..self }
    }

    pub(super) fn is_up(&self) -> bool {
        self.gate.as_ref().is_none_or(FaultGate::is_up)
    }

    pub(super) async fn lookup(&self, id: TemplateId, now: Moment) -> Lookup {
        match self.passes(Operation::Get).await {
            true => self
                .copies
                .answer(id, now)
                .map_or(Lookup::Miss, Lookup::Hit),
            false => Lookup::Unanswered,
        }
    }

    pub(super) async fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self.passes(Operation::Set).await {
            true => self.copies.store(id, entry),
            false => Stored::No,
        }
    }

    /// Stores what must not be missed: it does not pass the gate.
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

    pub(super) fn delete(&self, id: TemplateId) {
        self.copies.remove(id);
    }

    pub(super) fn ignore_before(&self, now: Moment) {
        self.copies.ignore_before(now);
    }

    async fn passes(&self, operation: Operation) -> bool {
        match &self.gate {
            None => true,
            Some(gate) => gate.lets_through(operation).await,
        }
    }
}

//! [`MemoryCache`]: what stands in for Redis when there is none, with the same TTLs.

use super::Lookup;
use super::entry::{Entry, Moment};
use super::shelf::Shelf;
use crate::template::TemplateId;

/// Answers inside this process.
#[derive(Debug)]
pub struct MemoryCache {
    shelf: Shelf,
}

/// About as many templates as the Redis of the container file holds in its 64 MB.
const ENTRIES: usize = 64 * 1024;

impl MemoryCache {
    /// Empty.
    pub fn new() -> Self {
        Self {
            shelf: Shelf::new(ENTRIES),
        }
    }

    pub(super) fn lookup(&self, id: TemplateId, now: Moment) -> Lookup {
        match self.shelf.at(id) {
            Some(entry) if entry.is_fresh(now) => Lookup::Hit(entry),
            _ => Lookup::Miss,
        }
    }

    pub(super) fn store(&self, id: TemplateId, entry: &Entry) -> bool {
        self.shelf.put(id, entry.clone());
        true
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

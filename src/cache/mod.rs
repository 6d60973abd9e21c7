//! [`TemplateCache`]: answers by template, for the time that their TTL lasts.
//!
//! Two of them: Redis, and one inside the process that keeps the same promises. What an answer is stands in
//! [`entry`], how it is written in Redis in [`payload`]. Nothing here knows of the database or of HTTP.

pub mod entry;
mod memory;
mod payload;
mod redis;
pub mod shelf;
mod silence;
mod slot;

use std::sync::Arc;

use entry::{Entry, Moment};
pub use memory::MemoryCache;
pub use redis::{RedisCache, RedisOptions};

use crate::metrics::Metrics;
use crate::template::TemplateId;

/// What the cache says of a template.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It has it, and its TTL is not over.
    Hit(Entry),
    /// It has nothing that could be used.
    Miss,
    /// It could not be asked, or did not answer in time.
    Unanswered,
}

/// Answers by template.
#[derive(Debug)]
pub enum TemplateCache {
    /// Shared by every replica.
    Redis(RedisCache),
    /// Inside this process.
    Memory(MemoryCache),
}

impl TemplateCache {
    /// Asks for a template, and counts what came of it. Never fails: a cache that cannot be asked is no error to
    /// the one who asks.
    pub async fn lookup(&self, id: TemplateId, now: Moment, metrics: &Metrics) -> Lookup {
        let lookup = match self {
            Self::Redis(cache) => cache.lookup(id, now, metrics).await,
            Self::Memory(cache) => cache.lookup(id, now),
        };
        match lookup {
            Lookup::Hit(_) => metrics.cache_hits.inc(),
            Lookup::Miss => metrics.cache_misses.inc(),
            Lookup::Unanswered => {}
        }
        lookup
    }

    /// Stores an answer until its TTL ends, and says whether it is stored.
    pub async fn store(&self, id: TemplateId, entry: &Entry, metrics: &Arc<Metrics>) -> bool {
        match self {
            Self::Redis(cache) => cache.store(id, entry, metrics).await,
            Self::Memory(cache) => cache.store(id, entry),
        }
    }

    /// Whether lookups are being answered.
    pub fn is_up(&self) -> bool {
        match self {
            Self::Redis(cache) => cache.is_up(),
            Self::Memory(_) => true,
        }
    }
}

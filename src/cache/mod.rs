//! [`TemplateCache`]: entries by template, in Redis or in this process.
//!
//! What an entry may do is decided in [`crate::freshness`]. Nothing here knows of the database or of HTTP.

mod breaker;
mod gate;
mod memory;
mod redis;

pub use self::redis::{Lease, RedisCache, RedisOptions, WhoLoads};
pub use memory::MemoryCache;

use crate::freshness::{Entry, Moment, Stored};
use crate::metrics::Metrics;
use crate::template::TemplateId;

/// What the cache says of a template.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It has an entry that may answer.
    Hit(Entry),
    /// It has none.
    Miss,
    /// It could not be asked, or did not answer in time.
    Unanswered,
}

/// Entries by template.
pub enum TemplateCache {
    /// Shared by all replicas.
    Redis(RedisCache),
    /// Inside this process.
    Memory(MemoryCache),
}

impl TemplateCache {
    /// Looks up a template, and counts the answer. A cache that cannot be asked is no error for the caller.
    pub async fn lookup(&self, id: TemplateId, now: Moment, metrics: &Metrics) -> Lookup {
        let lookup = match self {
            Self::Redis(cache) => cache.lookup(id, now).await,
            Self::Memory(cache) => cache.lookup(id, now).await,
        };
        match lookup {
            Lookup::Hit(_) => metrics.cache_hits.inc(),
            Lookup::Miss => metrics.cache_misses.inc(),
            Lookup::Unanswered => {}
        }
        lookup
    }

    /// Waits until this replica may load a template for all, or until another one has stored a fresh entry that `accept`
    /// takes. Without other replicas, or without agreement, this one loads at once.
    pub async fn who_loads(&self, id: TemplateId, accept: impl Fn(&Entry) -> bool) -> WhoLoads {
        match self {
            Self::Redis(cache) => cache.who_loads(id, accept).await,
            Self::Memory(_) => WhoLoads::ThisReplica(None),
        }
    }

    /// Stores an entry unless it is superseded.
    pub async fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self {
            Self::Redis(cache) => cache.store(id, entry).await,
            Self::Memory(cache) => cache.store(id, entry).await,
        }
    }

    /// Stores what a change has made of a template. If the cache cannot be told now, it is told before it is asked again.
    pub async fn announce(&self, id: TemplateId, entry: &Entry) {
        match self {
            Self::Redis(cache) => cache.announce(id, entry).await,
            Self::Memory(cache) => cache.announce(id, entry),
        }
    }

    /// Removes a template that may have changed to an unknown version.
    pub async fn delete(&self, id: TemplateId) {
        match self {
            Self::Redis(cache) => cache.delete(id).await,
            Self::Memory(cache) => cache.delete(id),
        }
    }

    /// Every template may have changed: entries that were stored before this moment are ignored.
    pub fn ignore_before(&self, now: Moment) {
        match self {
            Self::Redis(cache) => cache.ignore_before(now),
            Self::Memory(cache) => cache.ignore_before(now),
        }
    }

    /// This process may have missed notices: its own entries are ignored. Other replicas have told Redis.
    pub fn missed_notices(&self, now: Moment) {
        match self {
            Self::Redis(_) => {}
            Self::Memory(cache) => cache.ignore_before(now),
        }
    }

    /// Whether the cache rejects writes. Then a miss proves nothing.
    pub fn rejects_writes(&self) -> bool {
        match self {
            Self::Redis(cache) => cache.rejects_writes(),
            Self::Memory(_) => false,
        }
    }

    /// Whether lookups are being answered.
    pub fn is_up(&self) -> bool {
        match self {
            Self::Redis(cache) => cache.is_up(),
            Self::Memory(cache) => cache.is_up(),
        }
    }
}

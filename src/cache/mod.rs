//! [`TemplateCache`]: answers by template, for the time that their TTL lasts.
//!
//! Two of them: Redis, and one inside the process that keeps the same promises. What an answer is stands in
//! [`entry`], how it is written in Redis in [`payload`], how lookups ask Redis together in [`reads`]. Nothing here knows of the database or of HTTP.

mod call;
mod deadlines;
mod debts;
mod fence;
mod keeper;
mod lease;
mod line;
mod memory;
mod payload;
mod payment;
mod reads;
mod redis;
mod server;
mod silence;
mod slot;
mod turns;
mod wire;

pub use lease::{Lease, Turn};
pub use memory::MemoryCache;
pub use redis::{RedisCache, RedisOptions};

use crate::freshness::{Entry, Moment, Stored};
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

    /// Waits until it is this process's turn to load a template for all replicas, or until another one has stored
    /// something that is fresh and that `accept` takes. Without other replicas, or without agreement, it is its turn at once.
    pub async fn turn(&self, id: TemplateId, accept: impl Fn(&Entry) -> bool) -> Turn<Entry> {
        match self {
            Self::Redis(cache) => cache.turn(id, accept).await,
            Self::Memory(_) => Turn::Ours(None),
        }
    }

    /// Stores an entry until its TTL ends, unless something newer is there.
    pub async fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self {
            Self::Redis(cache) => cache.store(id, entry).await,
            Self::Memory(cache) => cache.store(id, entry).await,
        }
    }

    /// Stores what a change has made of a template. If the cache cannot be told now, it is told before it is asked
    /// again.
    pub async fn announce(&self, id: TemplateId, entry: &Entry) {
        match self {
            Self::Redis(cache) => cache.announce(id, entry).await,
            Self::Memory(cache) => cache.announce(id, entry),
        }
    }

    /// Forgets a template that may have changed, nobody can say to what.
    pub async fn forget(&self, id: TemplateId) {
        match self {
            Self::Redis(cache) => cache.forget(id).await,
            Self::Memory(cache) => cache.forget(id),
        }
    }

    /// Every template may have changed: what was stored before this moment is ignored.
    pub fn ignore_before(&self, now: Moment) {
        match self {
            Self::Redis(cache) => cache.ignore_before(now),
            Self::Memory(cache) => cache.ignore_before(now),
        }
    }

    /// This process may have missed notices: what only it keeps is ignored. Other replicas may have told Redis.
    pub fn missed_notices(&self, now: Moment) {
        match self {
            Self::Redis(_) => {}
            Self::Memory(cache) => cache.ignore_before(now),
        }
    }

    /// Whether a miss is no news, because nothing can be stored at the moment.
    pub fn refuses_writes(&self) -> bool {
        match self {
            Self::Redis(cache) => cache.refuses_writes(),
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

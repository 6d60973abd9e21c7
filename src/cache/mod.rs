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

use crate::freshness::entry::{Content, Entry, Moment};
pub use lease::{Lease, Turn};
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

/// What became of an entry that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Yes,
    /// Something newer is there.
    Overtaken,
    /// The cache could not be told.
    No,
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
            Self::Memory(cache) => cache.fill(id, entry).await,
        }
    }

    /// Stores what a change has made of a template. If the cache cannot be told now, it is told before it is asked
    /// again.
    pub async fn announce(&self, id: TemplateId, entry: &Entry) {
        match self {
            Self::Redis(cache) => cache.announce(id, entry).await,
            Self::Memory(cache) if entry.content == Content::Changed => cache.overtake(id, entry),
            Self::Memory(cache) => {
                cache.store(id, entry);
            }
        }
    }

    /// Forgets a template that may have changed, nobody can say to what.
    pub async fn forget(&self, id: TemplateId) {
        match self {
            Self::Redis(cache) => cache.forget(id).await,
            Self::Memory(cache) => cache.forget(id),
        }
    }

    /// Everything may have changed: nothing that was stored before this moment is believed.
    pub fn distrust(&self, now: Moment) {
        match self {
            Self::Redis(cache) => cache.distrust(now),
            Self::Memory(cache) => cache.distrust(now),
        }
    }

    /// Changes up to now may have been missed by this process: what only this process keeps is not believed any more.
    pub fn missed_notices(&self, now: Moment) {
        match self {
            Self::Redis(_) => {}
            Self::Memory(cache) => cache.distrust(now),
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

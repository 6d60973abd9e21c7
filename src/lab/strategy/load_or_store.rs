//! [`LoadOrStore`]: all who miss load, and the first one's result is the one that is stored.
//!
//! Good at: one value for everybody, and no write that undoes another. Bad at: the database is asked by everyone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{Lookup, TemplateCache};
use crate::freshness::{Content, Entry, Moment};
use crate::metrics::Metrics;
use crate::outcomes::Source;
use crate::store::{LoadError, Priority, TemplateStore};
use crate::template::TemplateId;

/// What it needs.
pub(in crate::lab) struct LoadOrStore {
    pub(in crate::lab) cache: TemplateCache,
    pub(in crate::lab) store: TemplateStore,
    pub(in crate::lab) metrics: Arc<Metrics>,
    pub(in crate::lab) ttl: Duration,
}

impl LoadOrStore {
    pub(super) async fn ask(&self, id: TemplateId) -> Result<(Source, Content), LoadError> {
        if let Lookup::Hit(entry) = self.look(id).await {
            return Ok((Source::Hit, entry.content));
        }
        let began = Instant::now();
        let state = self.store.load(id, Priority::KnownId).await?;
        // Somebody may have been faster: then theirs is the one.
        if let Lookup::Hit(stored) = self.look(id).await {
            return Ok((Source::Loaded, stored.content));
        }
        let entry = Entry::new(state, Moment::now(), self.ttl, began.elapsed());
        self.cache.store(id, &entry).await;
        Ok((Source::Loaded, entry.content))
    }

    async fn look(&self, id: TemplateId) -> Lookup {
        self.cache.lookup(id, Moment::now(), &self.metrics).await
    }
}

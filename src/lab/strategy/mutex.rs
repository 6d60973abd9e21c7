//! [`MutexPerKey`]: whoever misses takes the key's mutex and looks a second time before loading.
//!
//! Good at: one query per expiry, from parts that every language has. Bad at: those who waited look again one after the
//! other; if the load failed, or the cache does not answer, each of them loads in turn; and the map only grows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cache::{Lookup, TemplateCache};
use crate::freshness::{Content, Entry, Moment};
use crate::metrics::Metrics;
use crate::outcomes::Source;
use crate::store::{LoadError, Priority, TemplateStore};
use crate::template::TemplateId;

/// What it needs.
pub(in crate::lab) struct MutexPerKey {
    pub(in crate::lab) cache: TemplateCache,
    pub(in crate::lab) store: TemplateStore,
    pub(in crate::lab) metrics: Arc<Metrics>,
    pub(in crate::lab) ttl: Duration,
    pub(in crate::lab) keys: Mutex<HashMap<TemplateId, Arc<tokio::sync::Mutex<()>>>>,
}

impl MutexPerKey {
    pub(super) async fn ask(&self, id: TemplateId) -> Result<(Source, Content), LoadError> {
        if let Lookup::Hit(entry) = self.look(id).await {
            return Ok((Source::Hit, entry.content));
        }
        let key = Arc::clone(self.keys.lock().entry(id).or_default());
        let _turn = key.lock().await;
        // The second look: the caller that had the mutex before has probably stored it.
        if let Lookup::Hit(entry) = self.look(id).await {
            return Ok((Source::Shared, entry.content));
        }
        let began = Instant::now();
        let state = self.store.load(id, Priority::KnownId).await?;
        let entry = Entry::new(state, Moment::now(), self.ttl, began.elapsed());
        self.cache.store(id, &entry).await;
        Ok((Source::Loaded, entry.content))
    }

    async fn look(&self, id: TemplateId) -> Lookup {
        self.cache.lookup(id, Moment::now(), &self.metrics).await
    }
}

//! The load of a flight, where replicas take turns (`FLEET_LEASE`): one of them asks the database, the others take what
//! it has stored.
//!
//! Whatever keeps them from agreeing, each then loads for itself: within its slots, and with the same answer.

use std::time::Instant;

use super::load::{Loaded, Loader};
use crate::cache::Turn;
use crate::freshness::entry::Entry;
use crate::freshness::local::Keeping;
use crate::store::LoadError;
use crate::template::TemplateId;

impl Loader {
    /// Loads a template, unless another replica does. What is cached at the moment, if anything, is not news.
    pub(super) async fn load_for_fleet(
        &self,
        id: TemplateId,
        cached: Option<&Entry>,
        is_current: impl Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let began = Instant::now();
        let keep_news = |entry: &Entry| {
            cached.is_none_or(|cached| !entry.is_same(cached))
                && self.local.keep(id, entry) != Keeping::Overtaken
        };
        match self.cache.turn(id, keep_news).await {
            Turn::Theirs(entry) => Ok(Loaded::elsewhere(entry, began.elapsed())),
            // The lease is held until the caches are filled.
            Turn::Ours(_lease) => self.load_from_store(id, is_current).await,
        }
    }
}

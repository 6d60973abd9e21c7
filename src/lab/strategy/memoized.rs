//! [`MemoizedFuture`]: the first caller's load is kept in a map, and every caller gets its outcome, for ever.
//!
//! Good at: one query. Bad at: everything after it. An answer is never fresh again, and an error never goes away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::freshness::{Content, Entry, Moment};
use crate::outcomes::Source;
use crate::store::{LoadError, Priority, TemplateStore};
use crate::template::TemplateId;

type Kept = Arc<OnceCell<Result<Content, LoadError>>>;

/// What it needs.
pub(in crate::lab) struct MemoizedFuture {
    pub(in crate::lab) store: TemplateStore,
    pub(in crate::lab) kept: Mutex<HashMap<TemplateId, Kept>>,
}

impl MemoizedFuture {
    pub(super) async fn ask(&self, id: TemplateId) -> Result<(Source, Content), LoadError> {
        let kept = Arc::clone(self.kept.lock().entry(id).or_default());
        let source = if kept.initialized() {
            Source::Hit
        } else {
            Source::Shared
        };
        let load = async || {
            let state = self.store.load(id, Priority::KnownId).await?;
            Ok(Entry::new(state, Moment::now(), Duration::ZERO, Duration::ZERO).content)
        };
        let outcome = kept.get_or_init(load).await;
        Ok((source, outcome.clone()?))
    }
}

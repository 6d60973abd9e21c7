//! Reading a template: the cache, the local copy, a load, the last-known-good copy.

use std::time::{Duration, Instant};

use super::{Answer, Parts, Refusal, TemplateService, Timings};
use crate::cache::Lookup;
use crate::freshness::{Entry, Moment, Shows, Stored};
use crate::metrics::labels::{Refresh, Source};
use crate::template::TemplateId;

/// How asking the cache went.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// When the request began.
    pub(super) at: Moment,
    pub(super) took: Duration,
    pub(super) answered: bool,
}

impl TemplateService {
    /// The template with this id, or why there is no answer.
    pub async fn details(&self, id: TemplateId) -> Result<Answer, Refusal> {
        let Parts {
            cache,
            copies,
            metrics,
            ..
        } = &*self.parts;
        let (began, now) = (Instant::now(), Moment::now());
        let lookup = cache.lookup(id, now, metrics).await;
        let asked = Asked {
            at: now,
            took: began.elapsed(),
            answered: !matches!(lookup, Lookup::Unanswered),
        };
        match lookup {
            Lookup::Hit(entry) if copies.store(id, &entry) == Stored::Superseded => {
                metrics.stale_writes_prevented.inc();
            }
            Lookup::Hit(entry) => return Ok(self.cached(id, entry, asked, Source::Hit)),
            // While Redis rejects writes, a miss proves nothing.
            Lookup::Miss if !cache.rejects_writes() => {}
            Lookup::Miss | Lookup::Unanswered => {
                if let Some(entry) = copies.answer(id, now) {
                    return Ok(self.cached(id, entry, asked, Source::Local));
                }
            }
        }
        let left = self.parts.request_timeout.saturating_sub(began.elapsed());
        // Boxed: most requests are hits, and need no room for a load.
        match Box::pin(self.load(id, asked, left)).await {
            Ok(answer) => Ok(answer),
            Err(refusal) => {
                let now = Moment::now();
                let copy = copies.last_known_good(id, now).ok_or(refusal)?;
                Ok(asked.answer(copy, now, Source::Stale))
            }
        }
    }

    /// A cached answer. One that is about to expire, or has just expired, is loaded again behind it.
    fn cached(&self, id: TemplateId, entry: Entry, asked: Asked, source: Source) -> Answer {
        if self.parts.rules.shows(&entry, asked.at) != Shows::Fresh {
            self.refresh(id, &entry, Refresh::Stale);
            return asked.answer(entry, asked.at, Source::Stale);
        }
        let is_due = |beta| entry.is_due_early(asked.at, beta, 1.0 - fastrand::f64());
        if self.parts.early_refresh.is_some_and(is_due) {
            self.refresh(id, &entry, Refresh::Early);
        }
        asked.answer(entry, asked.at, source)
    }
}

impl Asked {
    /// An answer that needed no load.
    fn answer(self, entry: Entry, now: Moment, source: Source) -> Answer {
        Answer {
            entry,
            now,
            source,
            cache_answered: self.answered,
            stored: false,
            timings: Timings {
                cache: self.took,
                ..Timings::default()
            },
        }
    }
}

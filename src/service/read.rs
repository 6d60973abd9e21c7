//! Reading a template: a near copy, the cache, the local copy, a load, an older copy.

use std::time::{Duration, Instant};

use super::answer::Asked;
use super::loaded::NotLoaded;
use super::{Answer, Parts, Refusal, TemplateService};
use crate::cache::Lookup;
use crate::freshness::{Entry, Moment, Shows, Stored};
use crate::outcomes::{Refresh, Source, StaleReason};
use crate::singleflight::{Part, Role};
use crate::telemetry::traces::{Span, SpanKind, SpanRef, carry, current};
use crate::template::TemplateId;

/// What the cache, or a near copy in its place, says of a template.
#[derive(Clone)]
pub(super) struct Looked {
    lookup: Lookup,
    /// What a hit counts as.
    source: Source,
}

impl TemplateService {
    /// The template with this id, or why there is no answer.
    pub async fn details(&self, id: TemplateId) -> Result<Answer, Refusal> {
        let Parts { cache, copies, .. } = &*self.parts;
        let (began, now) = (Instant::now(), Moment::now());
        if let Some(entry) = copies.near(id, now) {
            let asked = Asked {
                at: now,
                took: Duration::ZERO,
                answered: true,
            };
            return Ok(self.answer_from_cache(id, entry, asked, Source::Near));
        }
        let Looked { lookup, source } = if self.parts.rules.near_for.is_zero() {
            self.look_up(id, now).await
        } else {
            // Boxed: without near copies, a request needs no room for it.
            Box::pin(self.look_up_together(id)).await
        };
        let asked = Asked {
            at: now,
            took: began.elapsed(),
            answered: !matches!(lookup, Lookup::Unanswered),
        };
        match lookup {
            Lookup::Hit(entry) => return Ok(self.answer_from_cache(id, entry, asked, source)),
            // While Redis rejects writes, a miss proves nothing.
            Lookup::Miss if !cache.rejects_writes() => {}
            Lookup::Miss | Lookup::Unanswered => {
                if let Some(entry) = copies.answer(id, now) {
                    return Ok(self.answer_from_cache(id, entry, asked, Source::Local));
                }
            }
        }
        // Boxed: most requests are hits, and need no room for a load.
        Box::pin(self.load_or_stale(id, asked, began)).await
    }

    /// Asks the cache. A hit that is superseded is a miss.
    async fn look_up(&self, id: TemplateId, now: Moment) -> Looked {
        let Parts {
            cache,
            copies,
            metrics,
            ..
        } = &*self.parts;
        let mut lookup = cache.lookup(id, now, metrics).await;
        if let Lookup::Hit(entry) = &lookup
            && copies.confirm(id, entry, now) == Stored::Superseded
        {
            metrics.stale_writes_prevented.inc();
            lookup = Lookup::Miss;
        }
        Looked {
            lookup,
            source: Source::Hit,
        }
    }

    /// The same for all callers whose near copy has run out at the same time: one of them asks the cache.
    async fn look_up_together(&self, id: TemplateId) -> Looked {
        let service = self.clone();
        let wait = current().map(|caller| caller.child("cache.wait", SpanKind::Internal));
        let call = self.parts.lookups.report(&id, move |loading| {
            carry(async move {
                if let Some(leader) = current() {
                    loading.leave_note(leader.to_note());
                }
                let now = Moment::now();
                // Another caller's lookup may have ended just before this one began.
                Ok(match service.parts.copies.near(id, now) {
                    Some(entry) => Looked {
                        lookup: Lookup::Hit(entry),
                        source: Source::Near,
                    },
                    None => service.look_up(id, now).await,
                })
            })
        });
        let report = call.await;
        if let Some(wait) = wait {
            finish_lookup(wait, report.part.as_ref());
        }
        let Ok(looked) = report.result else {
            return Looked {
                lookup: Lookup::Unanswered,
                source: Source::Hit,
            };
        };
        match report.part {
            // The entry was confirmed while this caller waited: it has a near copy now.
            Some(part) if part.role == Role::Follower => Looked {
                source: Source::Near,
                ..(*looked).clone()
            },
            _ => (*looked).clone(),
        }
    }

    /// Loads the template, or answers with an older copy if that takes too long or fails.
    async fn load_or_stale(
        &self,
        id: TemplateId,
        asked: Asked,
        began: Instant,
    ) -> Result<Answer, Refusal> {
        let parts = &*self.parts;
        let stand_in = || parts.copies.stand_in(id, Moment::now());
        let mut is_soft = !parts.soft_timeout.is_zero() && stand_in().is_some();
        loop {
            let left = parts.request_timeout.saturating_sub(began.elapsed());
            let limit = if is_soft {
                parts.soft_timeout.min(left)
            } else {
                left
            };
            let refusal: Refusal = match self.load(id, asked, limit).await {
                Ok(answer) => return Ok(answer),
                Err(NotLoaded::LimitReached) if limit < left => {
                    if let Some(entry) = stand_in() {
                        return Ok(self.answer_stale(
                            entry,
                            asked,
                            Moment::now(),
                            StaleReason::Slow,
                        ));
                    }
                    // It was superseded meanwhile: this caller waits for the load after all.
                    is_soft = false;
                    continue;
                }
                Err(reason) => reason.into(),
            };
            let now = Moment::now();
            let copy = parts.copies.last_known_good(id, now).ok_or(refusal)?;
            return Ok(self.answer_stale(copy, asked, now, StaleReason::Failed));
        }
    }

    /// A cached answer. One that is about to expire, or has just expired, is loaded again behind it.
    fn answer_from_cache(
        &self,
        id: TemplateId,
        entry: Entry,
        asked: Asked,
        source: Source,
    ) -> Answer {
        if self.parts.rules.shows(&entry, asked.at) != Shows::Fresh {
            self.refresh(id, &entry, Refresh::Stale);
            return self.answer_stale(entry, asked, asked.at, StaleReason::Revalidating);
        }
        let is_due = |beta| entry.is_due_early(asked.at, beta, 1.0 - fastrand::f64());
        if self.parts.early_refresh.is_some_and(is_due) {
            self.refresh(id, &entry, Refresh::Early);
        }
        asked.answer(entry, asked.at, source)
    }

    fn answer_stale(&self, entry: Entry, asked: Asked, now: Moment, reason: StaleReason) -> Answer {
        self.parts.metrics.stale_responses.of(reason).inc();
        asked.answer(entry, now, Source::Stale)
    }
}

/// Ends the wait for another caller's lookup, with a link to that caller. The caller that asked the cache itself did not wait.
fn finish_lookup(wait: Span, part: Option<&Part>) {
    match part {
        Some(part) if part.role == Role::Follower => {
            if let Some(leader) = part.note.as_ref().and_then(SpanRef::of_note) {
                wait.link_to(&leader);
            }
            wait.finish();
        }
        Some(_) | None => wait.discard(),
    }
}

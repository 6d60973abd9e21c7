//! Changes of templates: those made through this service, and those that the database tells of.
//!
//! Each change is announced in the same order: the local copy learns of it, the flight that may bring an older state is
//! forgotten, and then Redis is told. The local copy comes first because it knows whether a notice is news.

use std::sync::Weak;
use std::time::Instant;

use tokio::sync::mpsc;

use super::{Parts, Refusal, TemplateService};
use crate::freshness::{Entry, Moment, Noted};
use crate::outcomes::Origin;
use crate::store::{Change, ChangeError, Condition, Notice};
use crate::telemetry::traces::{self, SpanKind, carry, within};
use crate::template::{State, TemplateId};

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeRefusal {
    /// There is no such template.
    NotFound,
    /// It is in another state than the writer expects.
    ConditionFailed,
    /// It could not be made, or it is not known whether it was.
    Refused(Refusal),
}

impl TemplateService {
    /// Makes a change and returns the state after it. A change that has begun goes on when its writer hangs up.
    pub async fn change(&self, id: TemplateId, change: Change) -> Result<State, ChangeRefusal> {
        let service = self.clone();
        let task = async move { service.make_change(id, &change).await };
        let made = self.parts.tasks.spawn(carry(task)).await;
        made.unwrap_or(Err(ChangeRefusal::Refused(Refusal::Failed)))
    }

    async fn make_change(&self, id: TemplateId, change: &Change) -> Result<State, ChangeRefusal> {
        let began = Instant::now();
        match self.parts.store.change(id, change).await {
            Ok(Some(state)) => {
                let took = began.elapsed();
                let entry = self.parts.rules.entry(state.clone(), Moment::now(), took);
                self.parts.copies.store(id, &entry);
                self.announce(id, &entry, Origin::Local).await;
                Ok(state)
            }
            Ok(None) => {
                // The writer reads the template next, and the caches may know less of it than the database.
                self.parts.flights.forget(&id);
                let _ = self.query(id, || false).await;
                Err(match change.condition() {
                    Condition::None => ChangeRefusal::NotFound,
                    Condition::Exists | Condition::OneOf(_) => ChangeRefusal::ConditionFailed,
                })
            }
            Err(ChangeError::NotMade(error)) => Err(ChangeRefusal::Refused(error.into())),
            Err(ChangeError::Unknown) => {
                self.announce_suspicion(id).await;
                Err(ChangeRefusal::Refused(Refusal::Unavailable))
            }
        }
    }

    /// Announces a change that the local copy has learnt of, so that nothing older is shown or stored from now on.
    async fn announce(&self, id: TemplateId, entry: &Entry, origin: Origin) {
        self.parts.flights.forget(&id);
        self.parts.cache.announce(id, entry).await;
        self.parts.metrics.invalidations.of(origin).inc();
    }

    /// Announces a change that may have been made.
    async fn announce_suspicion(&self, id: TemplateId) {
        let parts = &*self.parts;
        let tombstone = parts.copies.suspect(id, Moment::now());
        parts.flights.forget(&id);
        match tombstone {
            Some(tombstone) => parts.cache.announce(id, &tombstone).await,
            None => parts.cache.delete(id).await,
        }
    }

    async fn hear(&self, notice: Notice) {
        let parts = &*self.parts;
        match notice {
            Notice::Changed { id, version, lag } => {
                if let Some(lag) = lag {
                    parts.metrics.change_lag.observe(lag.as_secs_f64());
                }
                let tombstone = parts.rules.tombstone(version, Moment::now());
                // A notice of a version that is known, such as one of our own writes, is ignored.
                if parts.copies.note(id, &tombstone) == Noted::News {
                    let span = parts.traces.root("template.notice", SpanKind::Consumer);
                    if let Some(span) = &span {
                        span.set("stampede.template.id", id.number());
                    }
                    let announced = self.announce(id, &tombstone, Origin::Notified);
                    within(span.as_deref(), announced).await;
                    traces::finish(span, None);
                }
            }
            Notice::AllChanged => {
                parts.flights.forget_all();
                let now = Moment::now();
                parts.copies.ignore_before(now);
                parts.cache.ignore_before(now);
                parts.metrics.invalidations.of(Origin::Notified).inc();
            }
            Notice::Gap => {
                parts.flights.forget_all();
                let now = Moment::now();
                parts.copies.ignore_before(now);
                parts.cache.missed_notices(now);
            }
        }
    }
}

/// Follows what the database tells of changes, until the service ends.
pub(super) async fn follow(service: Weak<Parts>, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let Some(parts) = Weak::upgrade(&service) else {
            return;
        };
        TemplateService { parts }.hear(notice).await;
    }
}

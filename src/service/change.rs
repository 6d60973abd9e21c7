//! Changes of templates: those made through this service, and those that the database tells of.
//!
//! After a change was made here, no reader here gets an older state: the flight that may bring one is forgotten, the
//! local copy knows the new state, and so does Redis, which from then on takes nothing older. A change that may or may
//! not have been made leaves nothing behind that could be older than it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use super::TemplateService;
use super::answer::Refusal;
use super::load::Loader;
use super::outcome::load_refusal;
use crate::freshness::entry::{Content, Entry, Moment};
use crate::metrics::labels::Origin;
use crate::store::{Change, ChangeError, Condition, Notice};
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
    /// Makes a change and says what there is afterwards. Once begun, it is ended, also if the writer hangs up.
    pub async fn change(&self, id: TemplateId, change: Change) -> Result<State, ChangeRefusal> {
        let loader = Arc::clone(&self.loader);
        let change = tokio::spawn(async move { loader.change(id, &change).await });
        change
            .await
            .unwrap_or(Err(ChangeRefusal::Refused(Refusal::Failed)))
    }
}

impl Loader {
    async fn change(&self, id: TemplateId, change: &Change) -> Result<State, ChangeRefusal> {
        let _changing = self
            .changing
            .acquire()
            .await
            .expect("the semaphore is never closed");
        match self.store.change(id, change).await {
            Ok(Some(state)) => {
                self.announce(
                    id,
                    &self.entry(state.clone(), Duration::ZERO),
                    Origin::Local,
                )
                .await;
                Ok(state)
            }
            Ok(None) => {
                // The writer is about to read what there is instead, and the caches may not know it either.
                self.flights.forget(&id);
                let _ = self.load_from_store(id, || true).await;
                Err(match change.condition() {
                    Condition::None => ChangeRefusal::NotFound,
                    Condition::Exists | Condition::OneOf(_) => ChangeRefusal::ConditionFailed,
                })
            }
            Err(ChangeError::NotMade(error)) => Err(ChangeRefusal::Refused(load_refusal(error))),
            Err(ChangeError::Unknown) => {
                self.suspect(id).await;
                Err(ChangeRefusal::Refused(Refusal::Unavailable))
            }
        }
    }

    async fn announce(&self, id: TemplateId, entry: &Entry, origin: Origin) {
        self.flights.forget(&id);
        if entry.content != Content::Changed {
            self.local.keep(id, entry);
        }
        self.cache.announce(id, entry).await;
        self.metrics.invalidations.of(origin).inc();
    }

    /// A template may have changed. If it has, it is to the version after the one that is known; if none is known, what
    /// there is in the caches is removed.
    async fn suspect(&self, id: TemplateId) {
        match self.local.version(id) {
            Some(known) => {
                let changed =
                    Entry::changed(known.saturating_add(1), Moment::now(), self.longest_load);
                self.flights.forget(&id);
                self.local.overtake(id, &changed);
                self.cache.announce(id, &changed).await;
            }
            None => {
                self.flights.forget(&id);
                self.cache.forget(id).await;
            }
        }
    }

    async fn hear(&self, notice: Notice) {
        match notice {
            Notice::Changed { id, version } => {
                let changed = Entry::changed(version, Moment::now(), self.longest_load);
                // Of its own changes, and of those that it has read already, this process knows more.
                if self.local.overtake(id, &changed) {
                    self.announce(id, &changed, Origin::Notified).await;
                }
            }
            Notice::AllChanged => {
                self.flights.forget_all();
                let now = Moment::now();
                self.local.distrust(now);
                self.cache.distrust(now);
                self.metrics.invalidations.of(Origin::Notified).inc();
            }
            Notice::Gap => {
                self.flights.forget_all();
                let now = Moment::now();
                self.local.distrust(now);
                self.cache.missed_notices(now);
            }
        }
    }
}

/// Hears what the database tells of changes, for as long as there is somebody to tell.
pub(super) async fn listen(loader: Weak<Loader>, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let Some(loader) = loader.upgrade() else {
            return;
        };
        loader.hear(notice).await;
    }
}

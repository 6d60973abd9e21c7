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
use super::load::{Loader, load_refusal};
use crate::cache::entry::{Entry, Moment};
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
            Ok(None) if *change.condition() == Condition::None => Err(ChangeRefusal::NotFound),
            Ok(None) => Err(ChangeRefusal::ConditionFailed),
            Err(ChangeError::NotMade(error)) => Err(ChangeRefusal::Refused(load_refusal(error))),
            Err(ChangeError::Unknown) => {
                self.flights.forget(&id);
                self.local.forget(id);
                self.cache.forget(id).await;
                Err(ChangeRefusal::Refused(Refusal::Unavailable))
            }
        }
    }

    async fn announce(&self, id: TemplateId, entry: &Entry, origin: Origin) {
        self.flights.forget(&id);
        self.local.keep(id, entry);
        self.cache.announce(id, entry).await;
        self.metrics.invalidations.of(origin).inc();
    }

    async fn hear(&self, notice: Notice) {
        let now = Moment::now();
        match notice {
            Notice::Changed { id, version } => {
                let changed = Entry::changed(version, now, self.longest_load());
                // Of its own changes, and of those that it has read already, this process knows more.
                if self.local.overtake(id, &changed) {
                    self.flights.forget(&id);
                    self.cache.announce(id, &changed).await;
                    self.metrics.invalidations.of(Origin::Notified).inc();
                }
            }
            Notice::AllChanged => {
                self.local.distrust(now);
                self.flights.forget_all();
                self.cache.distrust(now);
                self.metrics.invalidations.of(Origin::Notified).inc();
            }
            Notice::Gap => {
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

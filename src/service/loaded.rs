//! [`Loaded`]: what a load brought, and the answer that each of its callers gets. [`NotLoaded`]: why one gets none.

use std::time::Duration;

use super::answer::Asked;
use super::{Answer, Refusal, Timings};
use crate::freshness::{Entry, Moment};
use crate::outcomes::{ShedReason, Source};
use crate::singleflight;
use crate::store::LoadError;

/// What a load brought. The callers of a flight share it.
pub(super) struct Loaded {
    pub(super) entry: Entry,
    /// Whether it is in the cache or in the local copy now.
    pub(super) is_stored: bool,
    pub(super) by: LoadedBy,
}

/// Whose query brought it.
#[derive(Clone, Copy)]
pub(super) enum LoadedBy {
    /// This load. It took so long, the wait for a permit included.
    OwnQuery(Duration),
    /// Another replica, which this load waited for.
    OtherReplica(Duration),
    /// A load here that ended just before this one began.
    EarlierLoad,
}

impl Loaded {
    /// What a load brought without a query of its own.
    pub(super) fn without_query(by: LoadedBy, entry: Entry) -> Self {
        Self {
            entry,
            is_stored: true,
            by,
        }
    }

    /// The answer for one caller. `waited`: it followed, and waited so long.
    pub(super) fn answer(&self, asked: Asked, waited: Option<Duration>) -> Answer {
        let (own_query, wait) = match (self.by, waited) {
            (LoadedBy::OwnQuery(took), None) => (Some(took), None),
            (LoadedBy::OtherReplica(waited), None) => (None, Some(waited)),
            (LoadedBy::EarlierLoad, None) => (None, None),
            (_, Some(waited)) => (None, Some(waited)),
        };
        Answer {
            entry: self.entry.clone(),
            now: Moment::now(),
            source: match own_query {
                Some(_) => Source::Loaded,
                None => Source::Shared,
            },
            cache_answered: asked.answered,
            stored: own_query.is_some() && self.is_stored,
            timings: Timings {
                cache: asked.took,
                wait,
                database: own_query,
            },
        }
    }
}

/// Why a caller has nothing of a load.
#[derive(Debug)]
pub(super) enum NotLoaded {
    /// This caller has waited for as long as it may. The load goes on.
    LimitReached,
    /// There is nothing to wait for.
    Refused(Refusal),
}

impl From<NotLoaded> for Refusal {
    fn from(reason: NotLoaded) -> Self {
        match reason {
            NotLoaded::LimitReached => Self::Shed(ShedReason::Deadline),
            NotLoaded::Refused(refusal) => refusal,
        }
    }
}

impl From<singleflight::Error<LoadError>> for NotLoaded {
    fn from(error: singleflight::Error<LoadError>) -> Self {
        match error {
            singleflight::Error::WaitLimit => Self::LimitReached,
            error => Self::Refused(error.into()),
        }
    }
}

//! [`Loaded`]: what a load brought, and the answer that each of its callers gets.

use std::time::Duration;

use super::read::Asked;
use super::{Answer, Timings};
use crate::freshness::{Entry, Moment};
use crate::outcomes::Source;

/// What a load brought. The callers of a flight share it.
pub(super) struct Loaded {
    pub(super) entry: Entry,
    /// Whether it is in the cache or in the local copy now.
    pub(super) is_stored: bool,
    pub(super) origin: Origin,
}

/// Who made the query.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    /// This load. It took so long, the wait for a permit included.
    Query(Duration),
    /// Another replica, which this load waited for.
    OtherReplica(Duration),
    /// A load here that ended just before this one began.
    EarlierLoad,
}

impl Loaded {
    /// What a load brought without a query of its own.
    pub(super) fn by(origin: Origin, entry: Entry) -> Self {
        Self {
            entry,
            is_stored: true,
            origin,
        }
    }

    /// The answer for one caller. `waited`: it followed, and waited so long.
    pub(super) fn answer(&self, asked: Asked, waited: Option<Duration>) -> Answer {
        let (own_query, wait) = match (self.origin, waited) {
            (Origin::Query(took), None) => (Some(took), None),
            (Origin::OtherReplica(waited), None) => (None, Some(waited)),
            (Origin::EarlierLoad, None) => (None, None),
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

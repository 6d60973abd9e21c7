//! Loading a template: flight, lease, query, fill. Each function calls the next one:
//!
//! ```text
//! load
//! ├─ load_shared                                 a flight, and the next one if it brought too little (R9)
//! │  └─ join_or_start_flight                     one load for all who ask meanwhile
//! │     └─ load_here_or_from_another_replica     one load for all replicas, with FLEET_LEASE
//! │        └─ query                              the database; may its answer be stored? (R12)
//! │           └─ fill                            the local copy, then Redis (R10)
//! └─ load_alone                                  with PROTECTION=off: query, and so on
//! refresh                                        a flight behind an answer: no caller waits for it
//! ```
//!
//! A load belongs to no caller: it goes on when its callers leave. It fills Redis and the local copy before its flight
//! lands, so that a later caller finds one or the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tracing::error;

use super::answer::Asked;
use super::loaded::{Loaded, LoadedBy, NotLoaded};
use super::traced::{self, Wait};
use super::{Answer, Refusal, TemplateService};
use crate::cache::WhoLoads;
use crate::config::{Config, Protection};
use crate::freshness::{Entry, MayStore, Moment, Noted, Stored, is_enough};
use crate::metrics::{GaugeGuard, Metrics};
use crate::outcomes::{Refresh, ShedReason, Source};
use crate::singleflight::{Call as _, Group, Landing, Outcome, Part, Role};
use crate::store::{LoadError, Priority};
use crate::telemetry::traces::{SpanRef, carry, within};
use crate::template::TemplateId;

/// Most flights that one caller joins. The first may have been forgotten, and the second may have begun before this
/// replica learnt of a higher version.
const MOST_FLIGHTS: u32 = 3;

/// The group that loads share.
pub(super) fn flights(
    config: &Config,
    metrics: Arc<Metrics>,
    landed: impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static,
) -> Group<TemplateId, Loaded, LoadError> {
    Group::builder()
        .deadline(config.flight_deadline())
        .max_callers(config.max_waiters)
        .on_landing(move |landing| {
            count_landing(&metrics, landing);
            landed(landing);
        })
        .build()
}

impl TemplateService {
    /// Loads a template for a caller that waits at most this long.
    pub(super) async fn load(
        &self,
        id: TemplateId,
        asked: Asked,
        wait_limit: Duration,
    ) -> Result<Answer, NotLoaded> {
        match self.parts.protection {
            Protection::Singleflight => self.load_shared(id, asked, wait_limit).await,
            Protection::Off => self.load_alone(id, asked, wait_limit).await,
        }
    }

    /// Joins or begins a flight, and a later one if what it brought is not enough for this caller.
    async fn load_shared(
        &self,
        id: TemplateId,
        asked: Asked,
        wait_limit: Duration,
    ) -> Result<Answer, NotLoaded> {
        let (known, began) = (self.parts.copies.known_version(id), Instant::now());
        let mut flights = 1;
        loop {
            let left = wait_limit.saturating_sub(began.elapsed());
            let answer = self.join_or_start_flight(id, asked, left).await?;
            let by_own_query = answer.source == Source::Loaded;
            if is_enough(known, answer.entry.version, by_own_query) || flights == MOST_FLIGHTS {
                return Ok(answer);
            }
            flights += 1;
        }
    }

    /// Waits for the flight of a template, which this caller starts if there is none.
    async fn join_or_start_flight(
        &self,
        id: TemplateId,
        asked: Asked,
        wait_limit: Duration,
    ) -> Result<Answer, NotLoaded> {
        let service = self.clone();
        let wait = Wait::begin(&self.parts.flights, id);
        let waits = wait.as_ref().and_then(Wait::span);
        let call = self.parts.flights.report(&id, move |loading| {
            waits.inspect(SpanRef::discard);
            let span = traced::begin_load(&service.parts.traces, id, &loading);
            let load = async move {
                let _in_flight = GaugeGuard::raise(&service.parts.metrics.singleflight_in_flight);
                // A load may have landed while this caller was on its way from the cache to the flight.
                match service.parts.copies.learnt_since(id, asked.at) {
                    Some(entry) => Ok(Loaded::without_query(LoadedBy::EarlierLoad, entry)),
                    None => {
                        service
                            .load_here_or_from_another_replica(id, None, || !loading.is_current())
                            .await
                    }
                }
            };
            within(span.as_ref(), load)
        });
        let report = call.wait_limit(wait_limit).await;
        if let Some(wait) = wait {
            wait.finish(report.part.as_ref());
        }
        let waited = report.part.and_then(|part| self.count_part(&part));
        Ok(report.result?.answer(asked, waited))
    }

    /// Loads a cached template again behind its answer, unless a load of it is under way.
    pub(super) fn refresh(&self, id: TemplateId, cached: &Entry, reason: Refresh) {
        if self.parts.flights.peek(&id).is_some() {
            return;
        }
        let (service, cached) = (self.clone(), cached.clone());
        let flight = self.parts.flights.start(&id, move |loading| {
            let span = traced::begin_refresh(&service.parts.traces, id, &loading, reason);
            let load = async move {
                service.parts.metrics.refresh.of(reason).inc();
                let _in_flight = GaugeGuard::raise(&service.parts.metrics.singleflight_in_flight);
                service
                    .load_here_or_from_another_replica(id, Some(&cached), || !loading.is_current())
                    .await
            };
            within(span.as_ref(), load)
        });
        // No caller waits for it. It goes on by itself.
        drop(flight);
    }

    /// The load without a flight, for one caller.
    async fn load_alone(
        &self,
        id: TemplateId,
        asked: Asked,
        wait_limit: Duration,
    ) -> Result<Answer, NotLoaded> {
        let service = self.clone();
        let load = self.parts.tasks.spawn(carry(async move {
            // Without a flight nothing is forgotten. A result that was overtaken is refused by its version (R10).
            timeout(
                service.parts.longest_own_load,
                service.query_for_readers(id, || false),
            )
            .await
        }));
        match timeout(wait_limit, load).await {
            Ok(Ok(Ok(Ok(loaded)))) => Ok(loaded.answer(asked, None)),
            Ok(Ok(Ok(Err(error)))) => Err(NotLoaded::Refused(error.into())),
            Ok(Ok(Err(_))) => Err(NotLoaded::Refused(Refusal::Shed(ShedReason::Deadline))),
            Ok(Err(_panic)) => Err(NotLoaded::Refused(Refusal::Failed)),
            Err(_) => Err(NotLoaded::LimitReached),
        }
    }

    /// Loads a template unless another replica does (`FLEET_LEASE`). `cached` is not the news that a refresh waits for.
    async fn load_here_or_from_another_replica(
        &self,
        id: TemplateId,
        cached: Option<&Entry>,
        is_forgotten: impl Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let began = Instant::now();
        let store_if_news = |entry: &Entry| {
            cached.is_none_or(|cached| !entry.is_same_answer(cached))
                && self.parts.copies.store(id, entry) != Stored::Superseded
        };
        match self.parts.cache.who_loads(id, store_if_news).await {
            WhoLoads::Loaded(entry) => {
                let waited = LoadedBy::OtherReplica(began.elapsed());
                Ok(Loaded::without_query(waited, entry))
            }
            // The lease is held until the caches are filled.
            WhoLoads::ThisReplica(_lease) => self.query_for_readers(id, is_forgotten).await,
        }
    }

    /// As [`Self::query`], counted if it repeats an earlier one.
    async fn query_for_readers(
        &self,
        id: TemplateId,
        is_forgotten: impl Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let loaded = self.query(id, is_forgotten).await?;
        if self.parts.repeats.note(id, &loaded.entry) {
            self.parts.metrics.db_queries_repeated.inc();
        }
        Ok(loaded)
    }

    /// Queries the database, and fills the caches with the result if it may be stored.
    ///
    /// The flight's `write_back` is not used: it keeps the flight from being forgotten until the write has ended, and
    /// this one waits for Redis. A load that is forgotten after `is_forgotten` was asked is refused by its version.
    pub(super) async fn query(
        &self,
        id: TemplateId,
        is_forgotten: impl Fn() -> bool,
    ) -> Result<Loaded, LoadError> {
        let parts = &*self.parts;
        let priority = if parts.copies.may_exist(id) {
            Priority::KnownId
        } else {
            Priority::UnknownId
        };
        let (began, load) = (Instant::now(), parts.copies.begin_load());
        let state = parts.store.load(id, priority).await?;
        let took = began.elapsed();
        let entry = parts.rules.entry(state, Moment::now(), took);
        let is_stored = match parts.copies.judge_load(load, is_forgotten()) {
            MayStore::Yes => self.fill(id, &entry).await,
            MayStore::TombstoneOnly => {
                parts.metrics.stale_writes_prevented.inc();
                self.remember_version(id, entry.version).await;
                false
            }
        };
        Ok(Loaded {
            entry,
            is_stored,
            by: LoadedBy::OwnQuery(took),
        })
    }

    /// Stores an entry, and says whether it is in the cache or in the local copy now.
    async fn fill(&self, id: TemplateId, entry: &Entry) -> bool {
        let parts = &*self.parts;
        let local = parts.copies.store(id, entry);
        // Redis has the higher version too, or the task that brought that version here is telling Redis of it.
        let in_redis = match local {
            Stored::Superseded => Stored::Superseded,
            Stored::Yes | Stored::No => parts.cache.store(id, entry).await,
        };
        if in_redis == Stored::Superseded {
            parts.metrics.stale_writes_prevented.inc();
        }
        local == Stored::Yes || in_redis == Stored::Yes
    }

    /// The result must not be stored but will be shown: its version is remembered, so that nothing older follows it.
    async fn remember_version(&self, id: TemplateId, version: i64) {
        let tombstone = self.parts.rules.tombstone(version, Moment::now());
        if self.parts.copies.note(id, &tombstone) == Noted::News {
            self.parts.cache.announce(id, &tombstone).await;
        }
    }

    /// Counts a caller's part in a flight, and says how long it waited if it followed.
    fn count_part(&self, part: &Part) -> Option<Duration> {
        let metrics = &self.parts.metrics;
        if part.shared() {
            metrics.singleflight_shared.inc();
        }
        match part.role {
            Role::Leader => None,
            Role::Follower => {
                metrics.singleflight_wait.observe(part.waited.as_secs_f64());
                Some(part.waited)
            }
        }
    }
}

fn count_landing(metrics: &Metrics, landing: &Landing<'_, TemplateId>) {
    let outcome = landing.outcome;
    if outcome == Outcome::Panic {
        error!(template = %landing.key, "a load panicked");
    }
    traced::landed(landing, outcome);
    metrics.singleflight_flights.of(outcome).inc();
    metrics
        .singleflight_flight_seconds
        .of(outcome)
        .observe(landing.took.as_secs_f64());
    metrics
        .singleflight_callers
        .observe(f64::from(landing.callers));
}

#[cfg(test)]
mod tests;

//! Who makes a load: one caller for all who ask meanwhile, nobody in particular, or, with `PROTECTION=off`, each for itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::answer::Refusal;
use super::load::{Load, Loaded, Loader};
use super::outcome::{load_refusal, refusal};
use crate::freshness::entry::{Entry, Moment};
use crate::metrics::GaugeGuard;
use crate::metrics::labels::{Refresh, ShedReason};
use crate::singleflight::{Call as _, Part, Role};
use crate::template::TemplateId;

/// One that was forgotten, one that took its place, and one that has begun since.
const MOST_RIDES: u32 = 3;

impl Loader {
    /// Another's flight may have begun before what is known here came to be, and nobody is to see less than others have
    /// seen before: then the next one is taken. An own query says what there is, even if it is less, as after a database
    /// was restored.
    pub(super) async fn load_together(
        self: &Arc<Self>,
        id: TemplateId,
        asked_at: Moment,
        patience: Duration,
    ) -> Result<Load, Refusal> {
        let (known, began) = (self.local.version(id), Instant::now());
        let mut rides = 1;
        loop {
            let patience = patience.saturating_sub(began.elapsed());
            let load = self.ride(id, asked_at, patience).await?;
            let is_enough = known <= Some(load.loaded.entry.version) || load.is_own();
            if is_enough || rides == MOST_RIDES {
                return Ok(load);
            }
            rides += 1;
        }
    }

    async fn ride(
        self: &Arc<Self>,
        id: TemplateId,
        asked_at: Moment,
        patience: Duration,
    ) -> Result<Load, Refusal> {
        let loader = Arc::clone(self);
        let call = self.flights.report(&id, move |loading| async move {
            let _in_flight = GaugeGuard::raise(&loader.metrics.singleflight_in_flight);
            // A caller that was on its way from the cache to the flight while the flight landed would load again.
            match loader.local.known_since(id, asked_at) {
                Some(entry) => Ok(Loaded::already(entry)),
                None => {
                    loader
                        .load_for_fleet(id, None, || loading.is_current())
                        .await
                }
            }
        });
        let report = call.wait_limit(patience).await;
        let waited = report.part.and_then(|part| self.count_part(&part));
        let loaded = report.result.map_err(|error| refusal(&error))?;
        Ok(Load { loaded, waited })
    }

    /// Loads a cached template anew for nobody in particular, unless a load of it is under way.
    pub(super) fn refresh(self: &Arc<Self>, id: TemplateId, cached: &Entry, reason: Refresh) {
        if self.flights.peek(&id).is_some() {
            return;
        }
        let (loader, cached) = (Arc::clone(self), cached.clone());
        let flight = self.flights.start(&id, move |loading| async move {
            loader.metrics.refresh.of(reason).inc();
            let _in_flight = GaugeGuard::raise(&loader.metrics.singleflight_in_flight);
            loader
                .load_for_fleet(id, Some(&cached), || loading.is_current())
                .await
        });
        // Nobody waits for it; it goes on by itself.
        drop(flight);
    }

    /// The "before": the same load, for this caller only. It outlives its caller just the same.
    pub(super) async fn load_alone(
        self: &Arc<Self>,
        id: TemplateId,
        patience: Duration,
    ) -> Result<Load, Refusal> {
        let loader = Arc::clone(self);
        let load = tokio::spawn(async move {
            timeout(loader.flight_deadline, loader.load_from_store(id, || true)).await
        });
        match timeout(patience, load).await {
            Ok(Ok(Ok(loaded))) => {
                let loaded = Arc::new(loaded.map_err(load_refusal)?);
                Ok(Load {
                    loaded,
                    waited: None,
                })
            }
            Ok(Err(_panic)) => Err(Refusal::Failed),
            Ok(Ok(Err(_))) | Err(_) => Err(Refusal::Shed(ShedReason::Deadline)),
        }
    }

    /// Counts a caller's part in a flight, and says how long it waited if the load was another's.
    fn count_part(&self, part: &Part) -> Option<Duration> {
        if part.shared() {
            self.metrics.singleflight_shared.inc();
        }
        if part.role == Role::Leader {
            return None;
        }
        self.metrics
            .singleflight_wait
            .observe(part.waited.as_secs_f64());
        Some(part.waited)
    }
}

//! [`FlightLog`]: what is loading now, and the flights that landed last.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::milliseconds;
use crate::service::TemplateService;
use crate::singleflight::{Generation, Landing, Outcome};
use crate::template::TemplateId;

/// The services whose flights are looked at, and what they have landed.
#[derive(Default)]
pub(super) struct FlightLog {
    services: Mutex<Vec<Watched>>,
    landed: Mutex<VecDeque<Landed>>,
}

/// A service whose flights are looked at for as long as its `Sight` is held.
type Watched = (Weak<Sight>, &'static str, TemplateService);

/// For as long as it is held, a service's flights are looked at.
pub(super) struct Sight;

/// A flight that has landed.
struct Landed {
    by: &'static str,
    template: TemplateId,
    outcome: Outcome,
    callers: u32,
    took: Duration,
    generation: Generation,
    at: Instant,
}

/// What is loading now, and what landed last, the newest first.
#[derive(Serialize)]
pub(super) struct Flights {
    in_flight: Vec<InFlightView>,
    landed: Vec<LandedView>,
}

#[derive(Serialize)]
struct InFlightView {
    by: &'static str,
    template: TemplateId,
    age_ms: f64,
    callers: u32,
    generation: u64,
    current: bool,
}

#[derive(Serialize)]
struct LandedView {
    by: &'static str,
    template: TemplateId,
    outcome: &'static str,
    callers: u32,
    took_ms: f64,
    generation: u64,
    ago_ms: f64,
}

const MOST_LANDED: usize = 50;

impl FlightLog {
    /// Notes what a service lands, for as long as the log itself is there.
    pub(super) fn hook(
        self: &Arc<Self>,
        by: &'static str,
    ) -> impl Fn(&Landing<'_, TemplateId>) + Send + Sync + 'static + use<> {
        let log: Weak<Self> = Arc::downgrade(self);
        move |landing| {
            if let Some(log) = log.upgrade() {
                log.note(by, landing);
            }
        }
    }

    fn note(&self, by: &'static str, landing: &Landing<'_, TemplateId>) {
        let landed = Landed {
            by,
            template: *landing.key,
            outcome: landing.outcome,
            callers: landing.callers,
            took: landing.took,
            generation: landing.generation,
            at: Instant::now(),
        };
        let mut log = self.landed.lock();
        log.truncate(MOST_LANDED - 1);
        log.push_front(landed);
    }

    /// Looks at this service's flights too, for as long as the answer is held.
    pub(super) fn look_at(&self, by: &'static str, service: TemplateService) -> Arc<Sight> {
        let sight = Arc::new(Sight);
        let mut services = self.services.lock();
        services.push((Arc::downgrade(&sight), by, service));
        sight
    }

    /// Lets go of the services that are no longer looked at.
    pub(super) fn look_away(&self) {
        self.services
            .lock()
            .retain(|(sight, ..)| sight.strong_count() > 0);
    }

    /// What there is to see now.
    pub(super) fn view(&self) -> Flights {
        self.look_away();
        let services = self.services.lock().clone();
        let in_flight = services.iter().flat_map(|(_, by, service)| {
            service.flights().into_iter().map(|flight| InFlightView {
                by,
                template: flight.key,
                age_ms: milliseconds(flight.age),
                callers: flight.callers,
                generation: flight.generation.0,
                current: flight.current,
            })
        });
        Flights {
            in_flight: in_flight.collect(),
            landed: self.landed.lock().iter().map(Landed::view).collect(),
        }
    }
}

impl Landed {
    fn view(&self) -> LandedView {
        LandedView {
            by: self.by,
            template: self.template,
            outcome: match self.outcome {
                Outcome::Ok => "ok",
                Outcome::Error => "error",
                Outcome::Panic => "panic",
                Outcome::Timeout => "timeout",
                Outcome::Aborted => "aborted",
            },
            callers: self.callers,
            took_ms: milliseconds(self.took),
            generation: self.generation.0,
            ago_ms: milliseconds(self.at.elapsed()),
        }
    }
}

//! [`Part`]: the settings of each part of the incident. From one part to the next, one setting differs.

use std::time::Duration;

use crate::config::Config;
use crate::lab::arrivals::TEMPLATES;
use crate::lab::plan::IncidentPlan;
use crate::lab::strategy::Strategy;

/// How much protection there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Unprotected,
    Singleflight,
    Everything,
}

impl Part {
    /// In the order in which they are played.
    pub(super) const ALL: [Self; 3] = [Self::Unprotected, Self::Singleflight, Self::Everything];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Singleflight => "singleflight",
            Self::Everything => "everything",
        }
    }

    pub(super) fn strategy(self) -> Strategy {
        match self {
            Self::Unprotected => Strategy::Off,
            Self::Singleflight | Self::Everything => Strategy::Singleflight,
        }
    }

    /// The service's own settings but for what the plan asks for, and the protection.
    pub(super) fn config(self, own: &Config, plan: IncidentPlan) -> Config {
        let query_time = Duration::from_millis(plan.query_time_ms);
        let local_entries = match self {
            Self::Unprotected | Self::Singleflight => 0,
            Self::Everything => own.local_entries.max(TEMPLATES as usize),
        };
        Config {
            protection: self.strategy().protection(),
            local_entries,
            // Without copies in the process it changes nothing, so that it need not differ.
            stale_for: own.stale_for.max(Duration::from_secs(60)),
            early_refresh: None,
            fleet_lease: false,
            stale_while_revalidate: Duration::ZERO,
            cache_ttl: Duration::from_millis(plan.ttl_ms),
            db_delay: query_time,
            db_timeout: own.db_timeout + query_time,
            request_timeout: own.request_timeout + query_time,
            ..own.clone()
        }
    }
}

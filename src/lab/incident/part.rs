//! [`Part`]: the settings without protection, and with it.

use std::time::Duration;

use crate::config::{Config, Protection};
use crate::lab::arrivals::TEMPLATES;
use crate::lab::plan::IncidentPlan;
use crate::lab::strategy::Strategy;

/// Without protection, and with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Unprotected,
    Protected,
}

impl Part {
    /// In the order in which they are played.
    pub(super) const ALL: [Self; 2] = [Self::Unprotected, Self::Protected];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Protected => "protected",
        }
    }

    pub(super) fn strategy(self) -> Strategy {
        match self {
            Self::Unprotected => Strategy::Off,
            Self::Protected => Strategy::Singleflight,
        }
    }

    /// The service's own settings but for what the plan asks for, and the protection.
    pub(super) fn config(self, own: &Config, plan: IncidentPlan) -> Config {
        let query_time = Duration::from_millis(plan.query_time_ms);
        let common = Config {
            early_refresh: None,
            fleet_lease: false,
            stale_while_revalidate: Duration::ZERO,
            cache_ttl: Duration::from_millis(plan.ttl_ms),
            db_delay: query_time,
            db_timeout: own.db_timeout + query_time,
            request_timeout: own.request_timeout + query_time,
            ..own.clone()
        };
        match self {
            Self::Unprotected => Config {
                protection: Protection::Off,
                local_entries: 0,
                stale_for: Duration::ZERO,
                ..common
            },
            Self::Protected => Config {
                protection: Protection::Singleflight,
                local_entries: common.local_entries.max(TEMPLATES as usize),
                stale_for: common.stale_for.max(Duration::from_secs(60)),
                ..common
            },
        }
    }
}

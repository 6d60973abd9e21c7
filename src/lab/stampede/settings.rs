//! The settings with which a strategy performs.

use std::time::Duration;

use super::PATIENCE;
use crate::config::Config;
use crate::lab::plan::{DatabaseLimits, Load, StampedePlan};
use crate::lab::stage::Ground;
use crate::lab::strategy::Strategy;

/// As many slots as a stampede may take if the service's own limit does not hold: each is a thread of the embedded
/// database.
const MOST_SLOTS: usize = 256;

/// The service's own settings but for what the plan and the strategy ask for.
pub(super) fn config(ground: &Ground, plan: &StampedePlan, strategy: Strategy) -> Config {
    let own = &ground.config;
    let mut config = Config {
        protection: strategy.protection(),
        early_refresh: None,
        fleet_lease: false,
        stale_while_revalidate: Duration::ZERO,
        // A copy that answers when nothing else can would hide what a strategy asks of the database.
        stale_for: Duration::ZERO,
        local_entries: 0,
        // How often the template expires is what queries are compared with.
        cache_ttl_jitter: 0.0,
        db_delay: plan.query_time(),
        // What is added to a query is added to its time.
        db_timeout: own.db_timeout + plan.query_time(),
        request_timeout: own.request_timeout + plan.query_time(),
        ..own.clone()
    };
    match strategy {
        Strategy::Early => config.early_refresh = Some(1.0),
        Strategy::Stale => config.stale_while_revalidate = Duration::from_secs(10),
        Strategy::Off
        | Strategy::LoadOrStore
        | Strategy::Mutex
        | Strategy::Singleflight
        | Strategy::Memoized => {}
    }
    if let Load::Sustained { ttl_ms, .. } = plan.load {
        config.cache_ttl = Duration::from_millis(ttl_ms);
    }
    if plan.limits == DatabaseLimits::Lifted {
        if ground.backends.database_kind() == "embedded" {
            config.db_max_connections = (plan.requests() as usize).clamp(1, MOST_SLOTS);
        }
        config.db_queue_timeout = PATIENCE;
        config.request_timeout = 3 * PATIENCE;
        config.max_waiters = u32::MAX;
    }
    config
}

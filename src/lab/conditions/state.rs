//! [`InjectedState`]: the traffic and the faults that there can be, and what is injected for each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backends::Faults;
use crate::fault::Fault;
use crate::lab::limits::LIMITS;

/// The traffic and the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::lab) struct InjectedState {
    pub(super) traffic_per_second: u64,
    cache: CacheState,
    cache_slow_ms: u64,
    database: DatabaseState,
    database_slow_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::lab) enum CacheState {
    Ok,
    Slow,
    Refused,
    BlackHoled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::lab) enum DatabaseState {
    Ok,
    Slow,
    Down,
}

/// Conditions as they are asked for: what is left out stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct ConditionsOrder {
    pub(super) traffic_per_second: Option<u64>,
    pub(super) cache: Option<CacheState>,
    pub(super) cache_slow_ms: Option<u64>,
    pub(super) database: Option<DatabaseState>,
    pub(super) database_slow_ms: Option<u64>,
}

/// No faults and no traffic.
pub(super) const ALL_WELL: InjectedState = InjectedState {
    traffic_per_second: 0,
    cache: CacheState::Ok,
    cache_slow_ms: 20,
    database: DatabaseState::Ok,
    database_slow_ms: 500,
};

impl ConditionsOrder {
    pub(super) fn onto(&self, now: InjectedState) -> Result<InjectedState, &'static str> {
        let slow = |asked, now| LIMITS.slow_ms.check(asked, now);
        Ok(InjectedState {
            traffic_per_second: LIMITS
                .traffic_per_second
                .check(self.traffic_per_second, now.traffic_per_second)?,
            cache: self.cache.unwrap_or(now.cache),
            cache_slow_ms: slow(self.cache_slow_ms, now.cache_slow_ms)?,
            database: self.database.unwrap_or(now.database),
            database_slow_ms: slow(self.database_slow_ms, now.database_slow_ms)?,
        })
    }
}

impl InjectedState {
    /// Whether there is anything to clear.
    pub(super) fn is_anything_set(self) -> bool {
        self.traffic_per_second > 0
            || self.cache != CacheState::Ok
            || self.database != DatabaseState::Ok
    }

    /// Sets and clears the faults accordingly.
    pub(super) fn apply_to(self, faults: &Faults) {
        let slow = |by| Fault::Slow(Duration::from_millis(by));
        faults.cache.set(match self.cache {
            CacheState::Ok => Fault::None,
            CacheState::Slow => slow(self.cache_slow_ms),
            CacheState::Refused => Fault::Refused,
            CacheState::BlackHoled => Fault::BlackHoled,
        });
        faults.database.set(match self.database {
            DatabaseState::Ok => Fault::None,
            DatabaseState::Slow => slow(self.database_slow_ms),
            DatabaseState::Down => Fault::Refused,
        });
    }

    /// What that means, in a sentence for each fault.
    pub(super) fn injected(self) -> Vec<&'static str> {
        let cache = match self.cache {
            CacheState::Ok => None,
            CacheState::Slow => {
                Some("every command to the cache is held back for cache_slow_ms before it is sent")
            }
            CacheState::Refused => {
                Some("every command to the cache breaks its connection, and every dial is refused")
            }
            CacheState::BlackHoled => {
                Some("every command to the cache, and every dial, is held back and never answered")
            }
        };
        let database = match self.database {
            DatabaseState::Ok => None,
            DatabaseState::Slow => Some("every query takes database_slow_ms longer, its slot held"),
            DatabaseState::Down => Some(
                "every query breaks its connection before it is sent, and every dial is refused",
            ),
        };
        cache.into_iter().chain(database).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_and_a_limit_is_a_limit() {
        let order = |traffic| ConditionsOrder {
            traffic_per_second: Some(traffic),
            ..ConditionsOrder::default()
        };
        let down = InjectedState {
            database: DatabaseState::Down,
            ..ALL_WELL
        };
        assert_eq!(
            order(2_000).onto(down),
            Ok(InjectedState {
                traffic_per_second: 2_000,
                ..down
            })
        );
        assert!(order(2_001).onto(down).is_err());
    }
}

//! [`Conditions`]: the background traffic and the faults of the service itself, and that they do not outlast their page.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::limits::LIMITS;
use super::milliseconds;
use crate::backends::Faults;
use crate::fault::Fault;

/// What is the matter, and since when.
pub(super) struct Conditions {
    faults: Faults,
    set: Mutex<Set>,
    changed: Notify,
}

struct Set {
    weather: Weather,
    by: Option<Setter>,
}

/// The page that set them.
struct Setter {
    page: String,
    set_at: Instant,
    seen_at: Instant,
}

/// The traffic and the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Weather {
    traffic_per_second: u64,
    cache: CacheState,
    cache_slow_ms: u64,
    database: DatabaseState,
    database_slow_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CacheState {
    Ok,
    Slow,
    Refused,
    BlackHoled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DatabaseState {
    Ok,
    Slow,
    Down,
}

/// Conditions as they are asked for: what is left out stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forecast {
    traffic_per_second: Option<u64>,
    cache: Option<CacheState>,
    cache_slow_ms: Option<u64>,
    database: Option<DatabaseState>,
    database_slow_ms: Option<u64>,
}

/// The conditions as they are shown.
#[derive(Serialize)]
pub(super) struct View {
    #[serde(flatten)]
    weather: Weather,
    injected: Vec<&'static str>,
    mine: bool,
    clears_in_ms: Option<f64>,
}

const FAIR: Weather = Weather {
    traffic_per_second: 0,
    cache: CacheState::Ok,
    cache_slow_ms: 20,
    database: DatabaseState::Ok,
    database_slow_ms: 500,
};

/// Conditions last no longer than this, whatever their page does.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// A page that was not heard of for so long has gone away.
const SILENCE: Duration = Duration::from_secs(10);

impl Conditions {
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            faults,
            set: Mutex::new(Set {
                weather: FAIR,
                by: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Makes them what this page asks for.
    pub(super) fn set(&self, page: &str, forecast: &Forecast) -> Result<(), &'static str> {
        let mut set = self.set.lock();
        set.weather = forecast.onto(set.weather)?;
        let now = Instant::now();
        set.by = set.weather.is_rough().then(|| Setter {
            page: page.to_owned(),
            set_at: now,
            seen_at: now,
        });
        self.apply(set.weather);
        Ok(())
    }

    /// This page is still there.
    pub(super) fn seen(&self, page: &str) {
        let mut set = self.set.lock();
        if let Some(setter) = set.by.as_mut().filter(|setter| setter.page == page) {
            setter.seen_at = Instant::now();
        }
    }

    /// Ends all faults and the traffic.
    pub(super) fn clear(&self) {
        let mut set = self.set.lock();
        *set = Set {
            weather: FAIR,
            by: None,
        };
        self.apply(FAIR);
    }

    pub(super) fn traffic_per_second(&self) -> u64 {
        self.set.lock().weather.traffic_per_second
    }

    /// Completes when they are changed after this.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn view(&self, page: Option<&str>) -> View {
        let set = self.set.lock();
        let ends_at = set.by.as_ref().map(Setter::ends_at);
        let setter = set.by.as_ref().map(|setter| setter.page.as_str());
        View {
            weather: set.weather,
            injected: set.weather.injected(),
            mine: setter.is_some() && setter == page,
            clears_in_ms: ends_at
                .map(|at| milliseconds(at.saturating_duration_since(Instant::now()))),
        }
    }

    fn apply(&self, weather: Weather) {
        let slow = |by| Fault::Slow(Duration::from_millis(by));
        self.faults.cache.set(match weather.cache {
            CacheState::Ok => Fault::None,
            CacheState::Slow => slow(weather.cache_slow_ms),
            CacheState::Refused => Fault::Refused,
            CacheState::BlackHoled => Fault::BlackHoled,
        });
        self.faults.database.set(match weather.database {
            DatabaseState::Ok => Fault::None,
            DatabaseState::Slow => slow(weather.database_slow_ms),
            DatabaseState::Down => Fault::Refused,
        });
        self.changed.notify_waiters();
    }

    /// When they end, as far as can be said now; ends those that are over.
    fn look(&self) -> Option<Instant> {
        let ends_at = self.set.lock().by.as_ref().map(Setter::ends_at)?;
        if ends_at > Instant::now() {
            return Some(ends_at);
        }
        info!("the lab's faults and traffic end: their page has gone, or their time is over");
        self.clear();
        None
    }
}

/// Ends conditions whose time has come, for as long as the lab is there.
pub(super) async fn keep(conditions: Arc<Conditions>) {
    loop {
        let changed = conditions.changed.notified();
        match conditions.look() {
            Some(ends_at) => tokio::select! {
                () = changed => {}
                () = sleep_until(ends_at) => {}
            },
            None => changed.await,
        }
    }
}

impl Setter {
    fn ends_at(&self) -> Instant {
        (self.set_at + LONGEST).min(self.seen_at + SILENCE)
    }
}

impl Forecast {
    fn onto(&self, now: Weather) -> Result<Weather, &'static str> {
        let slow = |asked, now| LIMITS.slow_ms.check(asked, now);
        Ok(Weather {
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

impl Weather {
    /// Whether there is anything to clear.
    fn is_rough(self) -> bool {
        self.traffic_per_second > 0
            || self.cache != CacheState::Ok
            || self.database != DatabaseState::Ok
    }

    fn injected(self) -> Vec<&'static str> {
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
    use tokio::time::{advance, sleep};

    async fn black_holed() -> (Arc<Conditions>, Faults) {
        let faults = Faults::new();
        let conditions = Arc::new(Conditions::new(faults.clone()));
        tokio::spawn(keep(Arc::clone(&conditions)));
        tokio::task::yield_now().await;
        let forecast = Forecast {
            cache: Some(CacheState::BlackHoled),
            traffic_per_second: Some(100),
            ..Forecast::default()
        };
        conditions.set("page", &forecast).unwrap();
        assert_eq!(faults.cache.fault(), Fault::BlackHoled);
        (conditions, faults)
    }

    fn is_over(conditions: &Conditions, faults: &Faults) -> bool {
        faults.cache.fault() == Fault::None && conditions.traffic_per_second() == 0
    }

    #[tokio::test(start_paused = true)]
    async fn they_end_when_the_page_that_set_them_goes_away() {
        let (conditions, faults) = black_holed().await;
        for _ in 0..9 {
            sleep(Duration::from_secs(9)).await;
            conditions.seen("page");
        }
        assert!(!is_over(&conditions, &faults));
        sleep(Duration::from_secs(9)).await;
        conditions.seen("another page");
        sleep(Duration::from_secs(2)).await;
        assert!(is_over(&conditions, &faults));
    }

    #[tokio::test(start_paused = true)]
    async fn they_end_after_ten_minutes_whatever_the_page_does() {
        let (conditions, faults) = black_holed().await;
        let began = Instant::now();
        while !is_over(&conditions, &faults) {
            conditions.seen("page");
            advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        let lasted = began.elapsed();
        assert!(
            (LONGEST..LONGEST + Duration::from_secs(5)).contains(&lasted),
            "{lasted:?}"
        );
    }

    #[test]
    fn what_is_not_named_stays_and_a_limit_is_a_limit() {
        let forecast = |traffic| Forecast {
            traffic_per_second: Some(traffic),
            ..Forecast::default()
        };
        let rough = Weather {
            database: DatabaseState::Down,
            ..FAIR
        };
        assert_eq!(
            forecast(2_000).onto(rough),
            Ok(Weather {
                traffic_per_second: 2_000,
                ..rough
            })
        );
        assert!(forecast(2_001).onto(rough).is_err());
    }
}

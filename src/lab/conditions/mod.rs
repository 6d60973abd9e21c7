//! [`Conditions`]: the background traffic and the faults of the service itself, and that they do not outlast their page.

mod state;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::milliseconds;
use crate::backends::Faults;
pub(super) use state::ConditionsOrder;
use state::{ALL_WELL, InjectedState};

/// What is the matter, and since when.
pub(super) struct Conditions {
    faults: Faults,
    set: Mutex<Set>,
    changed: Notify,
}

struct Set {
    state: InjectedState,
    by: Option<Setter>,
}

/// The page that set them.
struct Setter {
    page: String,
    set_at: Instant,
    seen_at: Instant,
}

/// The conditions as they are shown.
#[derive(Serialize)]
pub(super) struct View {
    #[serde(flatten)]
    state: InjectedState,
    injected: Vec<&'static str>,
    mine: bool,
    clears_in_ms: Option<f64>,
}

/// Longest that conditions last, also while their page stays open.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// A page that was not heard of for so long has gone away.
const SILENCE: Duration = Duration::from_secs(10);

impl Conditions {
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            faults,
            set: Mutex::new(Set {
                state: ALL_WELL,
                by: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Makes them what this page asks for.
    pub(super) fn set(&self, page: &str, order: &ConditionsOrder) -> Result<(), &'static str> {
        let mut set = self.set.lock();
        set.state = order.onto(set.state)?;
        let now = Instant::now();
        set.by = set.state.is_anything_set().then(|| Setter {
            page: page.to_owned(),
            set_at: now,
            seen_at: now,
        });
        self.apply(set.state);
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
            state: ALL_WELL,
            by: None,
        };
        self.apply(ALL_WELL);
    }

    pub(super) fn traffic_per_second(&self) -> u64 {
        self.set.lock().state.traffic_per_second
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
            state: set.state,
            injected: set.state.injected(),
            mine: setter.is_some() && setter == page,
            clears_in_ms: ends_at
                .map(|at| milliseconds(at.saturating_duration_since(Instant::now()))),
        }
    }

    fn apply(&self, state: InjectedState) {
        state.apply_to(&self.faults);
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

#[cfg(test)]
mod tests {
    use super::state::CacheState;
    use super::*;
    use crate::fault::Fault;
    use tokio::time::{advance, sleep};

    async fn black_holed() -> (Arc<Conditions>, Faults) {
        let faults = Faults::new();
        let conditions = Arc::new(Conditions::new(faults.clone()));
        tokio::spawn(keep(Arc::clone(&conditions)));
        tokio::task::yield_now().await;
        let order = ConditionsOrder {
            cache: Some(CacheState::BlackHoled),
            traffic_per_second: Some(100),
            ..ConditionsOrder::default()
        };
        conditions.set("page", &order).unwrap();
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
}

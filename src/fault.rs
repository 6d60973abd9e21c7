//! [`Switch`]: where the lab makes a backend fail.
//!
//! It stands at the one place where a command or a query is sent, and where a connection is dialled. All that is above
//! that place (deadlines, time-outs in a row, dropped connections, redials, slots, copies) does what it does in earnest.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// What is the matter with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each answer takes this much longer.
    Slow(Duration),
    /// It refuses connections, and those that there are break.
    Refused,
    /// It never answers.
    BlackHoled,
}

/// What is sent breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Whether there is a fault. Clones share it; the default one can have none.
#[derive(Clone, Debug, Default)]
pub struct Switch(Option<Arc<Position>>);

#[derive(Debug, Default)]
struct Position {
    fault: AtomicU64,
    changed: Notify,
}

const REFUSED: u64 = 1;
const BLACK_HOLED: u64 = 2;
/// From here on: slower by so many milliseconds.
const SLOW: u64 = 3;

impl Switch {
    /// A switch that can be set.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether it can be set at all.
    pub fn exists(&self) -> bool {
        self.0.is_some()
    }

    /// From now on this is the matter.
    pub fn set(&self, fault: Fault) {
        let state = match fault {
            Fault::None => 0,
            Fault::Refused => REFUSED,
            Fault::BlackHoled => BLACK_HOLED,
            Fault::Slow(by) => {
                SLOW.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
            }
        };
        if let Some(switch) = &self.0 {
            switch.fault.store(state, Ordering::Relaxed);
            switch.changed.notify_waiters();
        }
    }

    /// What the matter is.
    pub fn fault(&self) -> Fault {
        let state = self.0.as_ref();
        match state.map(|state| state.fault.load(Ordering::Relaxed)) {
            None | Some(0) => Fault::None,
            Some(REFUSED) => Fault::Refused,
            Some(BLACK_HOLED) => Fault::BlackHoled,
            Some(slow) => Fault::Slow(Duration::from_millis(slow - SLOW)),
        }
    }

    /// Lets something be sent, sooner or later or never. The caller bounds the wait.
    pub async fn pass(&self) -> Result<(), Broken> {
        match self.fault() {
            Fault::None => Ok(()),
            Fault::Slow(by) => {
                sleep(by).await;
                Ok(())
            }
            Fault::Refused => Err(Broken),
            Fault::BlackHoled => pending().await,
        }
    }

    /// Completes when connections break, so that calls in flight can stop waiting for their answers.
    pub async fn breaks(&self) {
        let Some(switch) = &self.0 else {
            return pending().await;
        };
        loop {
            let changed = switch.changed.notified();
            if self.fault() == Fault::Refused {
                return;
            }
            changed.await;
        }
    }

    /// As [`Switch::pass`] for what does not wait for an answer: a slow backend is no slower at it.
    pub fn check(&self) -> Result<(), Broken> {
        match self.fault() {
            Fault::None | Fault::Slow(_) => Ok(()),
            Fault::Refused | Fault::BlackHoled => Err(Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_says_what_it_was_set_to_and_the_default_one_nothing() {
        let switch = Switch::new();
        for fault in [
            Fault::Refused,
            Fault::BlackHoled,
            Fault::Slow(Duration::ZERO),
            Fault::Slow(Duration::from_millis(20)),
            Fault::None,
        ] {
            switch.set(fault);
            assert_eq!(switch.clone().fault(), fault);
        }
        let none = Switch::default();
        none.set(Fault::Refused);
        assert_eq!((none.fault(), none.exists()), (Fault::None, false));
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_hears_that_connections_break() {
        let switch = Switch::new();
        let (heard, ()) = tokio::join!(switch.breaks(), async {
            tokio::task::yield_now().await;
            switch.set(Fault::BlackHoled);
            tokio::task::yield_now().await;
            switch.set(Fault::Refused);
        });
        assert_eq!((heard, switch.fault()), ((), Fault::Refused));
    }
}

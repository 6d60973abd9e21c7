//! [`Wire`]: the way to the cache inside the process, where the lab can make it fail as the way to Redis does.
//!
//! It keeps the promises of [`super::slot`]: a deadline for each call, given up after three time-outs in a row, and then
//! no call waits for it until one background task has found it well again. What a change announces gets through in any
//! case: there is no other process that could have missed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::keeper::Pause;
use super::silence::Silence;
use super::slot::Failure;
use crate::fault::{Broken, Fault, Switch};
use crate::metrics::Metrics;
use crate::metrics::labels::Operation;

/// A way that can be given up, and is found again in the background.
#[derive(Clone)]
pub(super) struct Wire {
    shared: Arc<Shared>,
}

struct Shared {
    faults: Switch,
    timeout: Duration,
    up: AtomicBool,
    silence: Silence,
    /// Whether there is a silence to be broken.
    silent: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Longest wait for a way that is tried again.
const DIAL_TIMEOUT: Duration = Duration::from_millis(250);

impl Wire {
    pub(super) fn new(faults: Switch, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        let shared = Shared {
            faults,
            timeout,
            up: AtomicBool::new(true),
            silence: Silence::default(),
            silent: AtomicBool::new(false),
            metrics,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Relaxed)
    }

    /// Whether a call gets through; counted if it does not.
    pub(super) async fn lets_through(&self, operation: Operation) -> bool {
        let Err(failure) = self.pass().await else {
            return true;
        };
        let reason = failure.reason();
        self.shared
            .metrics
            .cache_errors
            .of((operation, reason))
            .inc();
        false
    }

    /// Waits for the way to let something through, at most its time-out.
    async fn pass(&self) -> Result<(), Failure> {
        if !self.is_up() {
            return Err(Failure::Unavailable);
        }
        let Shared {
            faults,
            timeout: longest,
            silence,
            silent,
            ..
        } = &*self.shared;
        // Where nothing is the matter, as nearly always, there is nothing to be timed and nothing to be written.
        if faults.fault() == Fault::None && !silent.load(Ordering::Relaxed) {
            return Ok(());
        }
        let began = Instant::now();
        match timeout(*longest, faults.pass()).await {
            Ok(Ok(())) => {
                silence.broken();
                silent.store(false, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(Broken)) => {
                self.give_up("its connection broke");
                Err(Failure::Unavailable)
            }
            Err(_) => {
                silent.store(true, Ordering::Relaxed);
                if silence.goes_on_since(began) {
                    self.give_up("it does not answer in time");
                }
                Err(Failure::Timeout)
            }
        }
    }

    fn give_up(&self, reason: &str) {
        if self.shared.up.swap(false, Ordering::Relaxed) {
            self.shared.metrics.cache_up.set(0);
            warn!(
                reason,
                "the embedded cache is lost: answers come from the local copy and the database"
            );
            tokio::spawn(find_again(self.clone()));
        }
    }
}

async fn find_again(wire: Wire) {
    let mut pause = Pause::default();
    loop {
        sleep(pause.next()).await;
        if let Ok(Ok(())) = timeout(DIAL_TIMEOUT, wire.shared.faults.pass()).await {
            wire.shared.silence.broken();
            wire.shared.metrics.cache_up.set(1);
            wire.shared.up.store(true, Ordering::Relaxed);
            info!("the embedded cache is there");
            return;
        }
        // Nobody is left who could ask.
        if Arc::strong_count(&wire.shared) == 1 {
            return;
        }
    }
}

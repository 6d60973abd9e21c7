//! [`FaultGate`]: makes the embedded cache fail as Redis does, when the lab sets a fault.
//!
//! A call has a time-out, the breaker opens after three in a row, and then one background task finds out when the cache
//! is well again. Invalidations do not pass the gate: no other process could have missed them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::breaker::{Backoff, Breaker, Verdict};
use crate::fault::{Broken, Fault, Switch};
use crate::metrics::Metrics;
use crate::outcomes::{Operation, Reason};

/// Lets calls through, or fails them. Cheap to clone.
#[derive(Clone)]
pub(super) struct FaultGate(Arc<SharedGate>);

struct SharedGate {
    faults: Switch,
    timeout: Duration,
    is_up: AtomicBool,
    breaker: Breaker,
    metrics: Arc<Metrics>,
}

/// Longest that one attempt to find it well again takes.
const ATTEMPT: Duration = Duration::from_millis(250);

impl FaultGate {
    pub(super) fn new(faults: Switch, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(SharedGate {
            faults,
            timeout,
            is_up: AtomicBool::new(true),
            breaker: Breaker::default(),
            metrics,
        }))
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.is_up.load(Ordering::Relaxed)
    }

    /// Whether a call gets through. A failure is counted.
    pub(super) async fn lets_through(&self, operation: Operation) -> bool {
        let Err(reason) = self.pass().await else {
            return true;
        };
        self.0.metrics.cache_errors.of((operation, reason)).inc();
        false
    }

    async fn pass(&self) -> Result<(), Reason> {
        let SharedGate {
            faults,
            timeout: longest,
            breaker,
            ..
        } = &*self.0;
        if !self.is_up() {
            return Err(Reason::Unavailable);
        }
        // Without a fault there is nothing to time and nothing to record.
        if faults.fault() == Fault::None && breaker.has_answered() {
            return Ok(());
        }
        let began = Instant::now();
        match timeout(*longest, faults.pass()).await {
            Ok(Ok(())) => {
                breaker.record_answer();
                Ok(())
            }
            Ok(Err(Broken)) => {
                self.give_up("its connection broke");
                Err(Reason::Unavailable)
            }
            Err(_) => {
                if breaker.record_timeout(began) == Verdict::GiveUp {
                    self.give_up("it does not answer in time");
                }
                Err(Reason::Timeout)
            }
        }
    }

    fn give_up(&self, reason: &str) {
        if self.0.is_up.swap(false, Ordering::Relaxed) {
            self.0.metrics.cache_up.set(0);
            warn!(
                reason,
                "the embedded cache is lost: answers come from the local copy and the database"
            );
            tokio::spawn(find_again(self.clone()));
        }
    }
}

async fn find_again(gate: FaultGate) {
    let shared = &*gate.0;
    let mut backoff = Backoff::default();
    loop {
        sleep(backoff.next()).await;
        if let Ok(Ok(())) = timeout(ATTEMPT, shared.faults.pass()).await {
            shared.breaker.record_answer();
            shared.metrics.cache_up.set(1);
            shared.is_up.store(true, Ordering::Relaxed);
            info!("the embedded cache is there");
            return;
        }
        // The cache is gone, and only this task is left.
        if Arc::strong_count(&gate.0) == 1 {
            return;
        }
    }
}

//! [`Turns`]: waiting for another replica's load instead of making one.
//!
//! Who does not get the lease waits until its holder gives it back, which it hears of on a connection of its own. While
//! that connection is away, or if the holder died, asking again now and then finds out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use super::lease::{GIVEN_BACK, Turn, claim, look, token};
use super::server::Server;
use super::slot::Slot;
use crate::freshness::Entry;
use crate::metrics::Metrics;
use crate::metrics::labels::{LeaseOutcome, Operation};
use crate::template::TemplateId;

/// Agrees with the other replicas on who loads.
#[derive(Debug)]
pub(super) struct Turns {
    slot: Arc<Slot>,
    token: Arc<str>,
    patience: Duration,
    waiting: Arc<Waiting>,
    listener: AbortHandle,
    metrics: Arc<Metrics>,
}

/// Shortest and longest pause before Redis is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(100));

impl Turns {
    /// Listens to the others from now on. Nobody is waited for longer than `patience`.
    pub(super) fn listen(
        server: Server,
        slot: Arc<Slot>,
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let waiting = Arc::new(Waiting::default());
        let listener = tokio::spawn(listen(server, Arc::clone(&waiting))).abort_handle();
        Self {
            slot,
            token: token(),
            patience,
            waiting,
            listener,
            metrics,
        }
    }

    /// Waits until it is this process's turn to load, or until something that `usable` accepts is cached.
    pub(super) async fn take<E>(
        &self,
        id: TemplateId,
        usable: impl Fn(Entry) -> Option<E>,
    ) -> Turn<E> {
        let (outcome, turn) = self.agree(id, usable).await;
        self.metrics.leases.of(outcome).inc();
        turn
    }

    async fn agree<E>(
        &self,
        id: TemplateId,
        usable: impl Fn(Entry) -> Option<E>,
    ) -> (LeaseOutcome, Turn<E>) {
        let give_up = Instant::now() + self.patience;
        let watch = self.waiting.watch(id);
        let mut pause = PAUSES.0;
        let mut has_waited = false;
        loop {
            // Begins to listen before it asks, so that nothing is given back unheard in between.
            let mut given_back = std::pin::pin!(watch.notify.notified());
            given_back.as_mut().enable();
            // A lease that was given back has mostly done what it was for, and need not be taken again.
            if has_waited
                && let Ok(Some(cached)) = look(&self.slot, id).await
                && let Some(entry) = usable(cached)
            {
                return (LeaseOutcome::Waited, Turn::Theirs(entry));
            }
            // One call past the patience is what a flight has time for.
            if Instant::now() >= give_up && has_waited {
                return (LeaseOutcome::Expired, Turn::Ours(None));
            }
            let claimed = match claim(&self.slot, id, &self.token).await {
                Ok(claimed) => claimed,
                Err(failure) => {
                    let reason = failure.reason();
                    self.metrics.cache_errors.of((Operation::Set, reason)).inc();
                    return (LeaseOutcome::Skipped, Turn::Ours(None));
                }
            };
            if let Some(entry) = claimed.cached.and_then(&usable) {
                return (LeaseOutcome::Waited, Turn::Theirs(entry));
            }
            if claimed.lease.is_some() {
                return (LeaseOutcome::Won, Turn::Ours(claimed.lease));
            }
            let now = Instant::now();
            if now >= give_up {
                return (LeaseOutcome::Expired, Turn::Ours(None));
            }
            let jittered = pause.mul_f64(0.75 + 0.25 * fastrand::f64());
            let _ = timeout_at(give_up.min(now + jittered), given_back).await;
            pause = PAUSES.1.min(pause * 2);
            has_waited = true;
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Who waits for which lease.
#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<TemplateId, Arc<Notify>>>);

/// One who waits.
struct Watch<'a> {
    waiting: &'a Waiting,
    id: TemplateId,
    notify: Arc<Notify>,
}

impl Waiting {
    fn watch(&self, id: TemplateId) -> Watch<'_> {
        let notify = Arc::clone(self.0.lock().entry(id).or_default());
        Watch {
            waiting: self,
            id,
            notify,
        }
    }

    fn wake(&self, id: TemplateId) {
        let notify = self.0.lock().get(&id).cloned();
        if let Some(notify) = notify {
            notify.notify_waiters();
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.0.lock();
        drop(std::mem::take(&mut self.notify));
        let only_the_table_has_it = |notify: &Arc<Notify>| Arc::strong_count(notify) == 1;
        if waiting.get(&self.id).is_some_and(only_the_table_has_it) {
            waiting.remove(&self.id);
        }
    }
}

/// Wakes those who wait for what is given back, for as long as the service lives.
async fn listen(server: Server, waiting: Arc<Waiting>) {
    let mut is_deaf = false;
    loop {
        let subscribing = timeout(server.longest_dial(), subscribe(&server));
        if let Ok(Ok(mut subscription)) = subscribing.await {
            is_deaf = false;
            let mut messages = subscription.on_message();
            while let Ok(Some(message)) = timeout(QUIET, messages.next()).await {
                let id = std::str::from_utf8(message.get_payload_bytes()).ok();
                if let Some(id) = id.and_then(TemplateId::parse) {
                    waiting.wake(id);
                }
            }
        } else if !is_deaf {
            is_deaf = true;
            warn!("leases that are given back are not heard of: redis is asked again and again");
        }
        sleep(REDIAL.mul_f64(0.75 + 0.25 * fastrand::f64())).await;
    }
}

async fn subscribe(server: &Server) -> redis::RedisResult<redis::aio::PubSub> {
    let mut subscription = server.subscribe().await?;
    subscription.subscribe(GIVEN_BACK).await?;
    Ok(subscription)
}

/// After this long without a message the connection may be dead: nothing else would show it.
const QUIET: Duration = Duration::from_secs(30);

/// Pause before the next attempt.
const REDIAL: Duration = Duration::from_millis(500);

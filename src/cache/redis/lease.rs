//! [`Leases`]: replicas agree on which of them loads a template, so that the fleet makes one query and not one each.
//!
//! A lease is a key in Redis with its holder's token. It is short, so that the others do not wait long for a holder that
//! died, and it is renewed while the holder lives. A replica that does not get the lease waits until Redis announces, on
//! a connection of its own, that it was given back. If that connection is away, or the holder died, the replica asks
//! again after a pause.
//!
//! Leases save queries and promise nothing: two replicas that load the same template make one query too many, and what
//! each of them may store is decided by [`crate::freshness`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::batch::{Batch, Held};
use super::connection::{Failure, RedisConnection};
use super::topology::Server;
use super::{codec, scripts};
use crate::cache::breaker::jittered;
use crate::freshness::Entry;
use crate::metrics::Metrics;
use crate::outcomes::{LeaseOutcome, Operation};
use crate::template::TemplateId;

/// Which replica loads a template.
#[derive(Debug)]
pub enum WhoLoads {
    /// This one. The lease, if there is one, is given back when it is dropped.
    ThisReplica(Option<Lease>),
    /// None needs to: another one has loaded it.
    Loaded(Entry),
}

/// The right to load a template, until it is dropped or its process dies.
#[derive(Debug)]
pub struct Lease {
    _held: oneshot::Sender<Infallible>,
}

/// What a claim brought: the lease if no other replica holds it, and what is cached.
struct Claimed {
    lease: Option<Lease>,
    cached: Option<Entry>,
}

/// This replica's part in the agreement.
pub(super) struct Leases {
    redis: RedisConnection,
    batch: Arc<Batch>,
    /// Tells this replica from the others.
    token: Arc<str>,
    wait_limit: Duration,
    waiting: Arc<WaitingLoads>,
    _listener: AbortOnDropHandle<()>,
    metrics: Arc<Metrics>,
}

/// How long a lease lasts, in time-outs of a Redis call. A slow Redis must not end the lease of a living holder. When a
/// holder dies, the others wait this long.
const LENGTH: u32 = 10;

/// When it is renewed, in the same unit: early enough for one renewal to be lost.
const RENEWAL: u32 = 4;

/// Shortest and longest pause before Redis is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(100));

/// After this long without a message the listener connects again: nothing else would show that its connection is dead.
const QUIET: Duration = Duration::from_secs(30);

/// Pause before the listener connects again.
const RECONNECT: Duration = Duration::from_millis(500);

impl Leases {
    /// Listens from now on. This replica waits for another one's load no longer than `wait_limit`.
    pub(super) fn listen(
        server: Server,
        redis: RedisConnection,
        batch: Arc<Batch>,
        wait_limit: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let waiting = Arc::new(WaitingLoads::default());
        let listener = tokio::spawn(listen(server, Arc::clone(&waiting)));
        Self {
            redis,
            batch,
            token: format!("{:032x}", fastrand::u128(..)).into(),
            wait_limit,
            waiting,
            _listener: AbortOnDropHandle::new(listener),
            metrics,
        }
    }

    /// Waits until this replica may load, or until something that `accept` takes is cached.
    pub(super) async fn who_loads(
        &self,
        id: TemplateId,
        accept: impl Fn(Entry) -> Option<Entry>,
    ) -> WhoLoads {
        let (outcome, who) = self.agree(id, accept).await;
        self.metrics.leases.of(outcome).inc();
        who
    }

    async fn agree(
        &self,
        id: TemplateId,
        accept: impl Fn(Entry) -> Option<Entry>,
    ) -> (LeaseOutcome, WhoLoads) {
        let end = Instant::now() + self.wait_limit;
        let waiter = self.waiting.wait_for(id);
        let mut pause = PAUSES.0;
        let mut has_waited = false;
        loop {
            // Listens before it asks, so that it misses no lease that is given back in between.
            let mut given_back = pin!(waiter.notify.notified());
            given_back.as_mut().enable();
            // The holder has mostly stored what it loaded, and then the lease need not be claimed.
            if has_waited && let Some(entry) = self.cached(id).await.and_then(&accept) {
                return (LeaseOutcome::Waited, WhoLoads::Loaded(entry));
            }
            // A flight has time for one call after the wait limit.
            if Instant::now() >= end && has_waited {
                return (LeaseOutcome::Expired, WhoLoads::ThisReplica(None));
            }
            let claimed = match self.claim(id).await {
                Ok(claimed) => claimed,
                Err(failure) => {
                    let reason = failure.reason();
                    self.metrics.cache_errors.of((Operation::Set, reason)).inc();
                    return (LeaseOutcome::Skipped, WhoLoads::ThisReplica(None));
                }
            };
            if let Some(entry) = claimed.cached.and_then(&accept) {
                return (LeaseOutcome::Waited, WhoLoads::Loaded(entry));
            }
            if claimed.lease.is_some() {
                return (LeaseOutcome::Won, WhoLoads::ThisReplica(claimed.lease));
            }
            let now = Instant::now();
            if now >= end {
                return (LeaseOutcome::Expired, WhoLoads::ThisReplica(None));
            }
            let _ = timeout_at(end.min(now + jittered(pause)), given_back).await;
            pause = PAUSES.1.min(pause * 2);
            has_waited = true;
        }
    }

    async fn claim(&self, id: TemplateId) -> Result<Claimed, Failure> {
        if self.redis.has_to_be_told(id) {
            return Err(Failure::Unavailable);
        }
        let claim = scripts::claim(id, &self.token, length(&self.redis));
        let Value::Array(reply) = self.redis.call(&claim).await? else {
            return Ok(Claimed {
                lease: None,
                cached: None,
            });
        };
        let is_won = reply.first() == Some(&Value::Int(1));
        let cached = reply.into_iter().nth(1).and_then(|cached| match cached {
            Value::BulkString(bytes) => codec::decode(id, bytes.into()),
            _ => None,
        });
        let lease = || Lease::hold(self.redis.clone(), id, Arc::clone(&self.token));
        Ok(Claimed {
            lease: is_won.then(lease),
            cached,
        })
    }

    async fn cached(&self, id: TemplateId) -> Option<Entry> {
        match self.batch.look_up(&self.redis, id, Instant::now()).await {
            Ok(Held::Entry(entry)) => Some(entry),
            Ok(Held::Nothing | Held::Foreign) | Err(_) => None,
        }
    }
}

impl Lease {
    /// Renews the lease until it is dropped, and then gives it back.
    fn hold(redis: RedisConnection, id: TemplateId, token: Arc<str>) -> Self {
        let (held, mut dropped) = oneshot::channel();
        let (renewal, length) = (redis.timeout() * RENEWAL, length(&redis));
        tokio::spawn(async move {
            while timeout(renewal, &mut dropped).await.is_err() {
                // If it cannot be renewed, another replica takes it soon, which does no harm.
                let _ = redis.call(&scripts::renew(id, &token, length)).await;
            }
            // If it cannot be given back, it ends by itself.
            let _ = redis.call(&scripts::give_back(id, &token)).await;
        });
        Self { _held: held }
    }
}

/// How long a lease lasts, in milliseconds.
fn length(redis: &RedisConnection) -> u64 {
    (redis.timeout() * LENGTH).as_millis() as u64
}

/// Loads that wait for a lease to be given back.
#[derive(Default)]
struct WaitingLoads(Mutex<HashMap<TemplateId, Arc<Notify>>>);

/// One load that waits.
struct Waiter<'a> {
    waiting: &'a WaitingLoads,
    id: TemplateId,
    notify: Arc<Notify>,
}

impl WaitingLoads {
    fn wait_for(&self, id: TemplateId) -> Waiter<'_> {
        let notify = Arc::clone(self.0.lock().entry(id).or_default());
        Waiter {
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

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.0.lock();
        drop(std::mem::take(&mut self.notify));
        let is_the_last = |notify: &Arc<Notify>| Arc::strong_count(notify) == 1;
        if waiting.get(&self.id).is_some_and(is_the_last) {
            waiting.remove(&self.id);
        }
    }
}

/// Wakes the loads that wait for a lease when it is given back, as long as the service lives.
async fn listen(server: Server, waiting: Arc<WaitingLoads>) {
    let mut is_away = false;
    loop {
        let subscribing = timeout(server.longest_connect(), subscribe(&server));
        if let Ok(Ok(mut subscription)) = subscribing.await {
            is_away = false;
            let mut messages = subscription.on_message();
            while let Ok(Some(message)) = timeout(QUIET, messages.next()).await {
                let id = std::str::from_utf8(message.get_payload_bytes()).ok();
                if let Some(id) = id.and_then(TemplateId::parse) {
                    waiting.wake(id);
                }
            }
        } else if !std::mem::replace(&mut is_away, true) {
            warn!(
                "redis does not announce leases that are given back: replicas that wait ask it again and again"
            );
        }
        sleep(jittered(RECONNECT)).await;
    }
}

async fn subscribe(server: &Server) -> redis::RedisResult<redis::aio::PubSub> {
    let mut subscription = server.subscribe().await?;
    subscription.subscribe(scripts::GIVEN_BACK).await?;
    Ok(subscription)
}

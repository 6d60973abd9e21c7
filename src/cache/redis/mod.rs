//! [`RedisCache`]: entries in Redis, under `td:v1:<id>`, written as [`codec`] says.

mod batch;
mod codec;
mod connection;
mod lease;
mod outbox;
mod scripts;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::Lookup;
use crate::fault::Switch;
use crate::freshness::{Entry, Moment, Rules, Shows, Stored};
use crate::metrics::Metrics;
use crate::outcomes::{Operation, Reason};
use crate::template::TemplateId;
use batch::{Batch, Held};
use connection::{Failure, RedisConnection};
use lease::Leases;
pub use lease::{Lease, WhoLoads};
use outbox::Kept;
use topology::Server;

/// Where Redis is and how it is used.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    server: Server,
    timeout: Duration,
    rules: Rules,
    faults: Switch,
    lease_wait_limit: Option<Duration>,
}

impl RedisOptions {
    /// Checks the address. `timeout` bounds the whole of one call.
    pub fn new(url: &str, timeout: Duration, rules: Rules) -> Result<Self, &'static str> {
        Ok(Self {
            server: Server::at(url, timeout)?,
            timeout,
            rules,
            faults: Switch::default(),
            lease_wait_limit: None,
        })
    }

    /// The same, with what can make it fail.
    pub fn with_faults(self, faults: Switch) -> Self {
        Self { faults, ..self }
    }

    /// The same, with leases: a replica waits for another one's load at most this long.
    pub fn with_leases(mut self, wait_limit: Duration) -> Self {
        self.lease_wait_limit = Some(wait_limit);
        self
    }
}

/// Entries in Redis.
pub struct RedisCache {
    redis: RedisConnection,
    batch: Arc<Batch>,
    leases: Option<Leases>,
    rules: Rules,
    /// Whether Redis answered the last write with an error.
    rejects_writes: AtomicBool,
    metrics: Arc<Metrics>,
}

impl RedisCache {
    /// Begins to connect. While Redis is away, lookups are unanswered.
    pub async fn connect(options: RedisOptions, metrics: Arc<Metrics>) -> Self {
        let RedisOptions {
            server,
            timeout,
            rules,
            faults,
            lease_wait_limit,
        } = options;
        let counted = Arc::clone(&metrics);
        let redis = RedisConnection::open(server.clone(), timeout, faults, counted).await;
        let batch = Arc::<Batch>::default();
        let leases = lease_wait_limit.map(|wait_limit| {
            let (redis, batch) = (redis.clone(), Arc::clone(&batch));
            Leases::listen(server, redis, batch, wait_limit, Arc::clone(&metrics))
        });
        Self {
            redis,
            batch,
            leases,
            rules,
            rejects_writes: AtomicBool::new(false),
            metrics,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.redis.is_up()
    }

    /// Whether Redis answers but rejects writes: because it is full, say, or read-only.
    pub(super) fn rejects_writes(&self) -> bool {
        self.rejects_writes.load(Ordering::Relaxed)
    }

    pub(super) fn ignore_before(&self, now: Moment) {
        self.redis.ignored().raise(now);
    }

    pub(super) async fn lookup(&self, id: TemplateId, now: Moment) -> Lookup {
        if self.redis.has_to_be_told(id) {
            self.count(Operation::Get, &Failure::Unavailable);
            return Lookup::Unanswered;
        }
        let began = Instant::now();
        match self.batch.look_up(&self.redis, id, began).await {
            Ok(Held::Entry(entry)) => match self.believe(entry, now) {
                Some(entry) if self.rules.shows(&entry, now) != Shows::Nothing => {
                    Lookup::Hit(entry)
                }
                Some(_) | None => Lookup::Miss,
            },
            Ok(Held::Nothing) => Lookup::Miss,
            // Boxed: it is rare, and lookups need no room for it.
            Ok(Held::Foreign) => Box::pin(self.remove_foreign(id, began)).await,
            Err(failure) => {
                self.count(Operation::Get, &failure);
                Lookup::Unanswered
            }
        }
    }

    fn believe(&self, entry: Entry, now: Moment) -> Option<Entry> {
        self.rules.believe(entry, self.redis.ignored(), now)
    }

    /// Removes what this service has not written, so that it does not keep an entry from being stored. The lookup's
    /// time-out covers this as well.
    async fn remove_foreign(&self, id: TemplateId, began: Instant) -> Lookup {
        let corrupt = (Operation::Get, Reason::Corrupt);
        self.metrics.cache_errors.of(corrupt).inc();
        if let Err(failure) = self.redis.call_since(began, &scripts::remove(id)).await {
            self.count(Operation::Del, &failure);
        }
        Lookup::Miss
    }

    pub(super) async fn who_loads(
        &self,
        id: TemplateId,
        accept: impl Fn(&Entry) -> bool,
    ) -> WhoLoads {
        let Some(leases) = &self.leases else {
            return WhoLoads::ThisReplica(None);
        };
        let accept = |entry: Entry| {
            let now = Moment::now();
            let entry = self.believe(entry, now)?;
            (self.rules.shows(&entry, now) == Shows::Fresh && accept(&entry)).then_some(entry)
        };
        leases.who_loads(id, accept).await
    }

    pub(super) async fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self.write(&scripts::store(id, entry, &self.rules)).await {
            Ok(stored) => stored,
            Err(failure) => {
                self.count(Operation::Set, &failure);
                Stored::No
            }
        }
    }

    /// Stores what must not be missed. If Redis cannot be reached, it is told before it is asked again. If it rejects the
    /// write, or too much waits already, what it holds is ignored.
    pub(super) async fn announce(&self, id: TemplateId, entry: &Entry) {
        let command = scripts::store(id, entry, &self.rules);
        if let Err(failure) = self.write(&command).await {
            self.count(Operation::Set, &failure);
            self.make_up_for(failure, id, Some(entry), command);
        }
    }

    /// Removes a template that may have changed to an unknown version.
    pub(super) async fn delete(&self, id: TemplateId) {
        let command = scripts::remove(id);
        if let Err(failure) = self.redis.call(&command).await {
            self.count(Operation::Del, &failure);
            self.make_up_for(failure, id, None, command);
        }
    }

    /// An invalidation has failed: it is sent later, or what Redis holds is ignored.
    fn make_up_for(&self, failure: Failure, id: TemplateId, entry: Option<&Entry>, command: Cmd) {
        let kept = match failure {
            Failure::Timeout | Failure::Unavailable => self.redis.tell_later(id, entry, command),
            Failure::Server(_) => Kept::NoRoom,
        };
        if kept == Kept::NoRoom {
            self.ignore_before(Moment::now());
        }
    }

    async fn write(&self, command: &Cmd) -> Result<Stored, Failure> {
        let outcome = self.redis.call(command).await;
        match outcome {
            Ok(_) => self.rejects_writes.store(false, Ordering::Relaxed),
            Err(Failure::Server(_)) => self.rejects_writes.store(true, Ordering::Relaxed),
            Err(Failure::Timeout | Failure::Unavailable) => {}
        }
        Ok(match outcome? {
            Value::Int(0) => Stored::Superseded,
            _ => Stored::Yes,
        })
    }

    fn count(&self, operation: Operation, failure: &Failure) {
        let error = (operation, failure.reason());
        self.metrics.cache_errors.of(error).inc();
    }
}

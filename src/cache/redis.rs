//! [`RedisCache`]: answers in Redis, under `td:v1:<id>`, written as [`super::payload`] and [`super::fence`] say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::reads::Held;
use super::server::Server;
use super::slot::{Failure, Slot};
use super::turns::Turns;
use super::{Lookup, Turn, fence};
use crate::fault::Switch;
use crate::freshness::{Entry, Moment, Rank, Rules, Shows, Stored};
use crate::metrics::Metrics;
use crate::metrics::labels::{Operation, Reason};
use crate::template::TemplateId;

/// Where Redis is and how it is used.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    server: Server,
    timeout: Duration,
    rules: Rules,
    faults: Switch,
    lease_patience: Option<Duration>,
}

impl RedisOptions {
    /// Checks the address. `timeout` bounds the whole of one call.
    pub fn new(url: &str, timeout: Duration, rules: Rules) -> Result<Self, &'static str> {
        Ok(Self {
            server: Server::at(url, timeout)?,
            timeout,
            rules,
            faults: Switch::default(),
            lease_patience: None,
        })
    }

    /// The same, with what can make it fail.
    pub fn with_faults(self, faults: Switch) -> Self {
        Self { faults, ..self }
    }

    /// Replicas take turns to load: each waits for another one's load, at most this long.
    pub fn with_leases(mut self, patience: Duration) -> Self {
        self.lease_patience = Some(patience);
        self
    }
}

/// Answers in Redis.
#[derive(Debug)]
pub struct RedisCache {
    slot: Arc<Slot>,
    turns: Option<Turns>,
    rules: Rules,
    /// Whether the last write was refused by a server that answers.
    refuses_writes: AtomicBool,
    metrics: Arc<Metrics>,
}

impl RedisCache {
    /// Begins to connect. Redis may be away: then lookups are unanswered until it is there.
    pub async fn connect(options: RedisOptions, metrics: Arc<Metrics>) -> Self {
        let RedisOptions {
            server,
            timeout,
            rules,
            faults,
            lease_patience,
        } = options;
        let slot = Slot::open(server.clone(), timeout, faults, Arc::clone(&metrics)).await;
        let slot = Arc::new(slot);
        let turns = lease_patience.map(|patience| {
            Turns::listen(server, Arc::clone(&slot), patience, Arc::clone(&metrics))
        });
        Self {
            slot,
            turns,
            rules,
            refuses_writes: AtomicBool::new(false),
            metrics,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.slot.is_installed()
    }

    pub(super) async fn lookup(&self, id: TemplateId, now: Moment) -> Lookup {
        if self.slot.owes(id) {
            self.count(Operation::Get, &Failure::Unavailable);
            return Lookup::Unanswered;
        }
        let began = Instant::now();
        match self.slot.read(id, began).await {
            Ok(Held::Entry(entry)) => match self.believed(entry, now) {
                Some(entry) if self.rules.shows(&entry, now) != Shows::Nothing => {
                    Lookup::Hit(entry)
                }
                _ => Lookup::Miss,
            },
            Ok(Held::Nothing) => Lookup::Miss,
            // Boxed, so that what is rare takes no room in each lookup.
            Ok(Held::Foreign) => Box::pin(self.remove_foreign(id, began)).await,
            Err(failure) => {
                self.count(Operation::Get, &failure);
                Lookup::Unanswered
            }
        }
    }

    fn believed(&self, entry: Entry, now: Moment) -> Option<Entry> {
        self.rules.believe(entry, self.slot.ignored(), now)
    }

    pub(super) async fn turn(
        &self,
        id: TemplateId,
        accept: impl Fn(&Entry) -> bool,
    ) -> Turn<Entry> {
        let Some(turns) = &self.turns else {
            return Turn::Ours(None);
        };
        let usable = |entry: Entry| {
            let now = Moment::now();
            let entry = self.believed(entry, now)?;
            (self.rules.shows(&entry, now) == Shows::Fresh && accept(&entry)).then_some(entry)
        };
        turns.take(id, usable).await
    }

    /// What is not ours is removed, so that nothing in it keeps a fill from being stored. That is part of the lookup, and
    /// takes no longer than it may.
    async fn remove_foreign(&self, id: TemplateId, began: Instant) -> Lookup {
        self.metrics
            .cache_errors
            .of((Operation::Get, Reason::Corrupt))
            .inc();
        if let Err(failure) = self.slot.call_since(began, &fence::remove(id)).await {
            self.count(Operation::Del, &failure);
        }
        Lookup::Miss
    }

    pub(super) async fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        match self.write(&fence::write(id, entry, &self.rules)).await {
            Ok(stored) => stored,
            Err(failure) => {
                self.count(Operation::Set, &failure);
                Stored::No
            }
        }
    }

    async fn write(&self, command: &Cmd) -> Result<Stored, Failure> {
        let outcome = self.slot.call(command).await;
        match outcome {
            Ok(_) => self.refuses_writes.store(false, Ordering::Relaxed),
            Err(Failure::Server(_)) => self.refuses_writes.store(true, Ordering::Relaxed),
            Err(Failure::Timeout | Failure::Unavailable) => {}
        }
        Ok(if outcome? == Value::Int(0) {
            Stored::Superseded
        } else {
            Stored::Yes
        })
    }

    /// Whether it answers, but takes no writes: full, say, or read-only. Then what it has not is no news.
    pub(super) fn refuses_writes(&self) -> bool {
        self.refuses_writes.load(Ordering::Relaxed)
    }

    /// Stores what must not be missed. If Redis cannot be reached it is told before it is asked again; if it takes no
    /// writes, or too much is owed to it, nothing that it has is believed any more.
    pub(super) async fn announce(&self, id: TemplateId, entry: &Entry) {
        let command = fence::write(id, entry, &self.rules);
        let Err(failure) = self.write(&command).await else {
            return;
        };
        self.count(Operation::Set, &failure);
        let told = match failure {
            Failure::Timeout | Failure::Unavailable => self.slot.owe(id, Rank::of(entry), command),
            Failure::Server(_) => false,
        };
        if !told {
            self.ignore_before(Moment::now());
        }
    }

    /// Removes what may have changed, nobody can say to what.
    pub(super) async fn forget(&self, id: TemplateId) {
        let command = fence::remove(id);
        let Err(failure) = self.slot.call(&command).await else {
            return;
        };
        self.count(Operation::Del, &failure);
        if matches!(failure, Failure::Server(_)) || !self.slot.owe(id, Rank::UNKNOWN, command) {
            self.ignore_before(Moment::now());
        }
    }

    pub(super) fn ignore_before(&self, now: Moment) {
        self.slot.ignore_before(now);
    }

    fn count(&self, operation: Operation, failure: &Failure) {
        self.metrics
            .cache_errors
            .of((operation, failure.reason()))
            .inc();
    }
}

impl Failure {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Timeout => Reason::Timeout,
            Self::Unavailable => Reason::Unavailable,
            Self::Server(_) => Reason::Error,
        }
    }
}

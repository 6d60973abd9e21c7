//! [`Slot`]: at most one Redis connection, and only one that has proved itself.
//!
//! A connection is installed after a PING was answered in time. It is dropped on any error of the connection, or
//! after three time-outs in a row, where calls that ran at the same time count once. One background task dials again,
//! with growing, jittered pauses. No call ever waits for a dial: with an empty slot it fails at once.
//!
//! So the slot is the circuit breaker too: closed, open and half-open are "installed", "empty" and "being proved".
//! While a connection is installed the same task sends a PING each second, so that a dead one is found, and
//! `cache_up` is true, without traffic as well.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Cmd, RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::deadlines::Deadlines;
use super::debts::Debts;
use super::keeper::keep;
use super::line::Line;
use super::reads::{Held, Reads};
use super::server::Server;
use super::silence::Silence;
use crate::fault::Switch;
use crate::freshness::{IgnoreBefore, Moment, Rank};
use crate::metrics::Metrics;
use crate::template::TemplateId;

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// No answer in time.
    Timeout,
    /// There is no connection, or it broke.
    Unavailable,
    /// The server answered with an error.
    Server(RedisError),
}

/// At most one connection, looked after in the background until the slot is dropped.
pub(super) struct Slot {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

pub(super) struct Shared {
    pub(super) installed: ArcSwapOption<Connection>,
    pub(super) timeout: Duration,
    pub(super) deadlines: Deadlines,
    pub(super) reads: Reads,
    pub(super) faults: Switch,
    emptied: Notify,
    pub(super) tried: Notify,
    pub(super) debts: Debts,
    ignored: IgnoreBefore,
    pub(super) metrics: Arc<Metrics>,
}

pub(super) struct Connection {
    pub(super) line: Line,
    pub(super) silence: Silence,
}

impl Slot {
    /// Starts to dial, and waits for the first attempt to end, well or not.
    pub(super) async fn open(
        server: Server,
        timeout: Duration,
        faults: Switch,
        metrics: Arc<Metrics>,
    ) -> Self {
        let shared = Arc::new(Shared {
            installed: ArcSwapOption::empty(),
            timeout,
            deadlines: Deadlines::new(timeout),
            reads: Reads::default(),
            faults,
            emptied: Notify::new(),
            tried: Notify::new(),
            debts: Debts::default(),
            ignored: IgnoreBefore::default(),
            metrics,
        });
        let first_attempt = shared.tried.notified();
        let keeper = tokio::spawn(keep(Arc::clone(&shared), server)).abort_handle();
        first_attempt.await;
        Self {
            keeper,
            shared: Arc::clone(&shared),
        }
    }

    /// Sends a command and waits for its reply, at most the slot's time-out.
    pub(super) fn call(&self, command: &Cmd) -> impl Future<Output = Result<Value, Failure>> {
        self.call_since(Instant::now(), command)
    }

    /// The same for somebody who has waited since then.
    pub(super) fn call_since(
        &self,
        began: Instant,
        command: &Cmd,
    ) -> impl Future<Output = Result<Value, Failure>> {
        self.shared.call_since(began, command)
    }

    /// Asks what is stored of a template, for somebody who has waited since then.
    pub(super) fn read(
        &self,
        id: TemplateId,
        began: Instant,
    ) -> impl Future<Output = Result<Held, Failure>> {
        self.shared.read(id, began)
    }

    /// Keeps a command that could not reach the server, and has it sent before anything else: the connection in use is
    /// given up, and the next one is installed once the debts are paid. A cluster is kept, because its other nodes have
    /// missed nothing; it is not to be asked for this template meanwhile. False if there is no room for another debt.
    pub(super) fn owe(&self, id: TemplateId, told: Rank, command: Cmd) -> bool {
        let owed = self.shared.debts.owe(id, told, command);
        match self.shared.installed.load_full() {
            Some(connection) if !connection.line.has_several_nodes() => {
                self.shared.uninstall(&connection, "it missed a change");
            }
            _ => {}
        }
        owed
    }

    /// Whether the server has missed something of this template, and so must not be asked for it.
    pub(super) fn owes(&self, id: TemplateId) -> bool {
        self.shared.debts.owes(id)
    }

    /// Ignores what was stored before this moment.
    pub(super) fn ignore_before(&self, now: Moment) {
        self.shared.ignored.raise(now);
    }

    /// From when on stored entries count.
    pub(super) fn ignored(&self) -> &IgnoreBefore {
        &self.shared.ignored
    }

    /// The whole of one call.
    pub(super) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Whether a connection is installed.
    pub(super) fn is_installed(&self) -> bool {
        self.shared.installed.load().is_some()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("installed", &self.is_installed())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn ignore_before(&self, now: Moment) {
        self.ignored.raise(now);
    }

    /// Empties the slot, unless it holds another connection by now.
    pub(super) fn uninstall(&self, connection: &Arc<Connection>, reason: &str) {
        let before = self.installed.compare_and_swap(connection, None);
        if before
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, connection))
        {
            self.metrics.cache_up.set(0);
            self.emptied.notify_one();
            warn!(
                reason,
                "redis is lost: answers come from the local copy and the database"
            );
        }
    }

    /// Asks for a sign of life each second until the slot is empty.
    pub(super) async fn watch(&self) {
        let mut missed = 0;
        while timeout(HEARTBEAT, self.emptied.notified()).await.is_err() {
            let Some(connection) = self.installed.load_full() else {
                continue;
            };
            let mut line = connection.line.clone();
            // What comes of it shows in the next proof.
            let _ = self.pay_debts(&mut line).await;
            // Of one server, the wait itself notes what there is to note.
            let proof = pin!(async {
                self.pass().await?;
                line.prove().await
            });
            missed = match self.wait(&connection, Instant::now(), proof).await {
                Err(_) if connection.line.has_several_nodes() => missed + 1,
                _ => 0,
            };
            if missed == MOST_MISSED {
                self.uninstall(&connection, "some of its nodes do not answer");
            }
        }
    }
}

/// So many signs of life that a cluster owes in a row are too many: what its other nodes answer says nothing of a silent
/// one, and a new line goes around it.
const MOST_MISSED: u32 = 3;

const HEARTBEAT: Duration = Duration::from_secs(1);

/// Why a connection has not proved itself.
pub(super) const NO_ANSWER: &str = "no answer in time";

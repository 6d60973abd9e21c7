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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ErrorKind, RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::debts::{Debts, Told};
use super::entry::Moment;
use super::keeper::keep;
use super::silence::Silence;
use crate::fault::Switch;
use crate::metrics::Metrics;
use crate::metrics::labels::Origin;
use crate::template::TemplateId;

/// Why a call has no result.
#[derive(Debug)]
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
    installed: ArcSwapOption<Connection>,
    pub(super) timeout: Duration,
    pub(super) faults: Switch,
    emptied: Notify,
    pub(super) tried: Notify,
    debts: Debts,
    /// What was stored before may have changed since without the server knowing.
    trusted_since: AtomicU64,
    metrics: Arc<Metrics>,
}

struct Connection {
    commands: MultiplexedConnection,
    silence: Silence,
}

impl Slot {
    /// Starts to dial, and waits for the first attempt to end, well or not.
    pub(super) async fn open(
        client: Client,
        timeout: Duration,
        faults: Switch,
        metrics: Arc<Metrics>,
    ) -> Self {
        let shared = Arc::new(Shared {
            installed: ArcSwapOption::empty(),
            timeout,
            faults,
            emptied: Notify::new(),
            tried: Notify::new(),
            debts: Debts::default(),
            trusted_since: AtomicU64::new(0),
            metrics,
        });
        let first_attempt = shared.tried.notified();
        let keeper = tokio::spawn(keep(Arc::clone(&shared), client)).abort_handle();
        first_attempt.await;
        Self {
            keeper,
            shared: Arc::clone(&shared),
        }
    }

    /// Sends a command and waits for its reply, at most the slot's time-out.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        self.shared.call(command).await
    }

    /// Keeps a command that could not reach the server, and has it sent before anything else: the connection in use is
    /// given up, and the next one is installed once the debts are paid. False if there is no room for another debt.
    pub(super) fn owe(&self, id: TemplateId, told: Told, command: Cmd) -> bool {
        let owed = self.shared.debts.owe(id, told, command);
        if let Some(connection) = self.shared.installed.load_full() {
            self.shared.uninstall(&connection, "it missed a change");
        }
        owed
    }

    /// Nothing that was stored before this moment is to be believed.
    pub(super) fn distrust(&self, now: Moment) {
        self.shared.distrust(now);
    }

    /// What was stored before this moment is not to be believed.
    pub(super) fn trusted_since(&self) -> Moment {
        Moment(self.shared.trusted_since.load(Ordering::Relaxed))
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
    async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        let Some(connection) = self.installed.load_full() else {
            return Err(Failure::Unavailable);
        };
        let began = Instant::now();
        let mut commands = connection.commands.clone();
        let reply = async {
            let sent = self.faults.pass().await;
            sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
            command.query_async(&mut commands).await
        };
        match timeout(self.timeout, reply).await {
            Ok(Ok(value)) => {
                connection.silence.broken();
                Ok(value)
            }
            Ok(Err(error)) if is_reply(&error) => {
                connection.silence.broken();
                Err(Failure::Server(error))
            }
            Ok(Err(_)) => {
                self.uninstall(&connection, "its connection broke");
                Err(Failure::Unavailable)
            }
            Err(_) => {
                if connection.silence.goes_on_since(began) {
                    self.uninstall(&connection, "it does not answer in time");
                }
                Err(Failure::Timeout)
            }
        }
    }

    /// Installs a connection that has proved itself, once the server knows everything that it missed.
    pub(super) async fn install(
        &self,
        mut commands: MultiplexedConnection,
    ) -> Result<(), &'static str> {
        loop {
            self.pay_debts(&mut commands).await?;
            let silence = Silence::default();
            let connection = Arc::new(Connection {
                commands: commands.clone(),
                silence,
            });
            let install = || {
                self.metrics.cache_up.set(1);
                self.installed.store(Some(connection));
            };
            if self.debts.if_none(install).is_some() {
                info!("redis is there");
                return Ok(());
            }
        }
    }

    async fn pay_debts(&self, commands: &mut MultiplexedConnection) -> Result<(), &'static str> {
        while let Some(debt) = self.debts.any() {
            let payment = timeout(self.timeout, debt.command.query_async::<Value>(commands)).await;
            match payment.map_err(|_| NO_ANSWER)? {
                Ok(_) => self.metrics.invalidations.of(Origin::Replayed).inc(),
                // It takes no writes: full, say, or read-only. Then nothing that it has is believed any more.
                Err(error) if is_reply(&error) => self.distrust(Moment::now()),
                Err(error) => return Err(reason(&error)),
            }
            self.debts.settle(&debt);
        }
        Ok(())
    }

    fn distrust(&self, now: Moment) {
        self.trusted_since
            .fetch_max(now.after(TIE).0, Ordering::Relaxed);
    }

    /// Empties the slot, unless it holds another connection by now.
    fn uninstall(&self, connection: &Arc<Connection>, reason: &str) {
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

    /// Sends a PING each second until the slot is empty.
    pub(super) async fn watch(&self) {
        while timeout(HEARTBEAT, self.emptied.notified()).await.is_err() {
            // What comes of it is noted by the call itself.
            let _ = self.call(&redis::cmd("PING")).await;
        }
    }
}

const HEARTBEAT: Duration = Duration::from_secs(1);

/// What was stored within the same millisecond as a change may be from before it.
const TIE: Duration = Duration::from_millis(1);

/// Why a connection has not proved itself.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// Why, for the log: never an address.
pub(super) fn reason(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "it refuses the credentials",
        ErrorKind::Io => "no connection",
        ErrorKind::Server(_) | ErrorKind::Extension => "it answers with an error",
        _ => "it does not speak as expected",
    }
}

fn is_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

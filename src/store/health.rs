//! [`Health`]: whether the database can be asked, and the background task that finds out.
//!
//! While the database is away, no load waits for it: loads fail at once, and the task tries to connect every half a
//! second. While it is there, the task repeats a health check each second, and at once when a query did not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::engine::{Connection, Engine, has_no_room, refuses_the_caller};
use super::pool::{Permit, Pooled};
use super::{CONNECT_TIMEOUT, LoadError, SharedStore};
use crate::metrics::IntGauge;

/// Whether the database can be asked.
#[derive(Debug)]
pub(super) struct Health {
    up: AtomicBool,
    /// `db_up`.
    gauge: IntGauge,
    /// Whether the log says already that queries end with errors.
    has_warned: AtomicBool,
    check_now: Notify,
}

impl Health {
    pub(super) fn new(gauge: IntGauge) -> Self {
        Self {
            up: AtomicBool::new(false),
            gauge,
            has_warned: AtomicBool::new(false),
            check_now: Notify::new(),
        }
    }

    /// Whether it is there.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Fails while the database is away.
    pub(super) fn require(&self) -> Result<(), LoadError> {
        if self.is_up() {
            Ok(())
        } else {
            Err(LoadError::Unavailable)
        }
    }

    /// A query did not end: the next health check is due at once.
    pub(super) fn check_soon(&self) {
        self.check_now.notify_one();
    }

    fn record_loss(&self, error: &sqlx::Error) {
        if self.up.swap(false, Ordering::Relaxed) {
            self.gauge.set(0);
            warn!(
                reason = reason(error),
                "the database is lost: answers come from the caches"
            );
            self.check_now.notify_one();
        }
    }

    fn record_return(&self) {
        self.has_warned.store(false, Ordering::Relaxed);
        if !self.up.swap(true, Ordering::Relaxed) {
            self.gauge.set(1);
            info!("the database is there");
        }
    }

    /// The database is there, but queries end with errors. The log says so once, until it has been away.
    pub(super) fn warn_once(&self, error: &sqlx::Error) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(reason = reason(error), "the database refuses a query");
        }
    }
}

/// Starts the task and waits for its first attempt.
pub(super) async fn start(shared: &Arc<SharedStore>) -> AbortOnDropHandle<()> {
    let tried = Arc::new(Notify::new());
    let first_attempt = tried.notified();
    let task = tokio::spawn(stay_connected(Arc::clone(shared), Arc::clone(&tried)));
    // If the attempt takes longer, the service starts without it.
    let _ = timeout(CONNECT_TIMEOUT, first_attempt).await;
    AbortOnDropHandle::new(task)
}

/// Between attempts to connect while the database is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Between health checks while it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Longest that the answer to a health check may take.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest that migrations may take. They wait for those of other replicas.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

async fn stay_connected(shared: Arc<SharedStore>, tried: Arc<Notify>) {
    let mut migrated = false;
    // A database in memory ends with its last connection.
    let mut _anchor = None;
    let mut has_warned = false;
    loop {
        match shared.connect_and_check(&mut migrated).await {
            Ok(connection) => {
                if matches!(shared.options.engine, Engine::Embedded(_)) {
                    _anchor = Some(connection);
                } else {
                    shared.pool.add(shared.pool.count(connection)).await;
                }
                shared.health.record_return();
                tried.notify_waiters();
                shared.check_until_lost().await;
                // The log says so already.
                has_warned = true;
            }
            Err(reason) => {
                if !std::mem::replace(&mut has_warned, true) {
                    warn!(reason, "the database is away");
                }
                tried.notify_waiters();
            }
        }
        sleep(PAUSE.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
    }
}

impl SharedStore {
    /// A connection that has just answered, to a database whose schema is up to date, or why there is none.
    async fn connect_and_check(&self, migrated: &mut bool) -> Result<Connection, String> {
        let connected = timeout(CONNECT_TIMEOUT, self.connect())
            .await
            .map_err(|_| "no connection in time")?;
        let mut connection = connected.map_err(|error| reason(&error))?;
        if !*migrated {
            self.migrate(&mut connection).await?;
            *migrated = true;
        }
        match timeout(PING_TIMEOUT, connection.ping()).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err("no answer in time".into()),
        }
    }

    async fn migrate(&self, connection: &mut Connection) -> Result<(), String> {
        match timeout(MIGRATION_TIMEOUT, connection.migrate()).await {
            Ok(outcome) => outcome.map_err(|error| format!("migration: {}", reason(&error))),
            Err(_) => Err("migration: not done in time".into()),
        }
    }

    /// Repeats the health check until the database is lost.
    async fn check_until_lost(&self) {
        let mut looked_for_room = Instant::now();
        let mut silent = 0;
        while self.health.is_up() {
            if silent == 0 {
                let _ = timeout(HEARTBEAT, self.health.check_now.notified()).await;
            }
            match timeout(HEARTBEAT, self.check()).await {
                // One time-out may be this process's own fault, when it gets no processor.
                Ok(Err(CheckFailed::Silence)) if silent == 0 => silent = 1,
                Ok(Err(CheckFailed::Silence)) => {
                    self.lost(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
                }
                Ok(Err(CheckFailed::Error(error))) => self.lost(&error),
                Ok(Ok(())) | Err(_) => silent = 0,
            }
            if self.pool.is_short() && looked_for_room.elapsed() >= HEARTBEAT {
                looked_for_room = Instant::now();
                self.look_for_room().await;
            }
        }
    }

    /// One health check, with a permit like any query. If no permit is free in time, the queries that hold them will show
    /// how the database is.
    async fn check(&self) -> Result<(), CheckFailed> {
        let permit = self.pool.acquire().await;
        let answer = timeout(PING_TIMEOUT, self.ping(&permit)).await;
        match answer.map_err(|_| CheckFailed::Silence)? {
            Ok(pooled) => permit.give_back(pooled),
            Err(error) if has_no_room(&error) && self.pool.connections() > 0 => {}
            Err(error) => return Err(CheckFailed::Error(error)),
        }
        Ok(())
    }

    /// A connection of this permit that has just answered. A broken idle one says nothing of the database: the server may
    /// have closed all of them and take new ones.
    pub(super) async fn ping(&self, permit: &Permit<'_>) -> Result<Pooled, sqlx::Error> {
        self.check_for_fault()?;
        if let Some(mut pooled) = permit.idle() {
            if pooled.connection.ping().await.is_ok() {
                return Ok(pooled);
            }
            self.pool.close_idle();
        }
        let mut pooled = self.pool.count(self.connect().await?);
        pooled.connection.ping().await.map(|()| pooled)
    }

    /// The database is away: no load waits for it from now on.
    pub(super) fn lost(&self, error: &sqlx::Error) {
        self.pool.close_idle();
        self.health.record_loss(error);
    }

    /// Tries whether the server has room for one more connection again.
    async fn look_for_room(&self) {
        let _one_at_a_time = self.connecting.lock().await;
        if let Ok(Ok(connection)) = timeout(CONNECT_TIMEOUT, self.connect()).await {
            self.pool.restore(self.pool.count(connection));
        }
    }
}

/// Why a health check failed.
enum CheckFailed {
    /// No answer came in time.
    Silence,
    /// The connection could not be made, or broke.
    Error(sqlx::Error),
}

/// An error in words for the log: the server's own where it has some, never an address.
fn reason(error: &sqlx::Error) -> String {
    match error {
        error if refuses_the_caller(error) => "it refuses the credentials".into(),
        sqlx::Error::Database(error) => {
            format!(
                "{} (SQLSTATE {})",
                error.message(),
                error.code().unwrap_or("unknown".into())
            )
        }
        sqlx::Error::Io(error) => error.kind().to_string(),
        sqlx::Error::Migrate(error) => error.to_string(),
        sqlx::Error::Tls(_) => "no TLS session".into(),
        _ => "it does not speak as expected".into(),
    }
}

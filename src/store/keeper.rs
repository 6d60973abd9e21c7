//! [`Health`]: whether the database can be asked, and the one background task that finds out.
//!
//! While the database is away, no load waits for it: loads fail at once, and the task dials every half a second. While
//! it is there, the task asks once a second whether it still is, and at once when a query did not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::connection::{Connection, Engine, has_no_room};
use super::slots::{Live, Slot};
use super::{DIAL_TIMEOUT, LoadError, Shared};

/// Whether the database can be asked.
#[derive(Debug, Default)]
pub(super) struct Health {
    up: AtomicBool,
    /// Whether the last query ended with an error of its own: said once, until one ends well.
    complained: AtomicBool,
    doubted: Notify,
}

impl Health {
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        if self.is_up() {
            Ok(())
        } else {
            Err(LoadError::Unavailable)
        }
    }

    /// A query did not end: the keeper shall ask at once.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    pub(super) fn lost(&self, error: &sqlx::Error) {
        if self.up.swap(false, Ordering::Relaxed) {
            warn!(
                reason = reason(error),
                "the database is lost: answers come from the caches"
            );
            self.doubted.notify_one();
        }
    }

    fn found(&self) {
        self.complained.store(false, Ordering::Relaxed);
        if !self.up.swap(true, Ordering::Relaxed) {
            info!("the database is there");
        }
    }

    /// Says once that queries end with errors although the database is there.
    pub(super) fn complain(&self, error: &sqlx::Error) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            warn!(reason = reason(error), "the database refuses a query");
        }
    }
}

/// Starts the task and waits for its first attempt.
pub(super) async fn start(shared: &Arc<Shared>) -> AbortHandle {
    let tried = Arc::new(Notify::new());
    let first_attempt = tried.notified();
    let task = tokio::spawn(keep(Arc::clone(shared), Arc::clone(&tried)));
    // Nothing is lost if the attempt takes longer: the service starts, and the task goes on.
    let _ = timeout(DIAL_TIMEOUT, first_attempt).await;
    task.abort_handle()
}

/// Between dials while the database is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Between questions while it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Longest the answer to such a question may take.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest the migrations may take; they wait for those of other replicas.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

async fn keep(shared: Arc<Shared>, tried: Arc<Notify>) {
    let mut migrated = false;
    // Keeps a database that lives in memory alive when no other connection is open.
    let mut _anchor = None;
    let mut complained = false;
    loop {
        match shared.prove(&mut migrated).await {
            Ok(connection) => {
                if matches!(shared.options.engine, Engine::Embedded(_)) {
                    _anchor = Some(connection);
                } else {
                    shared.slots.welcome(shared.slots.count(connection)).await;
                }
                complained = false;
                shared.health.found();
                tried.notify_waiters();
                shared.watch().await;
            }
            Err(reason) => {
                if !std::mem::replace(&mut complained, true) {
                    warn!(reason, "the database is away");
                }
                tried.notify_waiters();
            }
        }
        sleep(PAUSE.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
    }
}

impl Shared {
    /// A connection that has just answered, to a database whose schema is up to date; or why there is none.
    async fn prove(&self, migrated: &mut bool) -> Result<Connection, String> {
        let dialled = timeout(DIAL_TIMEOUT, self.connect())
            .await
            .map_err(|_| "no connection in time")?;
        let mut connection = dialled.map_err(|error| reason(&error))?;
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

    /// Returns once the database is lost.
    async fn watch(&self) {
        let mut looked_for_room = Instant::now();
        let mut silent = 0;
        while self.health.is_up() {
            if silent == 0 {
                let _ = timeout(HEARTBEAT, self.health.doubted.notified()).await;
            }
            match timeout(HEARTBEAT, self.ask()).await {
                // Once may be this process's own fault, when it gets no processor.
                Ok(Err(Unheard::Silence)) if silent == 0 => silent = 1,
                Ok(Err(Unheard::Silence)) => {
                    self.lost(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
                }
                Ok(Err(Unheard::Error(error))) => self.lost(&error),
                Ok(Ok(())) | Err(_) => silent = 0,
            }
            if self.slots.has_surrendered() && looked_for_room.elapsed() >= HEARTBEAT {
                looked_for_room = Instant::now();
                self.look_for_room().await;
            }
        }
    }

    /// Asks the database whether it is there, on a slot like any query. No slot in time is no answer either way: then
    /// the queries that hold the slots will tell.
    async fn ask(&self) -> Result<(), Unheard> {
        let slot = self.slots.take().await;
        let answer = timeout(PING_TIMEOUT, self.ping(&slot)).await;
        match answer.map_err(|_| Unheard::Silence)? {
            Ok(live) => slot.give_back(live),
            Err(error) if has_no_room(&error) && self.slots.connections() > 0 => {}
            Err(error) => return Err(Unheard::Error(error)),
        }
        Ok(())
    }

    /// A connection of this slot that has just answered. That an idle one is broken says nothing of the database: the
    /// server may have closed it, and every other one, and takes new ones.
    pub(super) async fn ping(&self, slot: &Slot<'_>) -> Result<Live, sqlx::Error> {
        self.check_for_fault()?;
        if let Some(mut live) = slot.idle() {
            if live.connection.ping().await.is_ok() {
                return Ok(live);
            }
            self.slots.forget_idle();
        }
        let mut live = self.slots.count(self.connect().await?);
        live.connection.ping().await.map(|()| live)
    }

    /// Tries whether the server has room for one more connection by now.
    async fn look_for_room(&self) {
        let _turn = self.dialling.lock().await;
        if let Ok(Ok(connection)) = timeout(DIAL_TIMEOUT, self.connect()).await {
            self.slots.restore(self.slots.count(connection));
        }
    }
}

/// Why a question has no answer.
enum Unheard {
    /// Nothing came in time.
    Silence,
    /// The connection could not be made, or broke.
    Error(sqlx::Error),
}

/// Why, for the log: the server's own words where it has some, never an address.
fn reason(error: &sqlx::Error) -> String {
    match error {
        // Class 28: what it says names the user, the host and the database.
        sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("28")) => {
            "it refuses the credentials".into()
        }
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

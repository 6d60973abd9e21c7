//! [`TemplateStore`]: templates in a database, with a hard limit of queries in flight.
//!
//! [`queries`] runs a query or a change; [`pool`] limits them and keeps connections; [`health`] finds out whether the
//! database can be asked; [`engine`] knows which database it is. Nothing here knows of caches.

mod changes;
mod delay;
mod demand;
mod engine;
mod health;
mod migrations;
mod mysql;
mod notices;
mod pool;
mod postgres;
mod queries;
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::fault::Switch;
use crate::metrics::Metrics;
use crate::template::{State, TemplateId};
pub use changes::{Change, Condition};
use delay::Delay;
pub use demand::Demand;
use engine::{Connection, Engine};
pub use notices::Notice;
use pool::Pool;
pub use pool::Priority;

/// Which database, and its limits.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    engine: Engine,
    max_connections: usize,
    queue_timeout: Duration,
    timeout: Duration,
    delay: Duration,
    knee: Option<usize>,
    faults: Switch,
}

impl StoreOptions {
    /// Checks the address. Without one, the database is embedded. The error never shows the address.
    pub fn new(
        url: Option<&str>,
        max_connections: usize,
        queue_timeout: Duration,
        timeout: Duration,
        delay: Duration,
        change_poll: Duration,
    ) -> Result<Self, &'static str> {
        Ok(Self {
            engine: Engine::new(url, timeout, change_poll)?,
            max_connections,
            queue_timeout,
            timeout,
            delay,
            knee: None,
            faults: Switch::default(),
        })
    }

    /// The most queries in flight, as a gauge counts.
    fn slots(&self) -> i64 {
        i64::try_from(self.max_connections).unwrap_or(i64::MAX)
    }

    /// The same database with the limits of these others.
    pub fn limited_like(self, others: Self) -> Self {
        Self {
            engine: self.engine,
            ..others
        }
    }

    /// The same, with what can make it fail.
    pub fn with_faults(self, faults: Switch) -> Self {
        Self { faults, ..self }
    }

    /// The same, whose artificial latency grows once more queries than this run at once.
    pub fn with_knee(self, knee: usize) -> Self {
        Self {
            knee: Some(knee),
            ..self
        }
    }

    /// Why the file that it is in cannot be used, if it is in one and that will not pass.
    pub async fn check_file(&self) -> Result<(), String> {
        self.engine.check_file().await
    }

    /// Whether what is sent to it may pass between machines without TLS.
    pub fn may_be_read_by_others(&self) -> bool {
        self.engine.may_be_read_by_others()
    }

    /// The database's name in traces.
    fn system(&self) -> &'static str {
        match self.engine {
            Engine::Postgres(_) => "postgresql",
            Engine::MySql(_) => "mysql",
            Engine::Sqlite(_) | Engine::Embedded(_) => "sqlite",
        }
    }

    /// What kind of database it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self.engine {
            Engine::Postgres(_) => "postgres",
            Engine::MySql(_) => "mysql",
            Engine::Sqlite(_) => "sqlite",
            Engine::Embedded(_) => "embedded",
        }
    }
}

/// Why a template could not be loaded. Callers that wait for the same load share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// No permit was free in time.
    #[error("no permit for a query in time")]
    Busy,
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Unavailable,
    /// The query took too long.
    #[error("the query took too long")]
    TimedOut,
    /// The database answered with an error.
    #[error("the database answered with an error")]
    Failed,
}

/// Why a change was not made, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// It was not made.
    #[error("not changed: {0}")]
    NotMade(#[from] LoadError),
    /// The database was asked and did not answer: it may have been made.
    #[error("perhaps changed: the database did not answer")]
    Unknown,
}

/// Templates in a database.
pub struct TemplateStore {
    shared: Arc<SharedStore>,
    _reconnecting: AbortOnDropHandle<()>,
    _listener: Option<AbortOnDropHandle<()>>,
    notices: Option<mpsc::Receiver<Notice>>,
}

struct SharedStore {
    options: StoreOptions,
    pool: Pool,
    /// Held by the query that opens a connection.
    connecting: tokio::sync::Mutex<()>,
    health: health::Health,
    demand: Arc<Demand>,
    delay: Delay,
    metrics: Arc<Metrics>,
}

impl TemplateStore {
    /// Begins to connect and to migrate, and waits a short time for the first attempt. While the database is away, loads
    /// fail.
    pub async fn open(options: StoreOptions, metrics: Arc<Metrics>) -> Self {
        metrics.db_slots.add(options.slots());
        let hearing = metrics.change_listener_up.clone();
        let shared = Arc::new(SharedStore {
            pool: Pool::new(options.max_connections),
            health: health::Health::new(metrics.db_up.clone()),
            demand: Arc::default(),
            delay: Delay::new(options.delay, options.knee),
            connecting: tokio::sync::Mutex::default(),
            metrics,
            options,
        });
        let (reconnecting, listener) = tokio::join!(
            health::start(&shared),
            shared.options.engine.listen(hearing)
        );
        let (listener, notices) = listener.unzip();
        Self {
            shared,
            _reconnecting: reconnecting,
            _listener: listener,
            notices,
        }
    }

    /// Asks the database for a template: waits for a permit, then for the query, both bounded.
    pub async fn load(&self, id: TemplateId, priority: Priority) -> Result<State, LoadError> {
        self.shared.load(id, priority).await
    }

    /// Makes a change and returns the state after it; none if its condition did not hold.
    pub async fn change(
        &self,
        id: TemplateId,
        change: &Change,
    ) -> Result<Option<State>, ChangeError> {
        self.shared.change(id, change).await
    }

    /// The notices of the database from now on. The first caller gets them, and no other.
    pub fn notices(&mut self) -> Option<mpsc::Receiver<Notice>> {
        self.notices.take()
    }

    /// How much has been asked of it.
    pub fn demand(&self) -> Arc<Demand> {
        Arc::clone(&self.shared.demand)
    }

    /// Opens a connection for each permit, as far as the server has room, so that no load has to.
    pub async fn connect_ahead(&self) {
        let pool = &self.shared.pool;
        while pool.connections() < self.shared.options.max_connections {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.shared.connect()).await {
                Ok(Ok(connection)) => pool.add(pool.count(connection)).await,
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Whether the database can be asked.
    pub fn is_up(&self) -> bool {
        self.shared.health.is_up()
    }
}

impl SharedStore {
    /// Opens one connection. The caller bounds it.
    async fn connect(&self) -> Result<Connection, sqlx::Error> {
        self.check_for_fault()?;
        self.options.engine.connect().await
    }

    /// A fault that the lab has set looks like a connection that breaks.
    fn check_for_fault(&self) -> Result<(), sqlx::Error> {
        let broken = |_| sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into());
        self.options.faults.check().map_err(broken)
    }
}

/// Longest that opening a connection may take, name look-up and handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

impl Drop for TemplateStore {
    fn drop(&mut self) {
        let SharedStore {
            metrics, options, ..
        } = &*self.shared;
        metrics.db_slots.sub(options.slots());
    }
}

impl fmt::Debug for TemplateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateStore")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

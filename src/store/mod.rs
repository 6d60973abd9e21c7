//! [`TemplateStore`]: templates in a database, never more queries at once than there are slots.
//!
//! How it is asked stands in [`query`]; which database it is in [`connection`]; how many connections there are and who may
//! use one in [`slots`]; whether it can be asked at all, and how that is found out, in [`keeper`]; what it says of changes
//! in [`listener`]. Nothing here knows of caches.

mod change;
mod connection;
mod demand;
mod keeper;
mod listener;
mod postgres;
mod query;
mod slots;
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::fault::Switch;
use crate::metrics::Metrics;
use crate::template::{State, TemplateId};
pub use change::{Change, Condition, Notice};
use connection::{Connection, Engine};
pub use demand::Demand;
pub use slots::Hope;
use slots::Slots;

/// Which database, and how much it may be asked.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    engine: Engine,
    slots: usize,
    queue_timeout: Duration,
    timeout: Duration,
    delay: Duration,
    faults: Switch,
}

impl StoreOptions {
    /// Checks the address; without one, the database is embedded. The error is safe to show.
    pub fn new(
        url: Option<&str>,
        slots: usize,
        queue_timeout: Duration,
        timeout: Duration,
        delay: Duration,
    ) -> Result<Self, &'static str> {
        Ok(Self {
            engine: Engine::new(url, timeout)?,
            slots,
            queue_timeout,
            timeout,
            delay,
            faults: Switch::default(),
        })
    }

    /// As a gauge counts.
    fn slot_count(&self) -> i64 {
        i64::try_from(self.slots).unwrap_or(i64::MAX)
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

    /// What kind of database it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self.engine {
            Engine::Postgres(_) => "postgres",
            Engine::Sqlite(_) => "sqlite",
            Engine::Embedded(_) => "embedded",
        }
    }
}

/// Why a template could not be loaded. Callers that wait for the same load share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// Every slot stayed taken for as long as a load may wait for one.
    #[error("no database slot in time")]
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
    shared: Arc<Shared>,
    keeper: AbortHandle,
    listener: Option<AbortHandle>,
    notices: Option<mpsc::Receiver<Notice>>,
}

struct Shared {
    options: StoreOptions,
    slots: Slots,
    dialling: tokio::sync::Mutex<()>,
    health: keeper::Health,
    demand: Arc<Demand>,
    metrics: Arc<Metrics>,
}

impl TemplateStore {
    /// Begins to connect and to migrate, and waits for the first attempt, but not for long: the database may be
    /// away, and then loads fail until it is there.
    pub async fn open(options: StoreOptions, metrics: Arc<Metrics>) -> Self {
        metrics.db_slots.add(options.slot_count());
        let shared = Arc::new(Shared {
            slots: Slots::new(options.slots),
            health: keeper::Health::default(),
            demand: Arc::default(),
            dialling: tokio::sync::Mutex::default(),
            metrics,
            options,
        });
        let (keeper, (listener, notices)) = tokio::join!(
            keeper::start(&shared),
            listener::start(&shared.options.engine)
        );
        Self {
            shared,
            keeper,
            listener,
            notices,
        }
    }

    /// Asks the database for a template: waits for a slot, then for the query, both bounded.
    pub async fn load(&self, id: TemplateId, hope: Hope) -> Result<State, LoadError> {
        self.shared.load(id, hope).await
    }

    /// Makes a change and says what there is afterwards; none if there was nothing that it could be made to.
    pub async fn change(
        &self,
        id: TemplateId,
        change: &Change,
    ) -> Result<Option<State>, ChangeError> {
        self.shared.change(id, change).await
    }

    /// What is changed from now on, by whomever, as far as the database says. There is one reader: the first who asks.
    pub fn notices(&mut self) -> Option<mpsc::Receiver<Notice>> {
        self.notices.take()
    }

    /// How much has been asked of it.
    pub fn demand(&self) -> Arc<Demand> {
        Arc::clone(&self.shared.demand)
    }

    /// Opens a connection for each slot, as far as the server has room, so that no load has to.
    pub async fn dial_ahead(&self) {
        let slots = &self.shared.slots;
        while slots.connections() < self.shared.options.slots {
            match tokio::time::timeout(DIAL_TIMEOUT, self.shared.connect()).await {
                Ok(Ok(connection)) => slots.welcome(slots.count(connection)).await,
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Whether the database can be asked.
    pub fn is_up(&self) -> bool {
        self.shared.health.is_up()
    }
}

impl Shared {
    /// Dials once. The caller bounds it.
    async fn connect(&self) -> Result<Connection, sqlx::Error> {
        self.check_for_fault()?;
        self.options.engine.connect().await
    }

    /// A fault looks like a connection that breaks.
    fn check_for_fault(&self) -> Result<(), sqlx::Error> {
        let broken = |_| sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into());
        self.options.faults.check().map_err(broken)
    }
}

/// Longest a dial may take, name look-up and handshake included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

impl Drop for TemplateStore {
    fn drop(&mut self) {
        let Shared {
            metrics, options, ..
        } = &*self.shared;
        metrics.db_slots.sub(options.slot_count());
        self.keeper.abort();
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

impl fmt::Debug for TemplateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateStore")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

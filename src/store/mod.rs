//! [`TemplateStore`]: templates in a database, never more queries at once than there are slots.
//!
//! Which database it is stands in [`connection`]; how many connections there are and who may use one in [`slots`];
//! whether the database can be asked at all, and how that is found out, in [`keeper`]. Nothing here knows of caches.

mod connection;
mod keeper;
mod postgres;
mod slots;
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::metrics::{GaugeGuard, Metrics};
use crate::template::{Template, TemplateId};
use connection::{Connection, Engine, is_broken};
use slots::{Slot, Slots};

/// Which database, and how much it may be asked.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    engine: Engine,
    slots: usize,
    queue_timeout: Duration,
    timeout: Duration,
    delay: Duration,
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
        })
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

/// Templates in a database.
pub struct TemplateStore {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    options: StoreOptions,
    slots: Slots,
    health: keeper::Health,
    metrics: Arc<Metrics>,
}

impl TemplateStore {
    /// Begins to connect and to migrate, and waits for the first attempt, but not for long: the database may be
    /// away, and then loads fail until it is there.
    pub async fn open(options: StoreOptions, metrics: Arc<Metrics>) -> Self {
        metrics
            .db_slots
            .set(i64::try_from(options.slots).unwrap_or(i64::MAX));
        let shared = Arc::new(Shared {
            slots: Slots::new(options.slots),
            health: keeper::Health::default(),
            metrics,
            options,
        });
        let keeper = keeper::start(&shared).await;
        Self { shared, keeper }
    }

    /// Asks the database for a template: waits for a slot, then for the query, both bounded.
    pub async fn load(&self, id: TemplateId) -> Result<Option<Template>, LoadError> {
        self.shared.load(id).await
    }

    /// Whether the database can be asked.
    pub fn is_up(&self) -> bool {
        self.shared.health.is_up()
    }
}

impl Drop for TemplateStore {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for TemplateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateStore")
            .field("options", &self.shared.options)
            .field("up", &self.is_up())
            .finish()
    }
}

impl Shared {
    async fn load(&self, id: TemplateId) -> Result<Option<Template>, LoadError> {
        self.health.check()?;
        let slot = timeout(self.options.queue_timeout, self.slots.take())
            .await
            .map_err(|_| LoadError::Busy)?;
        // The database may have gone while this load waited.
        self.health.check()?;
        let _in_flight = GaugeGuard::raise(&self.metrics.db_queries_in_flight);
        match timeout(self.options.timeout, self.query(slot, id)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.health.doubt();
                Err(LoadError::TimedOut)
            }
        }
    }

    /// Runs the query on a connection of this slot. Dropped half-way, or ended by anything but an answer, the
    /// connection is closed with it: what the server still sends belongs to nobody.
    async fn query(
        &self,
        mut slot: Slot<'_>,
        id: TemplateId,
    ) -> Result<Option<Template>, LoadError> {
        if let Some(mut connection) = slot.idle() {
            match self.send(&mut connection, id).await {
                Ok(row) => {
                    slot.give_back(connection);
                    return Ok(row);
                }
                Err(error) if is_broken(&error) => {
                    // The server may have closed it, and every other one, while they were idle.
                    self.slots.forget_idle();
                }
                Err(error) => {
                    slot.give_back(connection);
                    return Err(self.failed(&error));
                }
            }
        }
        let mut connection = self.dial().await?;
        let row = self
            .send(&mut connection, id)
            .await
            .map_err(|error| self.failed(&error))?;
        slot.give_back(connection);
        Ok(row)
    }

    async fn dial(&self) -> Result<Connection, LoadError> {
        self.options.engine.connect().await.map_err(|error| {
            self.lost(&error);
            LoadError::Unavailable
        })
    }

    async fn send(
        &self,
        connection: &mut Connection,
        id: TemplateId,
    ) -> Result<Option<Template>, sqlx::Error> {
        self.metrics.db_hits.inc();
        let _timer = self.metrics.db_query_duration.start_timer();
        if !self.options.delay.is_zero() {
            tokio::time::sleep(self.options.delay).await;
        }
        connection.find(id).await
    }

    fn failed(&self, error: &sqlx::Error) -> LoadError {
        if is_broken(error) {
            self.health.doubt();
            LoadError::Unavailable
        } else {
            self.health.complain(error);
            LoadError::Failed
        }
    }

    fn lost(&self, error: &sqlx::Error) {
        self.slots.forget_idle();
        self.health.lost(error);
    }
}

//! [`TemplateStore`]: templates in a database, never more queries at once than there are slots.
//!
//! Which database it is stands in [`connection`]; how many connections there are and who may use one in [`slots`];
//! whether the database can be asked at all, and how that is found out, in [`keeper`]. Nothing here knows of caches.

mod change;
mod connection;
mod keeper;
mod listener;
mod postgres;
mod slots;
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::metrics::{GaugeGuard, Metrics};
use crate::template::{State, TemplateId};
pub use change::{Change, Condition, Notice};
use connection::{Engine, has_no_room, is_broken};
pub use slots::Hope;
use slots::{Live, Slot, Slots};

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

    /// Whether the database can be asked.
    pub fn is_up(&self) -> bool {
        self.shared.health.is_up()
    }
}

/// Longest a dial may take, name look-up and handshake included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

impl Drop for TemplateStore {
    fn drop(&mut self) {
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

impl Shared {
    async fn load(&self, id: TemplateId, hope: Hope) -> Result<State, LoadError> {
        self.health.check()?;
        let slot = self.slot(hope).await?;
        // The database may have gone while this load waited.
        self.health.check()?;
        let _in_flight = GaugeGuard::raise(&self.metrics.db_queries_in_flight);
        let began = Instant::now();
        let outcome = timeout(self.options.timeout, self.query(slot, id, hope)).await;
        self.slots.note_hold(began.elapsed());
        match outcome {
            Ok(outcome) => {
                if let (Ok(state), Hope::Speculative) = (&outcome, hope) {
                    self.slots.note_found(matches!(state, State::Present(_)));
                }
                outcome
            }
            Err(_) => {
                self.health.doubt();
                Err(LoadError::TimedOut)
            }
        }
    }

    /// A change is never sent twice, so it is sent on a connection that has just answered.
    async fn change(&self, id: TemplateId, change: &Change) -> Result<Option<State>, ChangeError> {
        self.health.check()?;
        let slot = self.slot(Hope::Known).await?;
        self.health.check()?;
        let _in_flight = GaugeGuard::raise(&self.metrics.db_queries_in_flight);
        let deadline = Instant::now() + self.options.timeout;
        let ping = timeout_at(deadline, self.ping(&slot))
            .await
            .map_err(|_| LoadError::TimedOut)?;
        let mut live = ping.map_err(|error| self.failed(&error))?;
        match timeout_at(deadline, live.connection.change(id, change)).await {
            Ok(Ok(state)) => {
                slot.give_back(live);
                Ok(state)
            }
            Ok(Err(error)) if !is_broken(&error) => {
                slot.give_back(live);
                Err(ChangeError::NotMade(self.failed(&error)))
            }
            Ok(Err(_)) | Err(_) => {
                self.health.doubt();
                Err(ChangeError::Unknown)
            }
        }
    }

    async fn slot(&self, hope: Hope) -> Result<Slot<'_>, LoadError> {
        self.slots
            .take_within(self.options.queue_timeout, hope)
            .await
            .ok_or(LoadError::Busy)
    }

    /// Runs the query on a connection of this slot. Dropped half-way, or ended by anything but an answer, the
    /// connection is closed with it: what the server still sends belongs to nobody.
    async fn query(&self, slot: Slot<'_>, id: TemplateId, hope: Hope) -> Result<State, LoadError> {
        if let Some(mut live) = slot.idle() {
            match self.send(&mut live, id).await {
                Ok(row) => {
                    slot.give_back(live);
                    return Ok(row);
                }
                // The server may have closed it, and every other one, while they were idle.
                Err(error) if is_broken(&error) => self.slots.forget_idle(),
                Err(error) => {
                    slot.give_back(live);
                    return Err(self.failed(&error));
                }
            }
        }
        let (slot, mut live) = self.dial(slot, hope).await?;
        let row = self
            .send(&mut live, id)
            .await
            .map_err(|error| self.failed(&error))?;
        slot.give_back(live);
        Ok(row)
    }

    /// Opens a connection for this slot. One dial at a time: a database that is gone is found out by one attempt, and
    /// one that has just come back is not stormed.
    async fn dial<'a>(&'a self, slot: Slot<'a>, hope: Hope) -> Result<(Slot<'a>, Live), LoadError> {
        let turn = self.dialling.lock().await;
        self.health.check()?;
        // While this load waited for its turn, another may have ended.
        if let Some(live) = slot.idle() {
            return Ok((slot, live));
        }
        if self.slots.has_surrendered() && self.slots.connections() > 0 {
            drop(turn);
            return self.make_do(slot, hope).await;
        }
        match timeout(DIAL_TIMEOUT, self.options.engine.connect()).await {
            Ok(Ok(connection)) => Ok((slot, self.slots.count(connection))),
            Ok(Err(error)) if has_no_room(&error) && self.slots.connections() > 0 => {
                drop(turn);
                self.health.complain(&error);
                self.make_do(slot, hope).await
            }
            Ok(Err(error)) => {
                self.lost(&error);
                Err(LoadError::Unavailable)
            }
            Err(_) => {
                self.health.doubt();
                Err(LoadError::TimedOut)
            }
        }
    }

    /// The server has no room for another connection: gives this slot up and waits for one that has a connection.
    async fn make_do<'a>(
        &'a self,
        slot: Slot<'a>,
        hope: Hope,
    ) -> Result<(Slot<'a>, Live), LoadError> {
        slot.surrender();
        let slot = self.slot(hope).await?;
        let live = slot.idle().ok_or(LoadError::Busy)?;
        Ok((slot, live))
    }

    async fn send(&self, live: &mut Live, id: TemplateId) -> Result<State, sqlx::Error> {
        self.metrics.db_hits.inc();
        let _timer = self.metrics.db_query_duration.start_timer();
        if !self.options.delay.is_zero() {
            tokio::time::sleep(self.options.delay).await;
        }
        live.connection.find(id).await
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

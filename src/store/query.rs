//! How a query or a change is made: a slot, a connection, a deadline; and what its errors mean.

use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{has_no_room, is_broken};
use super::slots::{Live, Slot};
use super::{Change, ChangeError, DIAL_TIMEOUT, Hope, LoadError, Shared};
use crate::fault::Fault;
use crate::metrics::GaugeGuard;
use crate::template::{State, TemplateId};

impl Shared {
    pub(super) async fn load(&self, id: TemplateId, hope: Hope) -> Result<State, LoadError> {
        self.health.check()?;
        let _asking = self.demand.ask();
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
    pub(super) async fn change(
        &self,
        id: TemplateId,
        change: &Change,
    ) -> Result<Option<State>, ChangeError> {
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
        match timeout(DIAL_TIMEOUT, self.connect()).await {
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
        self.check_for_fault()?;
        self.metrics.db_hits.inc();
        self.demand.send();
        let _timer = self.metrics.db_query_duration.start_timer();
        if !self.options.delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(self.options.delay) => {}
                () = self.options.faults.breaks() => {}
            }
        }
        if let Fault::Slow(by) = self.options.faults.fault() {
            tokio::time::sleep(by).await;
        }
        // It may have begun meanwhile.
        self.check_for_fault()?;
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

    pub(super) fn lost(&self, error: &sqlx::Error) {
        self.slots.forget_idle();
        self.health.lost(error);
    }
}

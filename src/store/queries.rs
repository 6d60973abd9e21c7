//! How a query or a change is made: a permit, a connection, a deadline; and what its errors mean.

use tokio::time::{Instant, timeout, timeout_at};

use super::engine::{has_no_room, is_broken};
use super::pool::{Permit, Pooled};
use super::{CONNECT_TIMEOUT, Change, ChangeError, LoadError, Priority, SharedStore};
use crate::fault::Fault;
use crate::metrics::GaugeGuard;
use crate::telemetry::traces::{self, Span};
use crate::template::{State, TemplateId};

impl SharedStore {
    pub(super) async fn load(
        &self,
        id: TemplateId,
        priority: Priority,
    ) -> Result<State, LoadError> {
        self.health.require()?;
        let _asking = self.demand.begin();
        let permit = self.permit(priority).await?;
        // The database may have been lost while this query waited.
        self.health.require()?;
        let _in_flight = GaugeGuard::raise(&self.metrics.db_queries_in_flight);
        let began = Instant::now();
        let outcome = timeout(self.options.timeout, self.query(permit, id, priority)).await;
        self.pool.record_hold(began.elapsed());
        match outcome {
            Ok(outcome) => {
                if let (Ok(state), Priority::UnknownId) = (&outcome, priority) {
                    self.pool.record_found(matches!(state, State::Present(_)));
                }
                outcome
            }
            Err(_) => {
                self.health.check_soon();
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
        self.health.require()?;
        let permit = self.permit(Priority::KnownId).await?;
        self.health.require()?;
        let _in_flight = GaugeGuard::raise(&self.metrics.db_queries_in_flight);
        let deadline = Instant::now() + self.options.timeout;
        let ping = timeout_at(deadline, self.ping(&permit))
            .await
            .map_err(|_| LoadError::TimedOut)?;
        let mut pooled = ping.map_err(|error| self.failed(&error))?;
        let span = match change {
            Change::Put { .. } => self.begin_span("UPDATE templates", "UPDATE"),
            Change::Delete { .. } => self.begin_span("DELETE templates", "DELETE"),
        };
        let made = timeout_at(deadline, pooled.connection.change(id, change)).await;
        let failed = match &made {
            Ok(made) => made.as_ref().err().map(reason),
            Err(_) => Some("timeout"),
        };
        traces::finish(span, failed);
        match made {
            Ok(Ok(state)) => {
                permit.give_back(pooled);
                Ok(state)
            }
            Ok(Err(error)) if !is_broken(&error) => {
                permit.give_back(pooled);
                Err(ChangeError::NotMade(self.failed(&error)))
            }
            Ok(Err(_)) | Err(_) => {
                self.health.check_soon();
                Err(ChangeError::Unknown)
            }
        }
    }

    async fn permit(&self, priority: Priority) -> Result<Permit<'_>, LoadError> {
        self.pool
            .acquire_within(self.options.queue_timeout, priority)
            .await
            .ok_or(LoadError::Busy)
    }

    /// Runs the query on a connection of this permit. If it is dropped half-way, or ends with anything but an answer, its
    /// connection is closed: an answer that is still on the way must reach no other query.
    async fn query(
        &self,
        permit: Permit<'_>,
        id: TemplateId,
        priority: Priority,
    ) -> Result<State, LoadError> {
        if let Some(mut pooled) = permit.idle() {
            match self.send(&mut pooled, id).await {
                Ok(row) => {
                    permit.give_back(pooled);
                    return Ok(row);
                }
                // The server may have closed it, and every other one, while they were idle.
                Err(error) if is_broken(&error) => self.pool.close_idle(),
                Err(error) => {
                    permit.give_back(pooled);
                    return Err(self.failed(&error));
                }
            }
        }
        let (permit, mut pooled) = self.open(permit, priority).await?;
        let row = self
            .send(&mut pooled, id)
            .await
            .map_err(|error| self.failed(&error))?;
        permit.give_back(pooled);
        Ok(row)
    }

    /// Opens a connection for this permit. One query at a time does so: one attempt shows that the database is away, and
    /// a database that has just come back is not flooded.
    async fn open<'a>(
        &'a self,
        permit: Permit<'a>,
        priority: Priority,
    ) -> Result<(Permit<'a>, Pooled), LoadError> {
        let one_at_a_time = self.connecting.lock().await;
        self.health.require()?;
        // Another query may have ended meanwhile.
        if let Some(pooled) = permit.idle() {
            return Ok((permit, pooled));
        }
        if self.pool.is_short() && self.pool.connections() > 0 {
            drop(one_at_a_time);
            return self.wait_for_a_connection(permit, priority).await;
        }
        match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(Ok(connection)) => Ok((permit, self.pool.count(connection))),
            Ok(Err(error)) if has_no_room(&error) && self.pool.connections() > 0 => {
                drop(one_at_a_time);
                self.health.warn_once(&error);
                self.wait_for_a_connection(permit, priority).await
            }
            Ok(Err(error)) => {
                self.lost(&error);
                Err(LoadError::Unavailable)
            }
            Err(_) => {
                self.health.check_soon();
                Err(LoadError::TimedOut)
            }
        }
    }

    /// The server has no room for another connection: this permit is withdrawn, and the query waits for one that has a
    /// connection.
    async fn wait_for_a_connection<'a>(
        &'a self,
        permit: Permit<'a>,
        priority: Priority,
    ) -> Result<(Permit<'a>, Pooled), LoadError> {
        permit.withdraw();
        let permit = self.permit(priority).await?;
        let pooled = permit.idle().ok_or(LoadError::Busy)?;
        Ok((permit, pooled))
    }

    async fn send(&self, pooled: &mut Pooled, id: TemplateId) -> Result<State, sqlx::Error> {
        let span = self.begin_span("SELECT templates", "SELECT");
        let found = self.find(pooled, id).await;
        traces::finish(span, found.as_ref().err().map(reason));
        found
    }

    fn begin_span(&self, name: &'static str, operation: &'static str) -> Option<Span> {
        let span = traces::ask(name, self.options.system(), operation)?;
        span.set("db.collection.name", "templates");
        Some(span)
    }

    async fn find(&self, pooled: &mut Pooled, id: TemplateId) -> Result<State, sqlx::Error> {
        self.check_for_fault()?;
        self.metrics.db_hits.inc();
        self.demand.send();
        let _timer = self.metrics.db_query_duration.start_timer();
        if !self.delay.is_zero() {
            tokio::select! {
                () = self.delay.hold() => {}
                () = self.options.faults.breaks() => {}
            }
        }
        if let Fault::Slow(by) = self.options.faults.fault() {
            tokio::time::sleep(by).await;
        }
        // A fault may have been set meanwhile.
        self.check_for_fault()?;
        pooled.connection.find(id).await
    }

    fn failed(&self, error: &sqlx::Error) -> LoadError {
        if is_broken(error) {
            self.health.check_soon();
            LoadError::Unavailable
        } else {
            self.health.warn_once(error);
            LoadError::Failed
        }
    }
}

/// As `error.type` of a span says it.
fn reason(error: &sqlx::Error) -> &'static str {
    if is_broken(error) {
        "unavailable"
    } else {
        "error"
    }
}

//! Telling Redis what it has missed: before it is asked again, and the nodes of a cluster as soon as each can be told.

use std::sync::Arc;

use redis::Value;
use tokio::time::timeout;
use tracing::info;

use super::debts::Debt;
use super::line::{Line, Meaning, reason};
use super::silence::Silence;
use super::slot::{Connection, NO_ANSWER, Shared};
use crate::freshness::Moment;
use crate::metrics::labels::Origin;

/// How many nodes that cannot be told are put up with before the rest of a cluster waits for another time.
const MOST_AWAY: usize = 3;

impl Shared {
    /// Installs a connection that has proved itself, once the server knows everything that it missed.
    pub(super) async fn install(&self, mut line: Line) -> Result<(), &'static str> {
        loop {
            self.pay_debts(&mut line).await?;
            let silence = Silence::default();
            let connection = Arc::new(Connection {
                line: line.clone(),
                silence,
            });
            let install = || {
                self.metrics.cache_up.set(1);
                self.installed.store(Some(connection));
            };
            // A cluster's nodes that are there need not wait for one that cannot be told.
            let installed = if line.has_several_nodes() {
                install();
                true
            } else {
                self.debts.if_none(install).is_some()
            };
            if installed {
                info!("redis is there");
                return Ok(());
            }
        }
    }

    /// Pays the debts, or says why one could not be paid. Of a cluster, those stay whose node is away.
    pub(super) async fn pay_debts(&self, line: &mut Line) -> Result<(), &'static str> {
        let mut debts = self.debts.all();
        // Those of a node that is away do not stand before the others each time.
        fastrand::shuffle(&mut debts);
        let mut away = 0;
        for debt in debts {
            match self.pay(line, &debt).await {
                Ok(()) => self.debts.settle(&debt),
                Err(_) if line.has_several_nodes() && away < MOST_AWAY => away += 1,
                Err(_) if line.has_several_nodes() => return Ok(()),
                Err(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    async fn pay(&self, line: &mut Line, debt: &Debt) -> Result<(), &'static str> {
        let payment = timeout(self.timeout, debt.command.query_async::<Value>(line)).await;
        match payment.map_err(|_| NO_ANSWER)? {
            Ok(_) => self.metrics.invalidations.of(Origin::Replayed).inc(),
            Err(error) => match line.meaning(&error) {
                Meaning::Away | Meaning::Lost(_) => return Err(reason(&error)),
                // It takes no writes: full, say, or read-only. Then nothing that was stored before is believed any more.
                Meaning::Answer => self.ignore_before(Moment::now()),
            },
        }
        Ok(())
    }
}

//! What is done to PostgreSQL, and how it is undone.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use sqlx::Connection as _;
use testkit::Mode;
use tokio::time::sleep;

use super::repeat;
use crate::schedule::DatabaseFault;
use crate::stage::Stage;

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE application_name = 'stampede'";

pub(super) struct DatabaseSaboteur {
    stage: Arc<Stage>,
    random: Rng,
}

impl DatabaseSaboteur {
    pub(super) fn new(stage: Arc<Stage>, random: Rng) -> Self {
        Self { stage, random }
    }

    /// Breaks it for so long; on return it is whole.
    pub(super) async fn inflict(&mut self, fault: DatabaseFault, length: Duration) {
        let server = &self.stage.postgres;
        match fault {
            DatabaseFault::Refuse => self.network(Mode::Refuse, length).await,
            DatabaseFault::Reset => self.network(Mode::Reset, length).await,
            DatabaseFault::Swallow => self.network(Mode::Swallow, length).await,
            DatabaseFault::Delay => {
                self.network(Mode::Delay(Duration::from_millis(100)), length)
                    .await
            }
            DatabaseFault::Terminate => {
                repeat(length, Duration::from_millis(300), async || {
                    server.execute(TERMINATE).await
                })
                .await;
            }
            DatabaseFault::Lock => self.lock(length).await,
            DatabaseFault::Freeze => {
                server.freeze().await;
                sleep(length).await;
                server.thaw().await;
            }
            DatabaseFault::Restart => {
                if self.random.bool() {
                    server.stop().await;
                } else {
                    server.kill().await;
                }
                sleep(length).await;
                server.start_again().await;
            }
        }
    }

    async fn network(&self, mode: Mode, length: Duration) {
        self.stage.to_postgres.set(mode).await;
        sleep(length).await;
        self.stage.to_postgres.set(Mode::Pass).await;
    }

    async fn lock(&self, length: Duration) {
        let session = self.stage.lock().await;
        sleep(length).await;
        session.close().await.expect("a goodbye");
    }
}

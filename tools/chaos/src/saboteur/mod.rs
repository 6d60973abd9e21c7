//! [`Saboteur`]: breaks Redis and PostgreSQL as the schedule says, and mends them.

mod database;
mod garbage;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::history::History;
use crate::schedule::{Schedule, Spell};
use crate::stage::Stage;
use database::DatabaseSaboteur;
use redis::RedisSaboteur;

/// Works its way through a schedule.
pub(crate) struct Saboteur {
    redis: RedisSaboteur,
    database: DatabaseSaboteur,
    history: Arc<History>,
}

impl Saboteur {
    /// One for this stage; what it does beyond the schedule follows from `random`.
    pub(crate) fn new(stage: &Arc<Stage>, history: Arc<History>, random: &mut Rng) -> Self {
        Self {
            redis: RedisSaboteur::new(Arc::clone(stage), random.fork()),
            database: DatabaseSaboteur::new(Arc::clone(stage), random.fork()),
            history,
        }
    }

    /// Breaks and mends; at the end, nothing is broken.
    pub(crate) async fn work(mut self, schedule: Schedule) {
        for Spell {
            calm,
            length,
            redis,
            database,
        } in schedule.0
        {
            sleep(calm).await;
            let history = &self.history;
            let to_redis = async {
                if let Some(fault) = redis {
                    let _lasts = history.begin(named("redis", fault), false);
                    self.redis.inflict(fault, length).await;
                }
            };
            let to_database = async {
                if let Some(fault) = database {
                    let _lasts = history.begin(named("database", fault), true);
                    self.database.inflict(fault, length).await;
                }
            };
            tokio::join!(to_redis, to_database);
        }
    }
}

/// What the history calls a fault.
pub(crate) fn named(whose: &str, fault: impl std::fmt::Debug) -> String {
    format!("{whose} {}", format!("{fault:?}").to_lowercase())
}

/// Does something again and again for so long.
pub(crate) async fn repeat(length: Duration, pause: Duration, mut what: impl AsyncFnMut()) {
    let end = tokio::time::Instant::now() + length;
    while tokio::time::Instant::now() < end {
        what().await;
        sleep(pause).await;
    }
}

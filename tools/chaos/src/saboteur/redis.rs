//! What is done to Redis, and how it is undone.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use testkit::Mode;
use tokio::time::sleep;

use super::garbage::Garbage;
use super::repeat;
use crate::schedule::RedisFault;
use crate::stage::Stage;

pub(super) struct RedisSaboteur {
    stage: Arc<Stage>,
    garbage: Garbage,
    random: Rng,
}

impl RedisSaboteur {
    pub(super) fn new(stage: Arc<Stage>, mut random: Rng) -> Self {
        let garbage = Garbage::new(stage.redis.url(), random.fork());
        Self {
            stage,
            garbage,
            random,
        }
    }

    /// Breaks it for so long; on return it is whole.
    pub(super) async fn inflict(&mut self, fault: RedisFault, length: Duration) {
        let redis = &self.stage.redis;
        match fault {
            RedisFault::Swallow => self.network(Mode::Swallow, length).await,
            RedisFault::Refuse => self.network(Mode::Refuse, length).await,
            RedisFault::Reset => self.network(Mode::Reset, length).await,
            RedisFault::Mute => self.network(Mode::Mute, length).await,
            RedisFault::Delay => {
                self.network(Mode::Delay(Duration::from_millis(200)), length)
                    .await
            }
            RedisFault::MuteCurrent => {
                self.stage.to_redis.mute_current().await;
                sleep(length).await;
            }
            RedisFault::HangUpMidReply => {
                repeat(length, Duration::from_millis(100), async || {
                    self.stage
                        .to_redis
                        .hang_up_mid_reply(self.random.usize(0..100));
                })
                .await;
            }
            RedisFault::Freeze => {
                redis.freeze().await;
                sleep(length).await;
                redis.thaw().await;
            }
            RedisFault::Restart => {
                redis.kill().await;
                sleep(length).await;
                redis.start_again().await;
            }
            RedisFault::Flush => {
                let pause = Duration::from_millis(500);
                repeat(length, pause, async || drop(redis.cli(&["FLUSHALL"]).await)).await;
            }
            RedisFault::Garbage => self.garbage.strew(length).await,
            RedisFault::Full => {
                redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
                sleep(length).await;
                redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
            }
        }
    }

    async fn network(&self, mode: Mode, length: Duration) {
        self.stage.to_redis.set(mode).await;
        sleep(length).await;
        self.stage.to_redis.set(Mode::Pass).await;
    }
}

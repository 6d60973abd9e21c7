//! [`Saboteur`]: breaks Redis for all replicas, or the ways of one of them to its servers, and mends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use testkit::{Mode, Proxy};
use tokio::time::sleep;

use super::caller::Scene;
use crate::history::History;
use crate::saboteur::{named, repeat};
use crate::schedule::{Deck, milliseconds};

/// What can happen to Redis.
#[derive(Clone, Copy, Debug)]
enum RedisFault {
    /// It is killed, and comes back empty.
    Restart,
    Freeze,
    Flush,
    /// It takes no writes.
    Full,
}

/// What can happen to one replica, while the others have all they need.
#[derive(Clone, Copy, Debug)]
enum ReplicaFault {
    /// Redis is away from it, in four ways.
    RedisRefused,
    RedisReset,
    RedisSwallowed,
    RedisMute,
    /// The connection to Redis in use never answers again.
    RedisMuteCurrent,
    RedisSlow,
    /// Between an answer of the database and its arrival, much can happen.
    DatabaseSlow,
    /// It hears nothing of changes.
    Deaf,
    /// The process stands still.
    Stopped,
}

const REDIS_FAULTS: [RedisFault; 4] = {
    use RedisFault::*;
    [Restart, Freeze, Flush, Full]
};

const REPLICA_FAULTS: [ReplicaFault; 9] = {
    use ReplicaFault::*;
    [
        RedisRefused,
        RedisReset,
        RedisSwallowed,
        RedisMute,
        RedisMuteCurrent,
        RedisSlow,
        DatabaseSlow,
        Deaf,
        Stopped,
    ]
};

/// Works from a seed until it is told to stop.
pub(crate) struct Saboteur {
    scene: Arc<Scene>,
    history: Arc<History>,
    random: Rng,
    redis: Deck<RedisFault>,
    replica: Deck<ReplicaFault>,
}

impl Saboteur {
    /// What it does follows from the seed.
    pub(crate) fn new(scene: Arc<Scene>, history: Arc<History>) -> Self {
        let random = Rng::with_seed(scene.seed);
        Self {
            scene,
            history,
            random,
            redis: Deck::new(&REDIS_FAULTS),
            replica: Deck::new(&REPLICA_FAULTS),
        }
    }

    /// Breaks and mends; at the end, nothing is broken.
    pub(crate) async fn work(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let calm = milliseconds(&mut self.random, 100..700);
            let length = milliseconds(&mut self.random, 200..1_500);
            let which = self.random.u32(0..100);
            let redis = (which < 60).then(|| self.redis.draw(&mut self.random));
            let replica = (which >= 35).then(|| self.replica.draw(&mut self.random));
            let number = self.random.usize(..self.scene.fleet.replicas.len());
            sleep(calm).await;
            let for_all = async {
                if let Some(fault) = redis {
                    let _lasts = self.history.begin(named("redis", fault), false);
                    self.break_redis(fault, length).await;
                }
            };
            let for_one = async {
                if let Some(fault) = replica {
                    let name = named(&format!("replica {number}"), fault);
                    let _lasts = self.history.begin(name, false);
                    self.break_replica(number, fault, length).await;
                }
            };
            tokio::join!(for_all, for_one);
        }
    }

    async fn break_redis(&self, fault: RedisFault, length: Duration) {
        let redis = &self.scene.fleet.redis;
        match fault {
            RedisFault::Restart => {
                redis.kill().await;
                sleep(length).await;
                redis.start_again().await;
            }
            RedisFault::Freeze => {
                redis.freeze().await;
                sleep(length).await;
                redis.thaw().await;
            }
            RedisFault::Flush => {
                let pause = Duration::from_millis(50);
                repeat(length, pause, async || drop(redis.cli(&["FLUSHALL"]).await)).await;
            }
            RedisFault::Full => {
                redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
                sleep(length).await;
                redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
            }
        }
    }

    async fn break_replica(&self, number: usize, fault: ReplicaFault, length: Duration) {
        let replica = &self.scene.fleet.replicas[number];
        let (to_redis, to_database) = (&replica.to_redis, &replica.to_database);
        let slow = |milliseconds| Mode::Delay(Duration::from_millis(milliseconds));
        match fault {
            ReplicaFault::RedisRefused => network(to_redis, Mode::Refuse, length).await,
            ReplicaFault::RedisReset => network(to_redis, Mode::Reset, length).await,
            ReplicaFault::RedisSwallowed => network(to_redis, Mode::Swallow, length).await,
            ReplicaFault::RedisMute => network(to_redis, Mode::Mute, length).await,
            ReplicaFault::RedisSlow => network(to_redis, slow(30), length).await,
            ReplicaFault::DatabaseSlow => network(to_database, slow(60), length).await,
            ReplicaFault::RedisMuteCurrent => {
                to_redis.mute_current().await;
                sleep(length).await;
            }
            ReplicaFault::Deaf => {
                let pause = Duration::from_millis(50);
                let database = &self.scene.fleet.database;
                repeat(length, pause, async || database.deafen(number).await).await;
            }
            ReplicaFault::Stopped => {
                replica.process.order("freeze").await;
                sleep(length).await;
                replica.process.order("thaw").await;
            }
        }
    }
}

async fn network(proxy: &Proxy, mode: Mode, length: Duration) {
    proxy.set(mode).await;
    sleep(length).await;
    proxy.set(Mode::Pass).await;
}

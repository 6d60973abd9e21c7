//! [`Server`]: what `REDIS_URL` names, and how to reach it: one server, a cluster, or the master that sentinels name.
//!
//! Which node of a cluster has what, and which server is the master, is the client's to find out.

mod address;

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisResult};
use tokio::time::timeout;

use super::line::Line;

/// What `REDIS_URL` names.
#[derive(Clone, Debug)]
pub(super) struct Server {
    kind: Kind,
    handshake: Duration,
}

#[derive(Clone, Debug)]
enum Kind {
    One(Client),
    Master(Sentinels),
    Cluster {
        client: Box<ClusterClient>,
        seeds: Vec<Client>,
    },
}

/// Who knows which server is the master, and how to talk to that one.
#[derive(Clone, Debug)]
struct Sentinels {
    addresses: Vec<ConnectionInfo>,
    name: String,
    master: SentinelNodeConnectionInfo,
}

/// Longest that connecting to one node may take, name look-up and handshake included; longer where calls may take long.
const HANDSHAKE: Duration = Duration::from_millis(250);

/// How many commands may queue for one node's socket.
const PIPELINE: usize = 1024;

impl Server {
    /// Checks the address; `patience` is how long one call may take. What is wrong is said without showing it.
    pub(super) fn at(url: &str, patience: Duration) -> Result<Self, &'static str> {
        let handshake = HANDSHAKE.max(patience * 5);
        let kind = address::read(url, handshake)?;
        Ok(Self { kind, handshake })
    }

    /// Connects, but proves nothing.
    pub(super) async fn dial(&self) -> RedisResult<Line> {
        match &self.kind {
            Kind::One(client) => Ok(Line::One(connect(client).await?)),
            Kind::Master(sentinels) => Ok(Line::Master(connect(&sentinels.master().await?).await?)),
            Kind::Cluster { client, .. } => Ok(Line::Cluster(client.get_async_connection().await?)),
        }
    }

    /// Longest that [`Server::dial`] may take.
    pub(super) fn longest_dial(&self) -> Duration {
        match self.kind {
            Kind::One(_) => self.handshake,
            // A sentinel, the master, and once more to stay; or all seeds, then all nodes.
            Kind::Master(_) | Kind::Cluster { .. } => self.handshake * 4,
        }
    }

    /// A connection of its own for messages: to the master, or to any node of a cluster, for each hears what is
    /// published on any other.
    pub(super) async fn subscribe(&self) -> RedisResult<PubSub> {
        match &self.kind {
            Kind::One(client) => client.get_async_pubsub().await,
            Kind::Master(sentinels) => sentinels.master().await?.get_async_pubsub().await,
            Kind::Cluster { seeds, .. } => self.subscribe_at_any(seeds).await,
        }
    }

    async fn subscribe_at_any(&self, seeds: &[Client]) -> RedisResult<PubSub> {
        let no_answer = || (ErrorKind::ClusterConnectionNotFound, "no answer in time").into();
        let mut outcome = Err(no_answer());
        let first = fastrand::usize(..seeds.len());
        for seed in seeds[first..].iter().chain(&seeds[..first]) {
            let dial = timeout(self.handshake, seed.get_async_pubsub()).await;
            outcome = dial.unwrap_or_else(|_| Err(no_answer()));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

impl Sentinels {
    /// The master, as they have it now.
    async fn master(&self) -> RedisResult<Client> {
        // In another order each time, so that a silent one is not waited for each time.
        let mut addresses = self.addresses.clone();
        fastrand::shuffle(&mut addresses);
        let mut sentinel = Sentinel::build(addresses)?;
        sentinel
            .async_master_for(&self.name, Some(&self.master))
            .await
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

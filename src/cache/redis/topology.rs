//! [`Server`]: what `REDIS_URL` names, and how to connect to it: one server, a cluster, or the master that sentinels name.
//! [`Link`]: what commands are sent over, and what its errors mean.
//!
//! The client finds out which node of a cluster holds a key, and which server is the master.

mod address;

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError,
    RedisFuture, RedisResult, Role, ServerErrorKind, Value,
};
use tokio::time::timeout;

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

/// The sentinels that know which server is the master, and how to connect to that one.
#[derive(Clone, Debug)]
struct Sentinels {
    addresses: Vec<ConnectionInfo>,
    name: String,
    master: SentinelNodeConnectionInfo,
}

/// Longest that connecting to one node may take, name look-up and handshake included. It grows with the time-out of a
/// call.
const HANDSHAKE: Duration = Duration::from_millis(250);

/// How many commands may queue for one node's socket.
const PIPELINE: usize = 1024;

impl Server {
    /// Checks the address; `timeout` bounds one call. The error never shows the address.
    pub(super) fn at(url: &str, timeout: Duration) -> Result<Self, &'static str> {
        let handshake = HANDSHAKE.max(timeout * 5);
        let kind = address::read(url, handshake)?;
        Ok(Self { kind, handshake })
    }

    /// Connects. [`Link::check`] says whether the link can be used.
    pub(super) async fn connect(&self) -> RedisResult<Link> {
        match &self.kind {
            Kind::One(client) => Ok(Link::One(connect(client).await?)),
            Kind::Master(sentinels) => Ok(Link::Master(connect(&sentinels.master().await?).await?)),
            Kind::Cluster { client, .. } => Ok(Link::Cluster(client.get_async_connection().await?)),
        }
    }

    /// Longest that [`Server::connect`] may take.
    pub(super) fn longest_connect(&self) -> Duration {
        match self.kind {
            Kind::One(_) => self.handshake,
            // A sentinel, the master, and once more to stay; or all seeds, then all nodes.
            Kind::Master(_) | Kind::Cluster { .. } => self.handshake * 4,
        }
    }

    /// A connection of its own for messages: to the master, or to any node of a cluster, because each node passes on
    /// what is published on the others.
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
            let connected = timeout(self.handshake, seed.get_async_pubsub()).await;
            outcome = connected.unwrap_or_else(|_| Err(no_answer()));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

impl Sentinels {
    /// The master that the sentinels name at the moment.
    async fn master(&self) -> RedisResult<Client> {
        // In another order each time, so that a silent sentinel does not delay each attempt.
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

/// A connection for commands; to a cluster, one to each node.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server. It may be a master or a replica.
    One(MultiplexedConnection),
    /// To the server that sentinels named as the master.
    Master(MultiplexedConnection),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

/// What an error says of the link that it came over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    /// It is well: the server has answered with an error.
    Well,
    /// The node that holds the key does not answer. Others may.
    NodeAway,
    /// It is of no use any more, for this reason.
    Lost(&'static str),
}

impl Link {
    /// The health check that makes a link usable. One server answers a PING. A master says that it is one. In a cluster
    /// every connected master answers a PING, and one of them says that the cluster takes queries.
    pub(super) async fn check(&mut self) -> RedisResult<()> {
        match self {
            Self::One(server) => redis::cmd("PING").query_async(server).await,
            Self::Master(server) => match redis::cmd("ROLE").query_async(server).await? {
                Role::Primary { .. } => Ok(()),
                _ => Err((ServerErrorKind::ReadOnly.into(), "not the master").into()),
            },
            Self::Cluster(nodes) => {
                redis::cmd("PING").query_async::<Value>(nodes).await?;
                let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(nodes).await?;
                if info.contains("cluster_state:ok") {
                    Ok(())
                } else {
                    Err((ServerErrorKind::ClusterDown.into(), "it takes no queries").into())
                }
            }
        }
    }

    /// What an error says of this link.
    pub(super) fn state_after(&self, error: &RedisError) -> LinkState {
        let is_answer = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        match self {
            Self::Master(_) if error.kind() == ServerErrorKind::ReadOnly.into() => {
                LinkState::Lost("it is not the master any more")
            }
            Self::Cluster(_) if error.kind() == ErrorKind::ClusterConnectionNotFound => {
                LinkState::Lost("none of its nodes can be reached")
            }
            Self::Cluster(_) if error.is_cluster_error() || !is_answer => LinkState::NodeAway,
            _ if is_answer => LinkState::Well,
            _ => LinkState::Lost("its connection broke"),
        }
    }

    /// Whether there is more than one server, so that one that is silent says nothing of the others.
    pub(super) fn has_several_nodes(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(server) | Self::Master(server) => server.req_packed_command(command),
            Self::Cluster(nodes) => nodes.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(server) | Self::Master(server) => {
                server.req_packed_commands(commands, offset, count)
            }
            Self::Cluster(nodes) => nodes.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(server) | Self::Master(server) => server.get_db(),
            Self::Cluster(nodes) => nodes.get_db(),
        }
    }
}

/// A time-out in words for the log.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// An error in words for the log. They never hold an address.
pub(super) fn reason(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "it refuses the credentials",
        ErrorKind::Io => "no connection",
        ErrorKind::ClusterConnectionNotFound => "none of its nodes can be reached",
        ErrorKind::MasterNameNotFoundBySentinel => "no sentinel knows a master that is there",
        ErrorKind::Server(_) | ErrorKind::Extension => "it answers with an error",
        _ => "it does not speak as expected",
    }
}

//! [`Line`]: what commands go over, and what its errors mean: to one server, to a master, or to all nodes of a cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Role, ServerErrorKind, Value,
};

/// A connection for commands; of a cluster, one to each node.
#[derive(Clone)]
pub(super) enum Line {
    /// To one server, whatever it is.
    One(MultiplexedConnection),
    /// To the server that sentinels named as the master.
    Master(MultiplexedConnection),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

/// What an error says of the line that it came over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The server has answered.
    Answer,
    /// The node that has the key cannot be asked; others may well be.
    Away,
    /// The line is of no use any more, for this reason.
    Lost(&'static str),
}

impl Line {
    /// Asks for the sign of life that makes a line usable. One server answers a PING; a master says that it is one; in
    /// a cluster every master that the client is connected to answers a PING, and one of them says that the cluster
    /// takes queries.
    pub(super) async fn prove(&mut self) -> RedisResult<()> {
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

    /// What an error says of this line.
    pub(super) fn meaning(&self, error: &RedisError) -> Meaning {
        let is_answer = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        match self {
            Self::Master(_) if error.kind() == ServerErrorKind::ReadOnly.into() => {
                Meaning::Lost("it is not the master any more")
            }
            Self::Cluster(_) if error.kind() == ErrorKind::ClusterConnectionNotFound => {
                Meaning::Lost("none of its nodes can be reached")
            }
            Self::Cluster(_) if error.is_cluster_error() || !is_answer => Meaning::Away,
            _ if is_answer => Meaning::Answer,
            _ => Meaning::Lost("its connection broke"),
        }
    }

    /// Whether there is more than one server, so that the silence of one says nothing of the others.
    pub(super) fn has_several_nodes(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

impl ConnectionLike for Line {
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

/// Why, for the log: never an address.
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

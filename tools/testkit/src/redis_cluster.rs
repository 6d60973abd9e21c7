//! A private Redis Cluster of three masters.

use redis::Value;

use super::port::ReservedPort;
use super::{Redis, eventually};

/// The slots that keys are spread over.
const SLOTS: usize = 16_384;

const MASTERS: usize = 3;

/// Three masters without replicas, each with a third of the slots; what one has goes away with it, and the others go on.
pub struct RedisCluster {
    nodes: Vec<Redis>,
    buses: Vec<ReservedPort>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each of them takes queries.
    pub async fn start() -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            buses: Vec::new(),
        };
        for index in 0..MASTERS {
            cluster.add().await;
            let [first, next] = [index, index + 1].map(|index| SLOTS * index / MASTERS);
            let (first, last) = (first.to_string(), (next - 1).to_string());
            let node = cluster.node(index);
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
        }
        for node in &cluster.nodes {
            eventually("the node takes queries", async || {
                let info = text(node.cli(&["CLUSTER", "INFO"]).await);
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
            .await;
        }
        cluster
    }

    /// Starts one more node, which the first introduces to the others.
    async fn add(&mut self) {
        let bus = ReservedPort::new();
        let port = bus.number().to_string();
        let options = [
            "--cluster-enabled",
            "yes",
            "--cluster-require-full-coverage",
            "no",
            "--cluster-node-timeout",
            "1000",
            "--cluster-port",
            &port,
        ];
        let node = Redis::start_with(&options).await;
        if let (Some(first), Some(bus)) = (self.nodes.first(), self.buses.first()) {
            let (port, bus) = (first.port().to_string(), bus.number().to_string());
            node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await;
        }
        self.nodes.push(node);
        self.buses.push(bus);
    }

    /// Starts a replica of a node, waits until it has what that one has, and returns its own number.
    pub async fn add_replica_of(&mut self, index: usize) -> usize {
        self.add().await;
        let (master, replica) = (&self.nodes[index], self.nodes.last().expect("one more"));
        let id = self.id(index).await;
        eventually("they know each other", async || {
            text(replica.cli(&["CLUSTER", "NODES"]).await).contains(&id)
        })
        .await;
        replica.cli(&["CLUSTER", "REPLICATE", &id]).await;
        for node in &self.nodes {
            eventually("every node knows the replica", async || {
                text(node.cli(&["CLUSTER", "NODES"]).await).contains(&format!("slave {id}"))
            })
            .await;
        }
        eventually("the replica follows", async || {
            text(master.cli(&["INFO", "replication"]).await).contains("state=online")
        })
        .await;
        self.nodes.len() - 1
    }

    /// The address of the cluster, with two of its nodes.
    pub fn url(&self) -> String {
        let [first, second] = [0, 1].map(|node| self.nodes[node].port());
        format!("redis-cluster://127.0.0.1:{first},127.0.0.1:{second}")
    }

    /// One of them.
    pub fn node(&self, index: usize) -> &Redis {
        &self.nodes[index]
    }

    /// Which of the nodes has this key, as long as no slots have moved.
    pub async fn owner(&self, key: &str) -> usize {
        let slot = self.slot(key).await;
        let is_after = |index: &usize| slot >= SLOTS * index / MASTERS;
        (0..MASTERS).rfind(is_after).expect("node 0")
    }

    /// Which slot this key is in.
    pub async fn slot(&self, key: &str) -> usize {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).await;
        redis::from_redis_value(slot).expect("a slot")
    }

    /// What the cluster calls a node.
    pub async fn id(&self, index: usize) -> String {
        text(self.nodes[index].cli(&["CLUSTER", "MYID"]).await)
    }
}

/// A reply that is a text.
pub(crate) fn text(reply: Value) -> String {
    redis::from_redis_value(reply).expect("a text")
}

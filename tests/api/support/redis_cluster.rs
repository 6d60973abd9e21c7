//! A private Redis Cluster of three masters.

use redis::Value;

use super::port::ReservedPort;
use super::{Redis, eventually};

/// The slots that keys are spread over.
const SLOTS: usize = 16_384;

/// Three masters without replicas, each with a third of the slots; what one has goes away with it, and the others go on.
pub(crate) struct RedisCluster {
    nodes: Vec<Redis>,
    _buses: Vec<ReservedPort>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each of them takes queries.
    pub(crate) async fn start() -> Self {
        let (mut nodes, mut buses) = (Vec::new(), Vec::new());
        for _ in 0..3 {
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
            nodes.push(Redis::start_with(&options).await);
            buses.push(bus);
        }
        let port = nodes[0].port().to_string();
        let bus = buses[0].number().to_string();
        for (index, node) in nodes.iter().enumerate() {
            let [first, next] = [index, index + 1].map(|index| SLOTS * index / nodes.len());
            let (first, last) = (first.to_string(), (next - 1).to_string());
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await;
        }
        let cluster = Self {
            nodes,
            _buses: buses,
        };
        for node in &cluster.nodes {
            eventually("the node takes queries", async || {
                let info = text(node.cli(&["CLUSTER", "INFO"]).await);
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
            .await;
        }
        cluster
    }

    /// The address of the cluster, with two of its nodes.
    pub(crate) fn url(&self) -> String {
        let [first, second] = [0, 1].map(|node| self.nodes[node].port());
        format!("redis-cluster://127.0.0.1:{first},127.0.0.1:{second}")
    }

    /// One of the three.
    pub(crate) fn node(&self, index: usize) -> &Redis {
        &self.nodes[index]
    }

    /// Which of the nodes has this key.
    pub(crate) async fn owner(&self, key: &str) -> usize {
        let Value::Int(slot) = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).await else {
            panic!("no slot")
        };
        let slot = usize::try_from(slot).expect("a slot");
        let is_after = |index: &usize| slot >= SLOTS * index / self.nodes.len();
        (0..self.nodes.len())
            .filter(is_after)
            .last()
            .expect("node 0")
    }
}

/// A reply that is a text.
pub(super) fn text(reply: Value) -> String {
    redis::from_redis_value(reply).expect("a text")
}

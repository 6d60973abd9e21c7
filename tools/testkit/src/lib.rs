//! What the tests and the tools stand on: private servers, a network that can be broken, an HTTP client, and waiting.
//!
//! Only [`service`] knows the service. Nothing here has to be cleaned up by a test: see [`guarded`].

#![expect(
    clippy::new_without_default,
    clippy::len_without_is_empty,
    reason = "only what the tests and the tools use is here"
)]

pub mod browser;
pub mod database;
pub mod guarded;
pub mod haproxy;
pub mod http;
pub mod metrics;
pub mod mysql;
pub mod port;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod server;
pub mod service;
pub mod waiting;

pub use browser::Browser;
pub use haproxy::Haproxy;
pub use metrics::Scrape;
pub use mysql::MySql;
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use proxy::{Mode, Proxy};
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinel;
pub use server::Server;
pub use service::Service;
pub use waiting::eventually;

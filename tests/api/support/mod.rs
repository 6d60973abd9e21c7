//! What the tests stand on: private servers, a network that can be broken, an HTTP client, and waiting.
//!
//! Nothing here knows the service, and nothing here has to be cleaned up by a test: see [`guarded`].

pub(crate) mod browser;
pub(crate) mod database;
pub(crate) mod guarded;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod mysql;
pub(crate) mod port;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod redis_sentinel;
pub(crate) mod service;
pub(crate) mod waiting;

pub(crate) use browser::Browser;
pub(crate) use haproxy::Haproxy;
pub(crate) use metrics::Scrape;
pub(crate) use mysql::MySql;
pub(crate) use postgres::Postgres;
pub(crate) use prometheus::Prometheus;
pub(crate) use proxy::{Mode, Proxy};
pub(crate) use redis::Redis;
pub(crate) use redis_cluster::RedisCluster;
pub(crate) use redis_sentinel::RedisSentinel;
pub(crate) use service::Service;
pub(crate) use waiting::eventually;

//! The one integration-test binary: the whole service through its public router, against real PostgreSQL and Redis.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod alerts;
mod balancer;
mod contract;
mod copies;
mod counting;
mod dashboard;
mod documents;
mod faults;
mod fleet;
mod kubernetes;
mod lab;
mod life_cycle;
mod loadtest;
mod mysql;
mod operator_log;
mod process;
mod read_path;
mod refresh;
mod stampede;
mod together;
mod topologies;
mod traces;
mod walls;
mod writing;

//! The whole module on shuttle's runtime and locks: random schedules of callers, loads, runtimes and drains.

include!(concat!(env!("OUT_DIR"), "/planted.rs"));

pub mod world;

//! The whole module on shuttle's runtime and locks: random schedules of spawn, abort, leave and join.

include!(concat!(env!("OUT_DIR"), "/planted.rs"));

//! The whole module against a reference model, in random sequences of operations on one thread.

include!(concat!(env!("OUT_DIR"), "/planted.rs"));

//! The kernel under loom: every interleaving of a few threads, as it is and with a bug in it.
//!
//! `LOOM_MAX_PREEMPTIONS` bounds the search; without it the search is complete.

include!(concat!(env!("OUT_DIR"), "/planted.rs"));

#[cfg(test)]
#[macro_use]
mod scenarios;

#[cfg(test)]
mod tests;

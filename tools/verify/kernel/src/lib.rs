//! The kernel under loom: every interleaving of a few threads, as it is and with a bug in it.
//!
//! `LOOM_MAX_PREEMPTIONS` bounds the search: at most so many times a thread is put off where it could go on (4 unless set).

include!(concat!(env!("OUT_DIR"), "/planted.rs"));

/// What the kernel uses of tokio.
#[allow(dead_code)]
pub(crate) mod world;

#[cfg(test)]
#[macro_use]
mod scenarios;

#[cfg(test)]
mod tests;

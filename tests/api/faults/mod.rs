//! Everything that can go wrong with the backends, the network and the callers, and what must be seen meanwhile.
//!
//! Outages go through a proxy or a signal to a server of the test's own. What happened is counted rather than timed.

mod callers;
mod database;
mod gone;
mod incident;
mod load;
mod overload;
mod pairings;
mod redis;

const ALL_WELL: &str = "database: ok\ncache: ok\n";
const NO_CACHE: &str = "database: ok\ncache: down\n";
const NO_DATABASE: &str = "database: down\ncache: ok\n";

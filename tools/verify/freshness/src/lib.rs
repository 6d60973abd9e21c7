//! The rules of freshness against a model of two replicas, one Redis and one database, in random histories.
//!
//! [`history`] says what can happen, `model` lets it happen over one planted module, as `src/service` and `src/cache` do,
//! and [`watch`] knows what the page of rules in `src/freshness/mod.rs` forbids.

pub mod history;
#[path = "mutants.rs"]
pub mod mutants;
// What the planted copies of `src/freshness` know of the rest, without the rest and its dependencies.
#[path = "../../../../src/template.rs"]
pub mod template;
pub mod watch;

/// What the planted sources ask of the settings.
pub mod config {
    use std::time::Duration;

    pub struct Config {
        pub cache_ttl: Duration,
        pub cache_ttl_jitter: f64,
        pub negative_ttl: Duration,
        pub stale_while_revalidate: Duration,
        pub stale_for: Duration,
        pub near_for: Duration,
        pub longest_own_load: Duration,
    }

    impl Config {
        pub fn longest_load(&self) -> Duration {
            self.longest_own_load * 2
        }
    }
}

/// Lets a history happen. An error says what of the page was broken, and when.
pub type Run = fn(&history::Setting, &[history::Step]) -> Result<(), String>;

include!(concat!(env!("OUT_DIR"), "/planted.rs"));

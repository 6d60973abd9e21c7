//! What the service tells of its work besides counters: [`logs`] and [`traces`].

mod logs;
pub mod traces;

pub use logs::start;

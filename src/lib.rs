//! A template service that meets a cache stampede, and what defeats one.
//!
//! The path of a request, one module after the other:
//!
//! - [`http`] parses it, admits it, and turns what comes back into status, headers and bytes;
//! - [`service`] is the path itself: cache, local copy, flight, stale copy;
//! - [`cache`] asks Redis, or the cache inside the process that stands in for it;
//! - [`local`] keeps the last-known-good copies;
//! - [`singleflight`] runs one load per template at a time, and is usable on its own;
//! - [`store`] asks PostgreSQL or SQLite, within a fixed number of slots;
//! - [`template`] is what it is all about.
//!
//! Around them: [`config`] reads the settings, [`backends`] and [`app`] wire the parts and run them, [`metrics`] counts,
//! [`telemetry`] logs, [`signals`] ends it, [`healthcheck`] asks from outside.
//! [`lab`] makes a stampede, and [`fault`]s, for a person to see what comes of them.

pub mod app;
pub mod backends;
pub mod cache;
pub mod config;
pub mod fault;
pub mod freshness;
pub mod healthcheck;
pub mod http;
pub mod lab;

pub mod metrics;
pub mod service;
pub mod signals;
pub mod singleflight;
pub mod store;
pub mod telemetry;
pub mod template;

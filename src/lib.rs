//! A template service that meets a cache stampede, and what defeats one.
//!
//! The path of a request, one module after the other:
//!
//! - [`http`] parses it, admits it, and turns the answer into status, headers and bytes;
//! - [`service`] is the path itself: near copy, cache, local copy, flight, older copy;
//! - [`freshness`] decides what may be shown and stored: its docs are the page to read first;
//! - [`cache`] asks Redis, or the cache inside the process that stands in for it;
//! - [`singleflight`] runs one load per template at a time, and is usable on its own;
//! - [`store`] asks PostgreSQL, MySQL or SQLite, with a hard limit of queries;
//! - [`template`] is what it is all about.
//!
//! Around them: [`config`] reads the settings, [`backends`] and [`app`] build the parts and run them, [`metrics`] counts
//! [`outcomes`], [`telemetry`] logs and traces, [`start_report`] and [`outages`] say what an operator has to know, [`signals`] ends
//! it, [`healthcheck`] asks from outside.
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
pub mod outages;
pub mod outcomes;
pub mod service;
pub mod signals;
pub mod singleflight;
pub mod start_report;
pub mod store;
pub mod telemetry;
pub mod template;

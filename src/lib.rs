//! A template service that meets a cache stampede, and what defeats one.

pub mod singleflight;

//! Tests of what the other tests stand on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod http;
mod network;
mod servers;

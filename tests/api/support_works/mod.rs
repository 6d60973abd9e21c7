//! Tests of what the other tests stand on.

mod http;
mod network;
mod servers;

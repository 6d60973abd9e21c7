//! The one integration-test binary: the whole service through its public router, against real PostgreSQL and Redis.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod dashboard;
mod loadtest;
mod support;
mod support_works;

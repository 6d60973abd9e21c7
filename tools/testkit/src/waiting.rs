//! Waiting for what has no event of its own.

use std::time::{Duration, Instant};

/// Longest wait for anything; reached only by a failing test.
pub const BACKSTOP: Duration = Duration::from_secs(30);

/// Asks `condition` until it holds; `what` completes the sentence "waited in vain until ...".
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    // The system's clock, so that a test with a paused one waits for the world just as long.
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < BACKSTOP, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//! [`Delay`]: the artificial latency of each query (`DB_DELAY`), and how it grows when many queries run at once.
//!
//! An artificial latency alone makes a database that never tires: a hundred queries at once take as long as one. A real
//! one has cores and disks for so many and no more. That number is the *knee*, and this is the one formula:
//!
//! > time of a query = delay × max(1, queries that run / knee)
//!
//! Beyond the knee the queries share what there is, so that all of them get slower while the database answers no more of
//! them per second than before (processor sharing). It is the least harm that a full database can do. A square would be
//! nearer to one that also fights over locks, but then a lab would exaggerate; nothing here is worse than arithmetic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a query is held back.
#[derive(Debug)]
pub(super) struct Delay {
    time: Duration,
    /// None: no number of queries is too many.
    knee: Option<usize>,
    running: AtomicUsize,
}

/// How often in its course a query looks at how many others run.
const LOOKS: u32 = 10;

impl Delay {
    pub(super) fn new(time: Duration, knee: Option<usize>) -> Self {
        Self {
            time,
            knee,
            running: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.time.is_zero()
    }

    /// Holds one query back. It counts as running until this is dropped.
    pub(super) async fn hold(&self) {
        let Some(knee) = self.knee else {
            return sleep(self.time).await;
        };
        let _running = Running::begin(&self.running);
        let mut left = self.time;
        while !left.is_zero() {
            let slower = (self.running.load(Ordering::Relaxed) as f64 / knee as f64).max(1.0);
            let began = Instant::now();
            sleep(left.min(self.time / LOOKS).mul_f64(slower)).await;
            // A timer that rang late is work that was done.
            left = left.saturating_sub(began.elapsed().div_f64(slower));
        }
    }
}

struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn begin(running: &'a AtomicUsize) -> Self {
        running.fetch_add(1, Ordering::Relaxed);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    const QUERY: Duration = Duration::from_millis(100);

    /// How long so many queries take that begin together.
    async fn together(delay: &Delay, queries: usize) -> Duration {
        let began = Instant::now();
        join_all((0..queries).map(|_| delay.hold())).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn up_to_the_knee_a_query_takes_its_time_and_beyond_it_a_share_of_the_database() {
        let delay = Delay::new(QUERY, Some(10));
        assert_eq!(together(&delay, 1).await, QUERY);
        assert_eq!(together(&delay, 10).await, QUERY);
        let five_times = together(&delay, 50).await;
        assert!(
            (QUERY * 5..QUERY * 5 + QUERY / 5).contains(&five_times),
            "{five_times:?}"
        );
        assert_eq!(delay.running.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_knee_no_number_is_too_many() {
        assert_eq!(together(&Delay::new(QUERY, None), 1_000).await, QUERY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_is_given_up_leaves_its_share_to_the_others() {
        let delay = Delay::new(QUERY, Some(1));
        let began = Instant::now();
        let given_up = tokio::time::timeout(QUERY, delay.hold());
        let (given_up, ()) = tokio::join!(given_up, delay.hold());
        assert!(given_up.is_err());
        // Half of the work in the first 100 ms, the other half alone in the next 50.
        let took = began.elapsed();
        assert!((QUERY * 3 / 2..QUERY * 2).contains(&took), "{took:?}");
    }
}

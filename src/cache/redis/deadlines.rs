//! [`Deadlines`]: time-outs of calls, kept by sleeps that are used again.
//!
//! Nearly every call ends long before its time-out. A sleep of its own would be entered among all others of the runtime
//! and taken out again, under a lock, each time; these stay where they are, and are moved when they fire too early, or
//! would fire too late.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::{future::poll_fn, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

/// Time-outs that are all of the same length.
pub(super) struct Deadlines {
    patience: Duration,
    idle: Mutex<Vec<Pin<Box<Sleep>>>>,
}

/// More than wait at the same time for a Redis that is well.
const MOST_IDLE: usize = 1024;

impl Deadlines {
    pub(super) fn new(patience: Duration) -> Self {
        let idle = Mutex::default();
        Self { patience, idle }
    }

    /// What a future comes to, if it does so in time, counted from when it began.
    pub(super) async fn meet<F: Future>(
        &self,
        began: Instant,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        let mut wait = Wait {
            deadlines: self,
            until: began + self.patience,
            sleep: None,
        };
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => wait.poll(context).map(|()| None),
        })
        .await
    }
}

/// One wait; gives its sleep back when it is dropped, however it ended.
struct Wait<'a> {
    deadlines: &'a Deadlines,
    until: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Wait<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (deadlines, until) = (self.deadlines, self.until);
        let sleep = self.sleep.get_or_insert_with(|| {
            let idle = deadlines.idle.lock().pop();
            let mut sleep = idle.unwrap_or_else(|| Box::pin(sleep_until(until)));
            // Set for a call that began later.
            if sleep.deadline() > until {
                sleep.as_mut().reset(until);
            }
            sleep
        });
        while sleep.as_mut().poll(context).is_ready() {
            // It may have been set for an earlier call.
            if sleep.deadline() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            let mut idle = self.deadlines.idle.lock();
            if idle.len() < MOST_IDLE {
                idle.push(sleep);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_is_had_and_what_does_not_is_given_up_in_time() {
        let deadlines = Deadlines::new(PATIENCE);
        assert_eq!(
            deadlines.meet(Instant::now(), pin!(ready(7))).await,
            Some(7)
        );
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(deadlines.meet(began, pin!(pending::<()>())).await, None);
            assert_eq!(began.elapsed(), PATIENCE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_that_was_set_for_a_later_call_ends_an_earlier_one_in_time() {
        let deadlines = Deadlines::new(PATIENCE);
        let began = Instant::now();
        tokio::time::advance(PATIENCE / 2).await;
        let soon = tokio::time::sleep(PATIENCE / 4);
        assert_eq!(deadlines.meet(Instant::now(), pin!(soon)).await, Some(()));
        assert_eq!(deadlines.meet(began, pin!(pending::<()>())).await, None);
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_that_was_set_for_an_earlier_call_ends_no_later_one() {
        let deadlines = Deadlines::new(PATIENCE);
        let soon = tokio::time::sleep(PATIENCE / 2);
        assert_eq!(deadlines.meet(Instant::now(), pin!(soon)).await, Some(()));
        let began = Instant::now();
        assert_eq!(deadlines.meet(began, pin!(pending::<()>())).await, None);
        assert_eq!(began.elapsed(), PATIENCE);
    }
}

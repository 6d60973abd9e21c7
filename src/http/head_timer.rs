//! [`HeadTimer`]: the time-out for a request's head, kept by one sleep per connection.
//!
//! hyper asks for a sleep with every request, and drops it as soon as the head is there. A sleep of the runtime would
//! each time be entered among all others and taken out again, under a lock; this one stays and is moved when it fires.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time;

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// The timer of one connection, each of whose deadlines is later than the one before.
#[derive(Default)]
pub(super) struct HeadTimer {
    sleep: Shared,
}

/// None before the first wait.
type Shared = Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>;

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep {
            deadline: deadline.into(),
            sleep: Arc::clone(&self.sleep),
        })
    }

    fn now(&self) -> time::Instant {
        Instant::now().into()
    }
}

/// One wait for a head.
struct HeadSleep {
    deadline: Instant,
    sleep: Shared,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.sleep.lock();
        let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        while sleep.as_mut().poll(context).is_ready() {
            // It may have been set for a head that came in time.
            if sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_deadline() {
        let timer = HeadTimer::default();
        let began = Instant::now();
        timer.sleep(PATIENCE).await;
        assert_eq!(began.elapsed(), PATIENCE);
        timer.sleep(PATIENCE).await;
        assert_eq!(began.elapsed(), PATIENCE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_came_in_time_leaves_the_next_one_all_of_its_time() {
        let timer = HeadTimer::default();
        let began = Instant::now();
        let in_time = tokio::time::timeout(PATIENCE / 2, timer.sleep(PATIENCE)).await;
        assert!(in_time.is_err());
        timer.sleep(PATIENCE).await;
        assert_eq!(began.elapsed(), PATIENCE / 2 + PATIENCE);
    }
}

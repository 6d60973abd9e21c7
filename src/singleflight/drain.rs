//! The drain: it closes a group, and waits for the flights that are under way.

use super::error::Error;
use super::group::Group;
use super::inner::{Inner, Key, Shared};
use super::runtime::Timer;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Flights that were under way and ended by themselves.
    pub finished: usize,
    /// Flights that were aborted at the drain's deadline.
    pub aborted: usize,
}

impl<K: Key, V: Shared, E: Shared> Group<K, V, E> {
    /// Begins no new flights from now on ([`Error::Draining`]), and waits until each flight
    /// has landed, its callers have been woken and its hook has returned. What is left when the time is over is aborted,
    /// where no time is kept at once; an aborted load may still be stopping. The group stays closed.
    pub async fn drain(&self, longest: Duration) -> Drained {
        let group = &*self.inner;
        group.table.close();
        let before = group.table.unsettled();
        let end = Instant::now().checked_add(longest);
        let mut timer = end.and_then(Timer::at);
        let mut at_rest = pin!(all_landed(group));
        let is_at_rest = poll_fn(|cx| {
            if at_rest.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            match &mut timer {
                Some(timer) => timer.poll(cx).map(|()| false),
                // Where no time is kept, there is none to wait. An end that is too far away never comes.
                None if end.is_some() => Poll::Ready(false),
                None => Poll::Pending,
            }
        });
        let aborted = if is_at_rest.await {
            0
        } else {
            abort_all(group)
        };
        Drained {
            finished: before.saturating_sub(aborted),
            aborted,
        }
    }
}

async fn all_landed<K: Key, V: Shared, E: Shared>(group: &Inner<K, V, E>) {
    loop {
        let mut landing = pin!(group.landings.notified());
        // Before the look at the table, so that a landing in between is not missed.
        landing.as_mut().enable();
        if group.table.unsettled() == 0 {
            return;
        }
        landing.await;
    }
}

fn abort_all<K: Key, V: Shared, E: Shared>(group: &Inner<K, V, E>) -> usize {
    let left = group.table.all();
    let aborted = left
        .iter()
        .filter(|flight| group.cut_short(flight, Error::Aborted));
    aborted.count()
}

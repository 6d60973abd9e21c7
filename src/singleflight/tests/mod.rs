//! The group's tests, by what they hold it to; here is what they share.
//!
//! Loads are held back by gates and observed by counters: no test waits for time to pass, unless it is paused time.
//! Tests that take over a case of Go's `singleflight_test.go` name it.

mod callers;
mod cancelled;
mod corners;
mod deadlines;
mod forgetting;
mod listing;
mod memory;
mod notes;
mod panics;
mod reentrant;
mod runtimes;
mod sharing;
mod started;
mod stress;

use super::{Call, Error, Group, Part, Report, Role};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// The group most tests use.
pub(super) type TextGroup = Group<String, u32, String>;

pub(super) type TextResult = Result<Arc<u32>, Error<String>>;

/// Holds loads back until it is opened, and counts how many came to it.
#[derive(Clone)]
pub(super) struct Gate {
    passes: Arc<Semaphore>,
    arrived: Arc<AtomicU32>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            passes: Arc::new(Semaphore::new(0)),
            arrived: Arc::default(),
        }
    }

    /// A load that waits at the gate and then returns `value`.
    pub(super) fn load(
        &self,
        value: u32,
    ) -> impl Future<Output = Result<u32, String>> + Send + use<> {
        let gate = self.clone();
        async move {
            gate.pass().await;
            Ok(value)
        }
    }

    pub(super) async fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let _pass = self.passes.acquire().await.unwrap();
    }

    pub(super) fn open(&self) {
        self.passes.add_permits(1_000_000);
    }

    /// How many loads have come to the gate.
    pub(super) fn arrived(&self) -> u32 {
        self.arrived.load(Ordering::SeqCst)
    }
}

/// A runtime that goes on only while it is driven.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A runtime with threads of its own.
pub(super) fn threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

pub(super) async fn never() -> Result<u32, String> {
    std::future::pending().await
}

/// Begins a flight in a runtime that need not be driven; its leader leaves at once.
pub(super) fn begin(group: &TextGroup, key: &str, runtime: &Runtime) {
    let _inside = runtime.enter();
    let mut call = Box::pin(group.work(key, never));
    assert!(poll_once(&mut call).is_pending());
}

/// Polls once, with a waker that does nothing.
pub(super) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets other tasks run until `condition` holds.
pub(super) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// Lets every task of a single-threaded runtime come to rest.
pub(super) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A loader that no test lets run.
pub(super) async fn never_called() -> Result<u32, String> {
    panic!("this loader must not be called")
}

/// How many callers have joined the flight of `key`.
pub(super) fn aboard(group: &TextGroup, key: &str) -> u32 {
    group.peek(key).map_or(0, |flight| flight.callers)
}

/// How many flights are under way.
pub(super) fn in_flight<K: super::Key, V: super::Shared, E: super::Shared>(
    group: &Group<K, V, E>,
) -> usize {
    group.stats().in_flight
}

/// The part in a flight that a report tells of.
pub(super) fn part<V, E>(report: Report<V, E>) -> Part {
    report.part.expect("it was on a flight")
}

/// The value of a report, and the part in the flight: whose load ran, for how many.
pub(super) fn seen(report: &Report<u32, String>) -> (u32, Role, u32) {
    let part = report.part.as_ref().expect("it was on a flight");
    let value = report.result.as_ref().expect("a value");
    (**value, part.role, part.callers)
}

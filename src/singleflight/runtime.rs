//! What a group needs of a tokio runtime: to run the rest of a load, and to keep time.

use super::sync::Mutex;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::task::AbortHandle;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep};

/// The runtime that its caller is in.
pub(crate) struct Runtime(Handle);

impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }
}

/// What is left to run of a load.
pub(crate) trait Rest: Send + Sync {
    /// Spawns it, if it has not been spawned.
    fn wake(&self);

    /// Ends it: at once if it has not been spawned, else soon.
    fn abort(&self);

    /// Whether its runtime is a `current_thread` one, which stands still while no thread drives it.
    fn is_on_current_thread(&self) -> bool;

    /// Whether it may stand still while the runtime that this thread is in goes on.
    fn may_stand_still(&self) -> bool;
}

/// A future that is spawned when it is first woken. That costs one turn of the runtime less than to spawn it, poll it,
/// let it wait, wake it and poll it again.
pub(crate) struct Sleeper<T> {
    runtime: Runtime,
    state: Mutex<SleeperState<T>>,
}

enum SleeperState<T> {
    Asleep(T),
    Spawning,
    Spawned(AbortHandle),
    Aborted,
}

impl<T> Sleeper<T> {
    pub(crate) fn new(runtime: Runtime, future: T) -> Self {
        let state = Mutex::new(SleeperState::Asleep(future));
        Self { runtime, state }
    }
}

impl<T: Future<Output = ()> + Send + 'static> Rest for Sleeper<T> {
    fn wake(&self) {
        let mut state = self.state.lock();
        if !matches!(*state, SleeperState::Asleep(_)) {
            return;
        }
        let SleeperState::Asleep(future) = std::mem::replace(&mut *state, SleeperState::Spawning)
        else {
            unreachable!("it is asleep, as was just seen")
        };
        drop(state);
        // The join handle is dropped at once: that is slower after the task has ended.
        let spawned = self.runtime.0.spawn(future).abort_handle();
        let mut state = self.state.lock();
        match *state {
            SleeperState::Spawning => *state = SleeperState::Spawned(spawned),
            // It was aborted meanwhile.
            _ => spawned.abort(),
        }
    }

    fn abort(&self) {
        let mut state = self.state.lock();
        if let SleeperState::Spawned(spawned) = &*state {
            return spawned.abort();
        }
        let before = std::mem::replace(&mut *state, SleeperState::Aborted);
        drop(state);
        drop(before);
    }

    fn is_on_current_thread(&self) -> bool {
        self.runtime.0.runtime_flavor() == RuntimeFlavor::CurrentThread
    }

    fn may_stand_still(&self) -> bool {
        let is_ours = |here: Runtime| here.0.id() == self.runtime.0.id();
        self.is_on_current_thread() && !Runtime::current().is_some_and(is_ours)
    }
}

/// A point in time that can be waited for.
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    runtime: Id,
}

thread_local! {
    /// Timers that are not needed at the moment. A new one would be entered among all others of the runtime and taken
    /// out again, under a lock; these stay there and are moved to a later time. A follower with a limit costs 1.2 times
    /// one without instead of 1.6 times (bench `c`).
    static IDLE: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// How many timers a thread keeps.
const MOST_IDLE: usize = 256;

impl Timer {
    /// None where no time is kept: outside of a runtime, or in one without a time driver.
    pub(crate) fn at(deadline: Instant) -> Option<Self> {
        let runtime = Handle::try_current().ok()?.id();
        let idle = IDLE.try_with(|idle| idle.borrow_mut().pop());
        // A timer of another runtime is dropped: that runtime may have ended.
        if let Ok(Some(mut timer)) = idle
            && timer.runtime == runtime
        {
            timer.sleep.as_mut().reset(deadline);
            return Some(timer);
        }
        // tokio has no other way to ask.
        let sleep = || Box::pin(tokio::time::sleep_until(deadline));
        let sleep = catch_unwind(AssertUnwindSafe(sleep)).ok()?;
        Some(Self { sleep, runtime })
    }

    /// Whether the runtime that this thread is in keeps it.
    pub(crate) fn is_of_this_runtime(&self) -> bool {
        Handle::try_current().is_ok_and(|here| here.id() == self.runtime)
    }

    /// Ready when the time has come, and when the runtime that kept it has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The load may have used up its task's budget. The deadline counts all the same.
        let mut sleep = unconstrained(self.sleep.as_mut());
        let poll = || Pin::new(&mut sleep).poll(cx);
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Poll::Ready(()))
    }

    /// Keeps it for the next call that needs one. It gives up its waker, and with it what the waker holds.
    pub(crate) fn keep(mut self) {
        if self
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            return;
        }
        // A thread that ends keeps nothing.
        let _ = IDLE.try_with(|idle| {
            let mut idle = idle.borrow_mut();
            if idle.len() < MOST_IDLE {
                idle.push(self);
            }
        });
    }
}

//! tokio as the module knows it, with what shuttle's own stand-in lacks: several runtimes, which can be shut down or left
//! standing, and a clock that goes on when it is told to.
//!
//! A task of a runtime that is shut down is dropped at its next turn, and one that is spawned there later at once. Timers
//! of such a runtime panic when they are polled, like tokio's.

pub use tokio::sync;

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

thread_local! {
    /// All tasks of a schedule share one thread.
    static CLOCK: RefCell<Clock> = RefCell::default();
}

#[derive(Default)]
struct Clock {
    now: Duration,
    last: u64,
    sleepers: Vec<Sleeper>,
}

struct Sleeper {
    number: u64,
    until: Duration,
    runtime: runtime::Id,
    waker: Waker,
}

/// Runs one schedule of a scenario in a runtime of its own, and hands that over.
pub fn schedule<F: Future<Output = ()>>(scenario: impl FnOnce(runtime::Runtime) -> F) {
    drop(CLOCK.take());
    let runtime = runtime::Runtime::new(runtime::RuntimeFlavor::MultiThread);
    let _inside = runtime.enter();
    shuttle::future::block_on(scenario(runtime.clone()));
}

/// Lets time pass.
pub fn advance(by: Duration) {
    CLOCK.with_borrow_mut(|clock| clock.now += by);
    wake(|sleeper, now| sleeper.until <= now);
}

fn wake(which: impl Fn(&Sleeper, Duration) -> bool) {
    let woken = CLOCK.with_borrow_mut(|clock| {
        let now = clock.now;
        clock.sleepers.extract_if(.., |sleeper| which(sleeper, now)).collect::<Vec<_>>()
    });
    woken.into_iter().for_each(|sleeper| sleeper.waker.wake());
}

/// What loads wait for. shuttle's own semaphore wakes under its lock, and the waker of a load is more than a flag.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    /// Lets everyone pass from now on.
    pub fn open(&self) {
        shuttle::thread::yield_now();
        let mut state = self.0.lock().expect("not poisoned");
        state.0 = true;
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns when the gate is open.
    pub async fn passed(&self) {
        poll_fn(|cx| {
            shuttle::thread::yield_now();
            let mut state = self.0.lock().expect("not poisoned");
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// See [`tokio::runtime`].
pub mod runtime {
    use super::task::JoinHandle;
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    /// Which runtime it is.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct Id(u64);

    /// Whether it has threads of its own.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum RuntimeFlavor {
        CurrentThread,
        MultiThread,
    }

    /// What finds a runtime.
    #[derive(Clone)]
    pub struct Handle(Arc<State>);

    /// A runtime, as the scenarios see it.
    pub type Runtime = Handle;

    struct State {
        id: Id,
        flavor: RuntimeFlavor,
        is_down: AtomicBool,
        stands_still: AtomicBool,
        /// To abort the tasks, ended ones included.
        tasks: Mutex<Vec<shuttle::future::AbortHandle>>,
    }

    /// Where there is no runtime.
    #[derive(Debug)]
    pub struct TryCurrentError;

    shuttle::thread_local! {
        static CURRENT: RefCell<Option<Handle>> = RefCell::new(None);
    }

    /// For as long as it lives, this task is in a runtime.
    pub struct Entered(Option<Handle>);

    impl Drop for Entered {
        fn drop(&mut self) {
            let before = self.0.take();
            CURRENT.with(|current| *current.borrow_mut() = before);
        }
    }

    impl Handle {
        /// A runtime of its own.
        pub fn new(flavor: RuntimeFlavor) -> Self {
            static RUNTIMES: AtomicU64 = AtomicU64::new(0);
            let state = State {
                id: Id(RUNTIMES.fetch_add(1, Ordering::Relaxed)),
                flavor,
                is_down: AtomicBool::new(false),
                stands_still: AtomicBool::new(false),
                tasks: Mutex::default(),
            };
            Self(Arc::new(state))
        }

        pub fn try_current() -> Result<Self, TryCurrentError> {
            CURRENT.with(|current| current.borrow().clone()).ok_or(TryCurrentError)
        }

        pub fn enter(&self) -> Entered {
            Entered(CURRENT.with(|current| current.borrow_mut().replace(self.clone())))
        }

        pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
        where
            F: Future + Send + 'static,
            F::Output: Send + 'static,
        {
            if self.is_down() {
                drop(future);
                return JoinHandle(None);
            }
            let spawned = shuttle::future::spawn(Driven { runtime: self.clone(), future: Box::pin(future) });
            let mut tasks = self.0.tasks.lock().expect("not poisoned");
            tasks.push(spawned.abort_handle());
            drop(tasks);
            // It may have gone down meanwhile.
            if self.is_down() {
                spawned.abort();
            }
            JoinHandle(Some(spawned))
        }

        pub fn id(&self) -> Id {
            self.0.id
        }

        pub fn runtime_flavor(&self) -> RuntimeFlavor {
            self.0.flavor
        }

        /// Whether it has been shut down.
        pub fn is_down(&self) -> bool {
            self.0.is_down.load(Ordering::SeqCst)
        }

        /// Ends all of its tasks and timers.
        pub fn shut_down(&self) {
            self.0.is_down.store(true, Ordering::SeqCst);
            let tasks = std::mem::take(&mut *self.0.tasks.lock().expect("not poisoned"));
            tasks.iter().for_each(shuttle::future::AbortHandle::abort);
            super::wake(|sleeper, _| sleeper.runtime == self.0.id);
        }

        /// Drives it no more: its tasks are there and are not polled.
        pub fn stand_still(&self) {
            self.0.stands_still.store(true, Ordering::SeqCst);
        }
    }

    struct Driven<F> {
        runtime: Handle,
        future: Pin<Box<F>>,
    }

    impl<F: Future> Future for Driven<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            if self.runtime.0.stands_still.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            // Not left again: whoever drops the task is in its runtime.
            CURRENT.with(|current| *current.borrow_mut() = Some(self.runtime.clone()));
            self.future.as_mut().poll(cx)
        }
    }
}

/// See [`tokio::task`].
pub mod task {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Tasks have no budget here.
    pub mod coop {
        pub fn unconstrained<F>(future: F) -> F {
            future
        }
    }

    /// Of a task; none if its runtime was down already.
    pub struct JoinHandle<T>(pub(super) Option<shuttle::future::JoinHandle<T>>);

    impl<T> JoinHandle<T> {
        pub fn abort_handle(&self) -> AbortHandle {
            AbortHandle(self.0.as_ref().map(shuttle::future::JoinHandle::abort_handle))
        }

        pub fn abort(&self) {
            self.abort_handle().abort();
        }
    }

    /// The task's value; none if it was aborted.
    impl<T> Future for JoinHandle<T> {
        type Output = Option<T>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
            match &mut self.0 {
                Some(task) => Pin::new(task).poll(cx).map(Result::ok),
                None => Poll::Ready(None),
            }
        }
    }

    pub struct AbortHandle(Option<shuttle::future::AbortHandle>);

    impl AbortHandle {
        pub fn abort(&self) {
            if let Some(task) = &self.0 {
                task.abort();
            }
        }
    }
}

/// See [`tokio::time`].
pub mod time {
    use super::runtime::Handle;
    use super::{CLOCK, Sleeper};
    use std::ops::Add;
    use std::panic::resume_unwind;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    /// Since the schedule began.
    #[derive(Clone, Copy)]
    pub struct Instant(Duration);

    impl Instant {
        pub fn now() -> Self {
            Self(CLOCK.with_borrow(|clock| clock.now))
        }

        pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }

        pub fn checked_add(self, later: Duration) -> Option<Self> {
            self.0.checked_add(later).map(Self)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, later: Duration) -> Self {
            Self(self.0 + later)
        }
    }

    /// Of the runtime that it was made in.
    pub struct Sleep {
        number: u64,
        until: Duration,
        runtime: Handle,
    }

    pub fn sleep_until(until: Instant) -> Sleep {
        let runtime = Handle::try_current().expect("no time is kept outside of a runtime");
        let number = CLOCK.with_borrow_mut(|clock| {
            clock.last += 1;
            clock.last
        });
        Sleep { number, until: until.0, runtime }
    }

    impl Sleep {
        pub fn reset(mut self: Pin<&mut Self>, until: Instant) {
            self.until = until.0;
            self.forget();
        }

        fn forget(&self) {
            let woken_no_more = CLOCK.with_borrow_mut(|clock| {
                let at = clock.sleepers.iter().position(|sleeper| sleeper.number == self.number);
                at.map(|at| clock.sleepers.swap_remove(at))
            });
            drop(woken_no_more);
        }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.runtime.is_down() {
                resume_unwind(Box::new("the runtime is down"));
            }
            self.forget();
            let sleeper =
                Sleeper { number: self.number, until: self.until, runtime: self.runtime.id(), waker: cx.waker().clone() };
            CLOCK.with_borrow_mut(|clock| {
                if self.until <= clock.now {
                    return Poll::Ready(());
                }
                clock.sleepers.push(sleeper);
                Poll::Pending
            })
        }
    }

    impl Drop for Sleep {
        fn drop(&mut self) {
            self.forget();
        }
    }
}

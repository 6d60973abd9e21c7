//! A runtime that keeps the one task it is given and never polls it, to see who spawns it and who ends it.

pub(crate) mod runtime {
    use super::task::{AbortHandle, JoinHandle};
    use crate::faithful::sync::{AtomicU32, Mutex, Ordering};
    use std::any::Any;
    use std::cell::RefCell;
    use std::sync::Arc;

    #[derive(Clone)]
    pub(crate) struct Handle(Arc<Tasks>);

    struct Tasks {
        spawned: AtomicU32,
        task: Mutex<Option<Box<dyn Any + Send>>>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Id;

    #[derive(PartialEq, Eq)]
    pub(crate) enum RuntimeFlavor {
        CurrentThread,
        MultiThread,
    }

    thread_local! {
        static ENTERED: RefCell<Option<Handle>> = const { RefCell::new(None) };
    }

    impl Handle {
        /// A runtime of its own, for one scenario.
        pub(crate) fn new() -> Self {
            Self(Arc::new(Tasks { spawned: AtomicU32::new(0), task: Mutex::new(None) }))
        }

        /// Lets `inside` find this runtime.
        pub(crate) fn enter<T>(&self, inside: impl FnOnce() -> T) -> T {
            ENTERED.set(Some(self.clone()));
            let value = inside();
            ENTERED.set(None);
            value
        }

        /// How many tasks have been spawned.
        pub(crate) fn spawned(&self) -> u32 {
            self.0.spawned.load(Ordering::Acquire)
        }

        /// Drops the task, as a runtime does with one that has ended.
        pub(crate) fn drop_task(&self) {
            let task = self.0.task.lock().take();
            drop(task);
        }

        pub(crate) fn try_current() -> Result<Self, ()> {
            ENTERED.with_borrow(Clone::clone).ok_or(())
        }

        pub(crate) fn spawn<F: Future + Send + 'static>(&self, future: F) -> JoinHandle {
            assert_eq!(self.0.spawned.fetch_add(1, Ordering::AcqRel), 0, "a load is spawned twice");
            *self.0.task.lock() = Some(Box::new(future));
            JoinHandle(AbortHandle(self.clone()))
        }

        pub(crate) fn id(&self) -> Id {
            Id
        }

        pub(crate) fn runtime_flavor(&self) -> RuntimeFlavor {
            RuntimeFlavor::MultiThread
        }
    }
}

pub(crate) mod task {
    /// Tasks have no budget here.
    pub mod coop {
        pub fn unconstrained<F>(future: F) -> F {
            future
        }
    }

    use super::runtime::Handle;

    pub(crate) struct JoinHandle(pub(super) AbortHandle);

    impl JoinHandle {
        pub(crate) fn abort_handle(self) -> AbortHandle {
            self.0
        }
    }

    pub(crate) struct AbortHandle(pub(super) Handle);

    impl AbortHandle {
        pub(crate) fn abort(&self) {
            self.0.drop_task();
        }
    }
}

/// No time passes here.
pub(crate) mod time {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    pub(crate) struct Instant;

    pub(crate) struct Sleep;

    impl Sleep {
        pub(crate) fn reset(self: Pin<&mut Self>, _: Instant) {}
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    pub(crate) fn sleep_until(_: Instant) -> Sleep {
        Sleep
    }
}

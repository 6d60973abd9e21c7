//! What loom and shuttle lack: a `OnceLock` on the atomics of the checker, which are those of its `sync.rs`.

use super::{AtomicBool, Ordering};

/// Visible to others exactly when the flag is. Each has one writer, who never waits for another.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    set: AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self { value: std::sync::OnceLock::new(), set: AtomicBool::new(false) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.set.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.set.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        assert!(self.set(init()).is_ok(), "there are two writers");
        self.value.get().expect("it was just set")
    }
}

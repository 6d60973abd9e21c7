//! shuttle's locks and atomics under the names the module uses.

mod once_lock;

pub(crate) use once_lock::OnceLock;
pub(crate) use parking_lot::Mutex;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

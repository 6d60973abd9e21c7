//! The locks and atomics that the table and its flights stand on: a model checker puts its own in their place.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

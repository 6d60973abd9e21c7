//! The locks and atomics the kernel is built on, under one name: a model checker puts its own in their place.
//!
//! Nothing but names belongs here.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

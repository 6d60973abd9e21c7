//! Why a caller got no value.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why a call has no value. The first four are the flight's, and all of its callers get them; the others are this
/// caller's own.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// The load returned this error, the same allocation for every caller.
    Failed(Arc<E>),
    /// The load panicked with this message.
    Panicked(Arc<str>),
    /// The flight reached its deadline.
    TimedOut,
    /// The flight was aborted: by its last caller's leaving, by a drain, or with the runtime that its load ran on.
    Aborted,
    /// This caller's own wait limit passed; the flight goes on.
    WaitLimit,
    /// The flight has as many callers as it may have.
    Saturated,
    /// The call came from a load, and the flight that it asked for waits for that load, directly or through others.
    Reentrant,
    /// The group is draining and begins no new flights.
    Draining,
    /// The load did not finish at once, and the caller is in no tokio runtime that could finish it and keep time.
    NoRuntime,
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked(message) => Self::Panicked(Arc::clone(message)),
            Self::TimedOut => Self::TimedOut,
            Self::Aborted => Self::Aborted,
            Self::WaitLimit => Self::WaitLimit,
            Self::Saturated => Self::Saturated,
            Self::Reentrant => Self::Reentrant,
            Self::Draining => Self::Draining,
            Self::NoRuntime => Self::NoRuntime,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(error) => return write!(f, "the load failed: {error}"),
            Self::Panicked(message) => return write!(f, "the load panicked: {message}"),
            Self::TimedOut => "the load did not finish by its deadline",
            Self::Aborted => "the load was aborted",
            Self::WaitLimit => "the load took longer than this caller waits",
            Self::Saturated => "too many callers wait for this load",
            Self::Reentrant => "the load waits for itself",
            Self::Draining => "no new loads are begun any more",
            Self::NoRuntime => "there is no tokio runtime with time enabled to finish the load on",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    /// The source of the load's error, which is shown with this one already.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            _ => None,
        }
    }
}

/// The message of a panic, whose payload is dropped here.
#[cold]
pub(crate) fn message_of(payload: Box<dyn Any + Send>) -> Arc<str> {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = Arc::from(text.unwrap_or("(a payload that is no text)"));
    discard(payload);
    message
}

/// Drops a panic's payload. If its own `Drop` panics, that second payload is leaked: its `Drop` might panic too.
#[cold]
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}

//! Why a caller got no value, and what a panicking loader left behind.

use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Why a call has no value. The first five are the flight's and go to everyone on it; the others are this caller's own.
#[derive(Debug)]
pub enum Error<E> {
    /// The loader returned this error; everyone on the flight gets the same allocation.
    Failed(Arc<E>),
    /// The loader panicked.
    Panicked(Arc<Panic>),
    /// The flight reached its deadline.
    TimedOut,
    /// The flight was aborted before it had an outcome.
    Aborted,
    /// This caller's own patience (`wait_at_most`) ran out; the flight goes on.
    WaitedTooLong,
    /// The flight has as many callers as it may have.
    Saturated,
    /// The call came from inside a loader that the flight it asked for is, in the end, waiting for.
    Reentrant,
    /// The group is draining and begins no new flights.
    Draining,
    /// The load did not finish at once, and there is no tokio runtime to finish it on.
    NoRuntime,
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked(panic) => Self::Panicked(Arc::clone(panic)),
            Self::TimedOut => Self::TimedOut,
            Self::Aborted => Self::Aborted,
            Self::WaitedTooLong => Self::WaitedTooLong,
            Self::Saturated => Self::Saturated,
            Self::Reentrant => Self::Reentrant,
            Self::Draining => Self::Draining,
            Self::NoRuntime => Self::NoRuntime,
        }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the load failed",
            Self::Panicked(panic) => return write!(f, "the load panicked: {panic}"),
            Self::TimedOut => "the load did not finish by its deadline",
            Self::Aborted => "the load was aborted",
            Self::WaitedTooLong => "the load took longer than this caller would wait",
            Self::Saturated => "too many callers wait for this load",
            Self::Reentrant => "a load waits for itself",
            Self::Draining => "no new loads are begun any more",
            Self::NoRuntime => "no runtime to finish the load on",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}

/// What a loader panicked with.
pub struct Panic {
    message: Option<Box<str>>,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.map(Box::from),
            payload: Mutex::new(Some(payload)),
        }
    }

    /// The panic's message, if it was raised with a text.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Looks at the payload, if it is a `T` and nobody has taken it.
    pub fn inspect<T: Any, R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.payload.lock().as_ref()?.downcast_ref().map(look)
    }

    /// Takes the payload, to be raised again with [`std::panic::resume_unwind`]; only the first who asks gets it.
    pub fn take(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.lock().take()
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or("(a payload that is no text)"))
    }
}

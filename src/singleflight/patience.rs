//! How long one caller waits, if it has said so.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::runtime;
use tokio::time::Sleep;

/// A caller's own limit, whose timer exists only for those who have one and had to wait.
#[derive(Default)]
pub(crate) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Counts from now. A timer belongs to a runtime; polled outside any, a call has its flight's deadline only.
    pub(crate) fn of(limit: Option<Duration>) -> Self {
        let limit = limit.filter(|_| runtime::Handle::try_current().is_ok());
        Self(limit.map(|limit| Box::pin(tokio::time::sleep(limit))))
    }

    /// Whether it has run out; if not, the caller will be woken when it does.
    pub(crate) fn ran_out(&mut self, cx: &mut Context<'_>) -> bool {
        self.0
            .as_mut()
            .is_some_and(|limit| limit.as_mut().poll(cx).is_ready())
    }
}

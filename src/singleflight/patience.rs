//! How long one caller waits, if it has said so.

use super::inner::Inner;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::Sleep;

/// A caller's own limit, whose timer exists only for those who have one and had to wait.
#[derive(Default)]
pub(crate) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Counts from now.
    pub(crate) fn of<K, V, E>(limit: Option<Duration>, group: &Inner<K, V, E>) -> Self
    where
        K: Eq + Hash + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let Some(limit) = limit else {
            return Self(None);
        };
        // A timer belongs to a runtime; without any the flight's deadline has to do.
        let runtime = group.runtime();
        let _entered = runtime.as_ref().map(|runtime| runtime.enter());
        Self(
            runtime
                .is_some()
                .then(|| Box::pin(tokio::time::sleep(limit))),
        )
    }

    /// Whether it has run out; if not, the caller will be woken when it does.
    pub(crate) fn ran_out(&mut self, cx: &mut Context<'_>) -> bool {
        self.0
            .as_mut()
            .is_some_and(|limit| limit.as_mut().poll(cx).is_ready())
    }
}

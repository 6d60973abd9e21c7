//! What the calls of the group are compared with: the least that shares a load, a map of waiters behind one lock. It has
//! no deadline, no limit, no listing; a panic or a caller that hangs up leaves the others without an answer.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// One load per key at a time, and nothing else.
#[derive(Clone, Default)]
pub(crate) struct Plain {
    waiters: Arc<Mutex<HashMap<u64, Vec<oneshot::Sender<u64>>>>>,
}

impl Plain {
    pub(crate) async fn work<F: Future<Output = u64> + Send>(
        &self,
        key: u64,
        load: impl FnOnce() -> F,
    ) -> u64 {
        if let Some(loaded) = self.join(key) {
            return loaded.await.unwrap_or_default();
        }
        let value = Box::pin(load()).await;
        let waiters = self
            .waiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
        for waiter in waiters.into_iter().flatten() {
            let _ = waiter.send(value);
        }
        value
    }

    /// None for the caller that has to load.
    fn join(&self, key: u64) -> Option<oneshot::Receiver<u64>> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiters) = waiters.get_mut(&key) else {
            waiters.insert(key, Vec::new());
            return None;
        };
        let (sender, receiver) = oneshot::channel();
        waiters.push(sender);
        Some(receiver)
    }
}

//! Callers that go on asking while something breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use testkit::http::Client;
use testkit::{Service, eventually};

/// How many different templates they ask for.
pub(super) const TEMPLATES: usize = 20;

/// Callers that go on asking for [`TEMPLATES`] templates until they are told to stop; none of their requests may fail.
pub(super) struct Load {
    answered: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(super) fn on(service: &Service) -> Self {
        let (answered, failed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let stop = Arc::<AtomicBool>::default();
        let caller = |caller: usize| {
            let (answered, failed, stop) = (
                Arc::clone(&answered),
                Arc::clone(&failed),
                Arc::clone(&stop),
            );
            let base = service.url("/template-details?id=");
            tokio::spawn(async move {
                let client = Client::new();
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = 1 + (caller * 7 + turn) % TEMPLATES;
                    let answer = client.get(&format!("{base}{id}")).await;
                    let right = answer.status == 200 && answer.json()["id"] == id;
                    (if right { &answered } else { &failed }).fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let callers = (0..16).map(caller).collect();
        Self {
            answered,
            failed,
            stop,
            callers,
        }
    }

    /// Waits until so many more requests have been answered.
    pub(super) async fn go_on_for(&self, answers: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + answers;
        eventually("the load goes on", async || {
            assert_eq!(
                self.failed.load(Ordering::Relaxed),
                0,
                "requests that failed"
            );
            self.answered.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    pub(super) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        assert_eq!(
            self.failed.load(Ordering::Relaxed),
            0,
            "requests that failed"
        );
    }
}

//! [`Runs`]: one run at a time, and the last few.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::run::Run;

/// One run at a time, and the last few.
pub(super) struct Runs {
    /// Another process counts its runs from one too: this tells them apart.
    pub(super) process: String,
    kept: Mutex<VecDeque<Arc<Run>>>,
}

/// Why a run was not begun.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// One is under way.
    Busy,
    /// It would not come to an end.
    TooLarge(&'static str),
}

/// Ends its run when it is dropped: a run whose task panicked is not under way for ever.
struct Ending(Arc<Run>);

const MOST_KEPT: usize = 8;

/// Longest wait for a run.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// What is stopped may still say how far it has come.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Default for Runs {
    fn default() -> Self {
        Self {
            process: format!("{:016x}", fastrand::u64(..)),
            kept: Mutex::default(),
        }
    }
}

impl Runs {
    /// Begins this run, unless one is under way.
    pub(super) fn begin<F>(
        &self,
        run: Run,
        work: impl FnOnce(Arc<Run>) -> F,
    ) -> Result<Arc<Run>, NotBegun>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut kept = self.kept.lock();
        if kept.front().is_some_and(|run| !run.is_over()) {
            return Err(NotBegun::Busy);
        }
        let id = kept.front().map_or(1, |run| run.id + 1);
        let run = Arc::new(run.numbered(id, self.process.clone()));
        let (work, ending) = (work(Arc::clone(&run)), Ending(Arc::clone(&run)));
        tokio::spawn(async move {
            let run = &ending.0;
            let outcome = tokio::select! {
                outcome = timeout(LONGEST, work) => outcome
                    .unwrap_or_else(|_| Err("the run took longer than five minutes".into())),
                () = async { run.stopped().await; sleep(LAST_WORDS).await } => Ok(()),
            };
            run.end(outcome);
        });
        kept.truncate(MOST_KEPT - 1);
        kept.push_front(Arc::clone(&run));
        Ok(run)
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Run>> {
        self.kept.lock().iter().find(|run| run.id == id).cloned()
    }

    /// The run under way, or the last one.
    pub(super) fn last(&self) -> Option<Arc<Run>> {
        self.kept.lock().front().cloned()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.end(Err("the run broke off".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::run::RunState;

    fn nothing() -> Run {
        Run::new("stampede", 1, &(), &())
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_does_not_end_has_failed_after_five_minutes() {
        let runs = Runs::default();
        let run = runs.begin(nothing(), |_| std::future::pending()).unwrap();
        tokio::time::sleep(LONGEST - Duration::from_secs(1)).await;
        assert!(run.is_running());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(run.brief().state == RunState::Failed && run.view().problem.is_some());
    }

    #[tokio::test]
    async fn a_run_that_panics_has_failed_and_makes_room_for_the_next() {
        let runs = Runs::default();
        let begun = runs.begin(nothing(), |_| async { panic!("on purpose") });
        let run = begun.unwrap();
        run.over().await;
        assert!(run.brief().state == RunState::Failed);
        let next = runs.begin(nothing(), |_| async { Ok(()) });
        assert!(next.is_ok_and(|next| next.id == 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stopped_is_in_the_way_until_nobody_works_at_it() {
        let runs = Runs::default();
        let run = runs.begin(nothing(), |_| std::future::pending()).unwrap();
        assert!(run.stop() && !run.stop());
        let next = runs.begin(nothing(), |_| async { Ok(()) });
        assert!(matches!(next, Err(NotBegun::Busy)));
        run.over().await;
        assert!(run.brief().state == RunState::Stopped);
        assert!(runs.begin(nothing(), |_| async { Ok(()) }).is_ok());
    }
}

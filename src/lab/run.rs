//! [`Run`]: a stampede or an incident on its way, and what there is of its result. [`Runs`]: one at a time, and the last
//! few.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// A run, under way or over.
pub(super) struct Run {
    id: u64,
    kind: &'static str,
    parameters: Value,
    course: Mutex<Course>,
}

struct Course {
    state: State,
    problem: Option<String>,
    progress: Progress,
    result: Value,
    task: Option<AbortHandle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Running,
    Done,
    Stopped,
    Failed,
}

/// How far a run has come.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Progress {
    /// Parts that are over.
    pub(super) done: usize,
    /// Parts in all.
    pub(super) of: usize,
    /// The part under way, or the last one.
    pub(super) doing: &'static str,
    /// From 0 to 1.
    pub(super) share: f64,
}

/// A run as it is shown.
#[derive(Serialize)]
pub(super) struct View {
    #[serde(flatten)]
    brief: Brief,
    parameters: Value,
    pub(super) problem: Option<String>,
    pub(super) result: Value,
}

/// A run in short.
#[derive(Serialize)]
pub(super) struct Brief {
    id: u64,
    kind: &'static str,
    pub(super) state: State,
    pub(super) progress: Progress,
}

impl Run {
    pub(super) fn new(id: u64, kind: &'static str, parts: usize, parameters: Value) -> Self {
        let progress = Progress {
            done: 0,
            of: parts,
            doing: "",
            share: 0.0,
        };
        let course = Course {
            state: State::Running,
            problem: None,
            progress,
            result: Value::Null,
            task: None,
        };
        Self {
            id,
            kind,
            parameters,
            course: Mutex::new(course),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// This part is under way, and so much of it is done.
    pub(super) fn advance(&self, done: usize, doing: &'static str, share_of_part: f64) {
        let progress = &mut self.course.lock().progress;
        let share = (done as f64 + share_of_part.clamp(0.0, 1.0)) / progress.of as f64;
        *progress = Progress {
            done,
            doing,
            share: share.max(progress.share).min(1.0),
            ..*progress
        };
    }

    /// What there is of the result by now.
    pub(super) fn tell(&self, result: &impl Serialize) {
        let mut course = self.course.lock();
        if course.state == State::Running {
            course.result = serde_json::to_value(result).unwrap_or_default();
        }
    }

    /// It is over, unless it was stopped.
    pub(super) fn end(&self, outcome: Result<(), String>) {
        let mut course = self.course.lock();
        if course.state != State::Running {
            return;
        }
        match outcome {
            Ok(()) => {
                course.state = State::Done;
                course.progress.done = course.progress.of;
                course.progress.share = 1.0;
            }
            Err(problem) => {
                course.state = State::Failed;
                course.problem = Some(problem);
            }
        }
    }

    /// Ends it now; says whether it was under way.
    pub(super) fn stop(&self) -> bool {
        let mut course = self.course.lock();
        let running = course.state == State::Running;
        if running {
            course.state = State::Stopped;
            let _ = course.task.take().map(|task| task.abort());
        }
        running
    }

    pub(super) fn is_running(&self) -> bool {
        self.course.lock().state == State::Running
    }

    pub(super) fn brief(&self) -> Brief {
        let course = self.course.lock();
        Brief {
            id: self.id,
            kind: self.kind,
            state: course.state,
            progress: course.progress.clone(),
        }
    }

    pub(super) fn view(&self) -> View {
        let brief = self.brief();
        let course = self.course.lock();
        View {
            brief,
            parameters: self.parameters.clone(),
            problem: course.problem.clone(),
            result: course.result.clone(),
        }
    }
}

/// One run at a time, and the last few.
#[derive(Default)]
pub(super) struct Runs(Mutex<VecDeque<Arc<Run>>>);

/// A run is under way.
pub(super) struct Busy;

/// Ends its run when it is dropped: a run whose task panicked is not under way for ever.
struct Ending(Arc<Run>);

const MOST_KEPT: usize = 8;

/// Nobody waits for longer.
const LONGEST: Duration = Duration::from_secs(5 * 60);

impl Runs {
    /// Begins a run of so many parts, unless one is under way.
    pub(super) fn begin<F>(
        &self,
        kind: &'static str,
        parts: usize,
        parameters: Value,
        work: impl FnOnce(Arc<Run>) -> F,
    ) -> Result<Arc<Run>, Busy>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut kept = self.0.lock();
        if kept.front().is_some_and(|run| run.is_running()) {
            return Err(Busy);
        }
        let id = kept.front().map_or(1, |run| run.id + 1);
        let run = Arc::new(Run::new(id, kind, parts, parameters));
        let (work, ending) = (work(Arc::clone(&run)), Ending(Arc::clone(&run)));
        let task = tokio::spawn(async move {
            let outcome = timeout(LONGEST, work).await;
            ending.0.end(
                outcome.unwrap_or_else(|_| Err("the run took longer than five minutes".into())),
            );
        });
        run.course.lock().task = Some(task.abort_handle());
        kept.truncate(MOST_KEPT - 1);
        kept.push_front(Arc::clone(&run));
        Ok(run)
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Run>> {
        self.0.lock().iter().find(|run| run.id == id).cloned()
    }

    /// The run under way, or the last one.
    pub(super) fn last(&self) -> Option<Arc<Run>> {
        self.0.lock().front().cloned()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(Err("the run broke off".into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_that_does_not_end_has_failed_after_five_minutes() {
        let runs = Runs::default();
        let begun = runs.begin("stampede", 1, Value::Null, |_| std::future::pending());
        let run = begun.ok().unwrap();
        tokio::time::sleep(LONGEST - Duration::from_secs(1)).await;
        assert!(run.is_running());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(run.brief().state == State::Failed && run.view().problem.is_some());
    }

    #[tokio::test]
    async fn a_run_that_panics_has_failed_and_makes_room_for_the_next() {
        let runs = Runs::default();
        let begun = runs.begin("stampede", 1, Value::Null, |_| async {
            panic!("on purpose")
        });
        let run = begun.ok().unwrap();
        while run.is_running() {
            tokio::task::yield_now().await;
        }
        assert!(run.brief().state == State::Failed);
        let next = runs.begin("stampede", 1, Value::Null, |_| async { Ok(()) });
        assert!(next.is_ok_and(|next| next.id() == 2));
    }
}

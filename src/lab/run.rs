//! [`Run`]: a stampede, an incident or an experiment on its way, and what there is of its result.

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

/// A run, under way or over.
pub(super) struct Run {
    pub(super) id: u64,
    process: String,
    kind: &'static str,
    parameters: Value,
    course: Mutex<Course>,
    step: watch::Sender<Step>,
}

struct Course {
    state: RunState,
    problem: Option<String>,
    progress: Progress,
    result: Value,
}

/// What those who work at a run, and those who wait for its end, have to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Working,
    Stopping,
    /// No task works at it any more.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RunState {
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
    process: String,
    kind: &'static str,
    pub(super) state: RunState,
    pub(super) progress: Progress,
}

impl Run {
    /// A run of so many parts, and the result before anything has come of it.
    pub(super) fn new(
        kind: &'static str,
        parts: usize,
        parameters: &impl Serialize,
        result: &impl Serialize,
    ) -> Self {
        let progress = Progress {
            done: 0,
            of: parts,
            doing: "",
            share: 0.0,
        };
        let course = Course {
            state: RunState::Running,
            problem: None,
            progress,
            result: json(result),
        };
        Self {
            id: 0,
            process: String::new(),
            kind,
            parameters: json(parameters),
            course: Mutex::new(course),
            step: watch::Sender::new(Step::Working),
        }
    }

    /// The same under this number in this process.
    pub(super) fn numbered(self, id: u64, process: String) -> Self {
        Self {
            id,
            process,
            ..self
        }
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
        if *self.step.borrow() != Step::Over {
            course.result = json(result);
        }
    }

    /// Notes that no task works at it any more. A run that was stopped stays so.
    pub(super) fn end(&self, outcome: Result<(), String>) {
        let mut course = self.course.lock();
        match outcome {
            _ if course.state != RunState::Running => {}
            Ok(()) => {
                course.state = RunState::Done;
                course.progress.done = course.progress.of;
                course.progress.share = 1.0;
            }
            Err(problem) => {
                course.state = RunState::Failed;
                course.problem = Some(problem);
            }
        }
        self.step.send_replace(Step::Over);
    }

    /// Has it end; says whether it was under way.
    pub(super) fn stop(&self) -> bool {
        let mut course = self.course.lock();
        let running = course.state == RunState::Running;
        if running {
            course.state = RunState::Stopped;
            self.step.send_replace(Step::Stopping);
        }
        running
    }

    /// Completes when it shall end.
    pub(super) async fn stopped(&self) {
        let _ = self
            .step
            .subscribe()
            .wait_for(|step| *step != Step::Working)
            .await;
    }

    /// Completes when no task works at it any more.
    pub(super) async fn over(&self) {
        let _ = self
            .step
            .subscribe()
            .wait_for(|step| *step == Step::Over)
            .await;
    }

    pub(super) fn is_over(&self) -> bool {
        *self.step.borrow() == Step::Over
    }

    pub(super) fn is_running(&self) -> bool {
        self.course.lock().state == RunState::Running
    }

    pub(super) fn brief(&self) -> Brief {
        let course = self.course.lock();
        Brief {
            id: self.id,
            process: self.process.clone(),
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

/// Names, numbers and texts always serialise.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

//! [`TraceLog`]: the spans of the last answer that was explained, and of the last stampede. No collector is needed.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::telemetry::traces::{Recorded, Recorder, Sampler, Traces};

/// The last two traces that a person may look at.
#[derive(Default)]
pub(super) struct TraceLog {
    explained: Mutex<Option<Arc<Recorder>>>,
    stampede: Mutex<Option<Arc<Recorder>>>,
}

/// Both, as they are now.
#[derive(Serialize)]
pub(super) struct TracesView {
    explained: Vec<Recorded>,
    /// Without the spans of its requests, which say no more than their waits do.
    stampede: Vec<Recorded>,
}

/// The span of a request of a stampede.
pub(super) const REQUEST: &str = "request";

/// Most spans of one trace: four for each caller of the largest stampede.
const MOST_SPANS: usize = 20_000;

impl TraceLog {
    /// Begins the trace of an answer that is to be explained.
    pub(super) fn explain(&self) -> Traces {
        record(&self.explained)
    }

    /// Begins the traces of a stampede.
    pub(super) fn stampede(&self) -> Traces {
        record(&self.stampede)
    }

    pub(super) fn view(&self) -> TracesView {
        let spans = |recorder: &Mutex<Option<Arc<Recorder>>>| {
            let recorder = recorder.lock().clone();
            recorder.map_or_else(Vec::new, |recorder| recorder.spans())
        };
        let mut stampede = spans(&self.stampede);
        stampede.retain(|span| span.name() != REQUEST);
        TracesView {
            explained: spans(&self.explained),
            stampede,
        }
    }
}

/// Puts a new recorder in the place of the one before.
fn record(place: &Mutex<Option<Arc<Recorder>>>) -> Traces {
    let recorder = Arc::new(Recorder::new(MOST_SPANS));
    *place.lock() = Some(Arc::clone(&recorder));
    Traces::to(recorder, Sampler::new(false, 1.0))
}

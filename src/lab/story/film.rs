//! [`Film`]: what happens in a run, in frames short enough that a page can play them slowly.

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::lab::stage::Stage;
use crate::metrics::labels::Labels as _;
use crate::outcomes::Source;
use crate::store::Demand;
use crate::template::TemplateId;

/// What has happened since the last frame.
pub(super) struct Film {
    began: Instant,
    asked_before: u64,
    sent_before: u64,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    requests: u64,
    begun: Vec<TemplateId>,
    ended: Vec<(u64, Source)>,
    last_ended: u64,
}

/// A few hundredths of a second. The names are short because there are many of them.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    /// Milliseconds since the run began.
    t: u64,
    /// The keys that requests have asked for, in the order in which they came. They count from 0 through the whole run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    b: Vec<TemplateId>,
    /// Requests that have ended: by how much the number differs from the last one's, then the place of its source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    e: Vec<i64>,
    /// Queries that run or wait, loads that have asked the database so far, flights under way.
    q: [u64; 3],
    /// Whether the cache and the database are cut off.
    x: [u8; 2],
}

impl Film {
    /// Begins now: what was asked of the database until now is not in it.
    pub(super) fn new(demand: &Demand) -> Self {
        Self {
            began: Instant::now(),
            asked_before: demand.asked(),
            sent_before: demand.sent(),
            taken: Mutex::default(),
        }
    }

    /// A request has come. Returns its number.
    pub(super) fn begun(&self, template: TemplateId) -> u64 {
        let mut taken = self.taken.lock();
        taken.begun.push(template);
        taken.requests += 1;
        taken.requests - 1
    }

    /// A request has its answer or was refused.
    pub(super) fn ended(&self, request: u64, source: Source) {
        self.taken.lock().ended.push((request, source));
    }

    /// Loads that have asked the database, whether or not it took their queries.
    pub(super) fn asked(&self, demand: &Demand) -> u64 {
        demand.asked() - self.asked_before
    }

    /// Queries that the database was sent.
    pub(super) fn queries(&self, demand: &Demand) -> u64 {
        demand.sent() - self.sent_before
    }

    /// What has happened since the last frame.
    pub(super) fn frame(&self, stage: &Stage) -> Frame {
        let cut = |fault| u8::from(fault != Fault::None);
        let mut taken = self.taken.lock();
        let begun = std::mem::take(&mut taken.begun);
        let mut ended = Vec::with_capacity(2 * taken.ended.len());
        for (request, source) in std::mem::take(&mut taken.ended) {
            ended.push(request as i64 - taken.last_ended as i64);
            ended.push(source.index() as i64);
            taken.last_ended = request;
        }
        Frame {
            t: self.began.elapsed().as_millis() as u64,
            b: begun,
            e: ended,
            q: [
                stage.demand.now() as u64,
                self.asked(&stage.demand),
                stage.flights() as u64,
            ],
            x: [
                cut(stage.faults.cache.fault()),
                cut(stage.faults.database.fault()),
            ],
        }
    }
}

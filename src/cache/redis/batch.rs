//! [`Batch`]: lookups of the same moment ask Redis together.
//!
//! A lookup that has Redis nearly to itself is sent at once. Beyond [`FEW`] at a time, lookups are collected, and one task
//! sends what has collected as one command; a template that several look up is asked for once. The next command is sent
//! when this one is answered, or after [`PACE`] if it is not, so that a slow answer delays no other lookup. In any case a
//! lookup's time-out counts from when it began.
//!
//! A command is sent after all its lookups have begun, so that no answer is older than its lookup.
//!
//! A command is one span, as a load is, and lookups link to it. If it were a child of each, a batch of 512 would be 512
//! spans of the same command, and a sum over them would count it 512 times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::connection::{self, Failure, Reach, RedisConnection};
use super::{codec, scripts};
use crate::freshness::Entry;
use crate::telemetry::traces::{self, Span, SpanKind};
use crate::template::TemplateId;

/// How many lookups may be under way before the next ones are sent together.
const FEW: usize = 4;

/// Longest wait for one answer before the next command is sent, where the time-out is much longer.
const PACE: Duration = Duration::from_millis(1);

/// Most lookups in one command. All of them wait for the whole of its reply.
const MOST_TOGETHER: usize = 512;

/// What Redis holds for a template.
#[derive(Clone, Debug)]
pub(super) enum Held {
    Nothing,
    Entry(Entry),
    /// Something that this service has not written. MGET says "nothing" of what has another type.
    Foreign,
}

type Answer = Result<Held, Failure>;

/// Lookups that are under way.
#[derive(Default)]
pub(super) struct Batch {
    under_way: AtomicUsize,
    collected: Mutex<Collected>,
}

/// Lookups that have not been sent.
#[derive(Default)]
struct Collected {
    lookups: Vec<PendingLookup>,
    /// Whether a task sends them.
    has_task: bool,
}

struct PendingLookup {
    id: TemplateId,
    began: Instant,
    answer: oneshot::Sender<Answer>,
    /// If the caller is traced.
    wait: Option<Span>,
}

impl Batch {
    /// Looks up a template for a caller that has waited since `began`.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        redis: &RedisConnection,
        id: TemplateId,
        began: Instant,
    ) -> Answer {
        let reach = redis.reach();
        if reach == Reach::Nothing {
            return Err(Failure::Unavailable);
        }
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(self);
        // One command to several nodes would wait for the slowest of them.
        if before < FEW || reach == Reach::SeveralNodes {
            return held(id, redis.call_since(began, &scripts::get(&[id])).await);
        }
        let (answer, answered) = oneshot::channel();
        let wait = traces::current().map(|caller| caller.child("cache.wait", SpanKind::Internal));
        let lookup = PendingLookup {
            id,
            began,
            answer,
            wait,
        };
        if self.collect(lookup) {
            tokio::spawn(send_all(Arc::clone(self), redis.clone()));
        }
        answered.await.unwrap_or(Err(Failure::Unavailable))
    }

    /// Adds a lookup. True if it needs a task that sends it.
    fn collect(&self, lookup: PendingLookup) -> bool {
        let mut collected = self.collected.lock();
        collected.lookups.push(lookup);
        !std::mem::replace(&mut collected.has_task, true)
    }

    /// Takes the lookups that have waited longest, in their order. When there are none, the task ends.
    fn take(&self) -> Vec<PendingLookup> {
        let mut collected = self.collected.lock();
        let first = collected.lookups.len().min(MOST_TOGETHER);
        let rest = collected.lookups.split_off(first);
        let first = std::mem::replace(&mut collected.lookups, rest);
        collected.has_task = !first.is_empty();
        first
    }
}

/// Counts a lookup that is under way until it is dropped.
struct UnderWay<'a>(&'a Batch);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends one command after the other until no lookup is left.
async fn send_all(batch: Arc<Batch>, redis: RedisConnection) {
    let pace = PACE.min(redis.timeout() / 8);
    loop {
        // Other tasks that can run may have lookups to add.
        yield_now().await;
        let lookups = batch.take();
        if lookups.is_empty() {
            return;
        }
        // A task of its own: if it panics, the lookups behind it are sent all the same.
        let sent = tokio::spawn(send(redis.clone(), lookups));
        let _ = timeout(pace, sent).await;
    }
}

/// Asks for all templates at once, and answers each lookup.
async fn send(redis: RedisConnection, mut lookups: Vec<PendingLookup>) {
    lookups.retain(|lookup| !lookup.answer.is_closed());
    let Some(began) = lookups.first().map(|lookup| lookup.began) else {
        return;
    };
    lookups.sort_unstable_by_key(|lookup| lookup.id);
    let mut ids: Vec<_> = lookups.iter().map(|lookup| lookup.id).collect();
    ids.dedup();
    let command = scripts::get(&ids);
    let asking = begin_span(&lookups, &command);
    let reply = redis.call_since(began, &command).await;
    finish(asking, &mut lookups, reply.as_ref().err());
    let replies: Vec<_> = match reply {
        Ok(Value::Array(values)) => values.into_iter().map(Ok).collect(),
        reply => vec![reply; ids.len()],
    };
    let mut lookups = lookups.into_iter().peekable();
    for (id, reply) in ids.into_iter().zip(replies) {
        let mut answer = held(id, reply);
        while let Some(lookup) = lookups.next_if(|lookup| lookup.id == id) {
            // A caller that has left needs no answer.
            let _ = lookup.answer.send(answer.clone());
            if let Ok(Held::Foreign) = answer {
                // One caller is enough to remove it.
                answer = Ok(Held::Nothing);
            }
        }
    }
}

/// Begins the span of a command for all lookups, as the child of the first one that is traced.
fn begin_span(lookups: &[PendingLookup], command: &Cmd) -> Option<Span> {
    let wait = lookups.iter().find_map(|lookup| lookup.wait.as_ref())?;
    let span = connection::begin_span(wait, command);
    span.set("stampede.batch.lookups", lookups.len() as i64);
    Some(span)
}

/// Ends it, and what waited for it. All but the first link to it: a viewer shows the command in one trace, and the way to
/// it in the others.
fn finish(asking: Option<Span>, lookups: &mut [PendingLookup], failure: Option<&Failure>) {
    let Some(asking) = asking else { return };
    let waits = lookups.iter_mut().filter_map(|lookup| lookup.wait.take());
    for (nth, wait) in waits.enumerate() {
        if nth > 0 {
            wait.link_to(&asking);
        }
        wait.finish();
    }
    traces::finish(Some(asking), failure.map(Failure::as_str));
}

/// What a reply says of one template.
fn held(id: TemplateId, reply: Result<Value, Failure>) -> Answer {
    match reply {
        Ok(Value::Nil) => Ok(Held::Nothing),
        Ok(Value::BulkString(bytes)) => {
            Ok(codec::decode(id, bytes.into()).map_or(Held::Foreign, Held::Entry))
        }
        Ok(_) => Ok(Held::Foreign),
        Err(Failure::Server(error)) if error.code() == Some("WRONGTYPE") => Ok(Held::Foreign),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_was_left_over_goes_before_later_ones() {
        let batch = Batch::default();
        let collect = |count: usize| {
            for _ in 0..count {
                let id = TemplateId::new(1).unwrap();
                let (answer, _) = oneshot::channel();
                let began = Instant::now();
                let wait = None;
                batch.collect(PendingLookup {
                    id,
                    began,
                    answer,
                    wait,
                });
            }
        };
        let first = Instant::now();
        collect(MOST_TOGETHER + 1);
        tokio::time::advance(PACE).await;
        let later = Instant::now();
        collect(MOST_TOGETHER);
        let taken = [(); 4].map(|()| batch.take());
        let oldest = taken.each_ref().map(|lookups| Some(lookups.first()?.began));
        assert_eq!(oldest, [Some(first), Some(first), Some(later), None]);
    }
}

//! [`Reads`]: lookups that are under way at the same time ask Redis together.
//!
//! A lookup that has Redis nearly to itself is sent at once. Where there are more, each is put on a list, and one task
//! sends what has come together as one command; a template that several ask for is asked for once. The next ones are sent
//! when that command is answered, or after [`PACE`] if it is not: behind a slow Redis nobody waits for somebody else's
//! answer. Whatever has to be waited for, the time-out counts from when a lookup began.
//!
//! A command is sent after everybody on its list has asked, so no answer is older than its question.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::slot::{Failure, Shared};
use super::{fence, payload};
use crate::freshness::Entry;
use crate::template::TemplateId;

/// How many lookups may be under way before the next ones are sent together.
const FEW: usize = 4;

/// Longest wait for the answer to others, where the time-out is much longer.
const PACE: Duration = Duration::from_millis(1);

/// Most lookups that one command is for: all of them have to wait for the whole of its reply.
const MOST_TOGETHER: usize = 512;

/// What Redis has where a template is looked for.
#[derive(Clone, Debug)]
pub(super) enum Held {
    Nothing,
    Entry(Entry),
    /// What is not ours. Asked for several templates, Redis says "nothing" of what has another type.
    Foreign,
}

type Answer = Result<Held, Failure>;

/// Lookups that are under way.
#[derive(Default)]
pub(super) struct Reads {
    under_way: AtomicUsize,
    list: Mutex<List>,
}

/// Those that have not been sent.
#[derive(Default)]
struct List {
    askers: Vec<Asker>,
    /// Whether a task looks after them.
    is_tended: bool,
}

struct Asker {
    id: TemplateId,
    began: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Shared {
    /// Asks what is stored of a template, for a lookup that began then.
    pub(super) async fn read(self: &Arc<Self>, id: TemplateId, began: Instant) -> Answer {
        let Some(has_several_nodes) = self
            .installed
            .load()
            .as_ref()
            .map(|connection| connection.line.has_several_nodes())
        else {
            return Err(Failure::Unavailable);
        };
        let before = self.reads.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.reads);
        // The nodes of a cluster do not wait for one of them.
        if before < FEW || has_several_nodes {
            return held(id, self.call_since(began, &fence::read(&[id])).await);
        }
        let (answer, answered) = oneshot::channel();
        if self.reads.join(Asker { id, began, answer }) {
            tokio::spawn(tend(Arc::clone(self)));
        }
        answered.await.unwrap_or(Err(Failure::Unavailable))
    }
}

/// Counts a lookup that is under way until it is dropped.
struct UnderWay<'a>(&'a Reads);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reads {
    /// Puts one more on the list. True if nobody tends it yet.
    fn join(&self, asker: Asker) -> bool {
        let mut list = self.list.lock();
        list.askers.push(asker);
        !std::mem::replace(&mut list.is_tended, true)
    }

    /// Takes those who have waited longest, the first of them first. Nobody tends an empty list.
    fn take(&self) -> Vec<Asker> {
        let mut list = self.list.lock();
        let first = list.askers.len().min(MOST_TOGETHER);
        let rest = list.askers.split_off(first);
        let first = std::mem::replace(&mut list.askers, rest);
        list.is_tended = !first.is_empty();
        first
    }
}

/// Sends one list after the other until there is none.
async fn tend(shared: Arc<Shared>) {
    loop {
        // Whatever else can run may have something to ask.
        yield_now().await;
        let askers = shared.reads.take();
        if askers.is_empty() {
            return;
        }
        // A task of its own: whatever becomes of it, the list is tended.
        let sent = tokio::spawn(ask(Arc::clone(&shared), askers));
        let _ = timeout(PACE.min(shared.timeout / 8), sent).await;
    }
}

/// Asks for all of them, and tells each what there is.
async fn ask(shared: Arc<Shared>, mut askers: Vec<Asker>) {
    askers.retain(|asker| !asker.answer.is_closed());
    let Some(began) = askers.first().map(|asker| asker.began) else {
        return;
    };
    askers.sort_unstable_by_key(|asker| asker.id);
    let mut ids: Vec<_> = askers.iter().map(|asker| asker.id).collect();
    ids.dedup();
    let replies: Vec<_> = match shared.call_since(began, &fence::read(&ids)).await {
        Ok(Value::Array(values)) => values.into_iter().map(Ok).collect(),
        reply => vec![reply; ids.len()],
    };
    let mut askers = askers.into_iter().peekable();
    for (id, reply) in ids.into_iter().zip(replies) {
        let mut answer = held(id, reply);
        while let Some(asker) = askers.next_if(|asker| asker.id == id) {
            // One that has gone is told nothing.
            let _ = asker.answer.send(answer.clone());
            if let Ok(Held::Foreign) = answer {
                // To be removed by one of them, before it is replaced.
                answer = Ok(Held::Nothing);
            }
        }
    }
}

/// What a reply says of one template.
fn held(id: TemplateId, reply: Result<Value, Failure>) -> Answer {
    match reply {
        Ok(Value::Nil) => Ok(Held::Nothing),
        Ok(Value::BulkString(bytes)) => {
            Ok(payload::decode(id, bytes.into()).map_or(Held::Foreign, Held::Entry))
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
    async fn those_left_on_the_list_make_nobody_behind_them_older() {
        let reads = Reads::default();
        let join = |count: usize| {
            for _ in 0..count {
                let id = TemplateId::new(1).unwrap();
                let (answer, _) = oneshot::channel();
                let began = Instant::now();
                reads.join(Asker { id, began, answer });
            }
        };
        let first = Instant::now();
        join(MOST_TOGETHER + 1);
        tokio::time::advance(PACE).await;
        let later = Instant::now();
        join(MOST_TOGETHER);
        let taken = [(); 4].map(|()| reads.take());
        let oldest = taken.each_ref().map(|askers| Some(askers.first()?.began));
        assert_eq!(oldest, [Some(first), Some(first), Some(later), None]);
    }
}

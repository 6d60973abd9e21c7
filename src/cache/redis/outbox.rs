//! [`Outbox`]: invalidations that Redis has still to be told, because they could not reach it.
//!
//! One server is told everything before it is asked again. The nodes of a cluster are told one by one, as soon as each
//! can be; a template that has an invalidation here is not looked up meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::time::timeout;

use super::topology::{Link, LinkState, NO_ANSWER, reason};
use crate::freshness::{IgnoreBefore, Moment, Rank};
use crate::metrics::Metrics;
use crate::outcomes::{Origin, Reason};
use crate::telemetry::traces::{self, SpanKind, SpanRef};
use crate::template::TemplateId;

/// At most one command for each template, the one that says most, and not more than [`Outbox::MOST_WAITING`] in all.
pub(super) struct Outbox {
    waiting: Mutex<HashMap<TemplateId, Unsent>>,
    /// How many wait, so that a lookup takes no lock while none does.
    count: AtomicUsize,
    /// Longest that one command may take.
    timeout: Duration,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Unsent {
    command: Cmd,
    says: Rank,
    /// Tells it from a later one for the same template.
    number: u64,
    /// The change, if it is traced.
    cause: Option<SpanRef>,
}

/// Whether there is room for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It waits, or one that says more does.
    Yes,
    /// Too many wait already.
    NoRoom,
}

/// How many nodes of a cluster may fail before a round stops. The rest waits for the next round.
const MOST_AWAY: usize = 3;

impl Outbox {
    const MOST_WAITING: usize = 10_000;

    pub(super) fn new(timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            timeout,
            metrics,
        }
    }

    /// Keeps a command for later. It replaces one for the same template, unless that one says more.
    pub(super) fn keep(&self, id: TemplateId, says: Rank, command: Cmd) -> Kept {
        let mut waiting = self.waiting.lock();
        match waiting.get(&id) {
            Some(other) if other.says > says => return Kept::Yes,
            None if waiting.len() >= Self::MOST_WAITING => return Kept::NoRoom,
            Some(_) | None => {}
        }
        let number = fastrand::u64(..);
        waiting.insert(
            id,
            Unsent {
                command,
                says,
                number,
                cause: traces::current(),
            },
        );
        self.count.store(waiting.len(), Ordering::Release);
        Kept::Yes
    }

    /// Whether a command for this template waits.
    pub(super) fn has(&self, id: TemplateId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.waiting.lock().contains_key(&id)
    }

    /// Calls `then` if no command waits. No command can be kept meanwhile.
    pub(super) fn if_empty<T>(&self, then: impl FnOnce() -> T) -> Option<T> {
        let waiting = self.waiting.lock();
        waiting.is_empty().then(then)
    }

    /// Sends what waits. The error says why one server could not be told. Of a cluster, what cannot be sent stays.
    /// A server that rejects a write may hold older entries, which `ignored` then ignores.
    pub(super) async fn send(
        &self,
        link: &mut Link,
        ignored: &IgnoreBefore,
    ) -> Result<(), &'static str> {
        let mut all: Vec<_> = self.all();
        // In another order each time, so that one node that is away does not always delay the same others.
        fastrand::shuffle(&mut all);
        let mut away = 0;
        for (id, waiting) in all {
            let span = waiting.cause.map(|cause| {
                let span = cause.consequence("template.replay", SpanKind::Client);
                span.set("db.system.name", "redis");
                span.set("stampede.template.id", id.number());
                span
            });
            let sent = self.send_one(link, &waiting.command, ignored).await;
            traces::finish(span, sent.err().map(|_| Reason::Unavailable.as_str()));
            match sent {
                Ok(()) => self.remove(id, waiting.number),
                Err(_) if link.has_several_nodes() && away < MOST_AWAY => away += 1,
                Err(_) if link.has_several_nodes() => return Ok(()),
                Err(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    async fn send_one(
        &self,
        link: &mut Link,
        command: &Cmd,
        ignored: &IgnoreBefore,
    ) -> Result<(), &'static str> {
        let sent = timeout(self.timeout, command.query_async::<Value>(link)).await;
        match sent.map_err(|_| NO_ANSWER)? {
            Ok(_) => self.metrics.invalidations.of(Origin::Replayed).inc(),
            Err(error) => match link.state_after(&error) {
                LinkState::NodeAway | LinkState::Lost(_) => return Err(reason(&error)),
                LinkState::Well => ignored.raise(Moment::now()),
            },
        }
        Ok(())
    }

    fn all(&self) -> Vec<(TemplateId, Unsent)> {
        let waiting = self.waiting.lock();
        waiting
            .iter()
            .map(|(id, waiting)| (*id, waiting.clone()))
            .collect()
    }

    /// Removes a command that was sent, unless a later one has replaced it.
    fn remove(&self, id: TemplateId, number: u64) {
        let mut waiting = self.waiting.lock();
        if waiting
            .get(&id)
            .is_some_and(|waiting| waiting.number == number)
        {
            waiting.remove(&id);
            self.count.store(waiting.len(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::Rules;
    use crate::template::State;

    fn id(number: i64) -> TemplateId {
        TemplateId::new(number).unwrap()
    }

    fn state(version: i64) -> Rank {
        let absent = State::Absent { version };
        Rank::of(&Rules::default().entry(absent, Moment(0), Duration::ZERO))
    }

    fn tombstone(version: i64) -> Rank {
        Rank::of(&Rules::default().tombstone(version, Moment(0)))
    }

    fn outbox() -> Outbox {
        Outbox::new(Duration::ZERO, Arc::new(Metrics::new("test")))
    }

    fn packed(name: &str) -> Vec<u8> {
        redis::cmd(name).get_packed_command()
    }

    fn only(outbox: &Outbox) -> (u64, Vec<u8>) {
        let (_, waiting) = outbox.all().remove(0);
        (waiting.number, waiting.command.get_packed_command())
    }

    #[test]
    fn a_later_command_replaces_an_earlier_one_and_outlives_its_sending() {
        let outbox = outbox();
        outbox.keep(id(1), state(1), redis::cmd("A"));
        let (first, _) = only(&outbox);
        outbox.keep(id(1), state(2), redis::cmd("B"));
        outbox.remove(id(1), first);
        let (second, command) = only(&outbox);
        assert_eq!(command, packed("B"));
        outbox.remove(id(1), second);
        assert!(outbox.all().is_empty() && outbox.if_empty(|| ()).is_some());
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let outbox = outbox();
        for number in 1..=Outbox::MOST_WAITING as i64 {
            let kept = outbox.keep(id(number), state(1), redis::cmd("A"));
            assert_eq!(kept, Kept::Yes);
        }
        let known = outbox.keep(id(1), state(2), redis::cmd("B"));
        let unknown = outbox.keep(id(20_000), state(1), redis::cmd("A"));
        assert_eq!((known, unknown), (Kept::Yes, Kept::NoRoom));
    }

    #[test]
    fn a_command_that_says_less_replaces_none() {
        let outbox = outbox();
        outbox.keep(id(1), state(5), redis::cmd("A"));
        for (says, expected) in [
            (state(4), "A"),
            (tombstone(5), "A"),
            (Rank::UNKNOWN, "A"),
            (tombstone(6), "B"),
            (tombstone(5), "B"),
        ] {
            outbox.keep(id(1), says, redis::cmd("B"));
            assert_eq!(only(&outbox).1, packed(expected), "{says:?}");
        }
    }
}

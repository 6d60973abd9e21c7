//! [`Slots`]: the hard limit of queries in flight, and the connections that are idle between them.
//!
//! There is no pool behind the slots: a slot *is* the right to one connection, so connections never outnumber slots.
//! sqlx's own pool was left out for what it does in a bad hour: it pings on every return and so holds a connection
//! longer when there are few, dials again and again for as long as a caller waits, and loses a place for good when a
//! query is dropped on a silent peer.
//!
//! A server may have no room for as many connections as there are slots. Then slots are *surrendered* until there are
//! as many as connections, and restored one by one when the server has room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::connection::Connection;

/// The right to run so many queries at once.
#[derive(Debug)]
pub(super) struct Slots {
    most: usize,
    permits: Semaphore,
    /// Half of the slots, for what may turn out not to exist.
    speculative: Semaphore,
    idle: Mutex<Vec<Live>>,
    /// One clone per connection, idle or in use, and one here.
    connections: Arc<()>,
    surrendered: Mutex<usize>,
    waiting: AtomicUsize,
    /// How long a slot is typically held, in microseconds.
    typical_hold: AtomicU64,
    /// How many of 1,024 speculative queries have found nothing of late.
    in_vain: AtomicU32,
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) connection: Connection,
    dialled_at: Instant,
    idle_since: Instant,
    _counted: Arc<()>,
}

/// The right to run one query.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    permit: SemaphorePermit<'a>,
    _speculative: Option<SemaphorePermit<'a>>,
}

/// One of those who wait for a slot, for as long as it lives.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    others: usize,
}

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize) -> Self {
        Self {
            count,
            others: count.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a query is for something that is known to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hope {
    /// It existed when it was last looked at.
    Known,
    /// It may not exist: while most of such queries find nothing, they may take half of the slots, not all.
    Speculative,
}

/// A connection that was idle for longer may have been forgotten by a firewall on the way, without a word.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// An older connection may lead to a server that is no longer the one its name stands for.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);

const NEVER_CLOSED: &str = "the semaphore is never closed";

impl Live {
    fn is_usable(&self) -> bool {
        self.idle_since.elapsed() < LONGEST_IDLE && self.dialled_at.elapsed() < LONGEST_LIFE
    }
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            permits: Semaphore::new(most),
            speculative: Semaphore::new(most.div_ceil(2)),
            idle: Mutex::new(Vec::with_capacity(most)),
            connections: Arc::new(()),
            surrendered: Mutex::new(0),
            waiting: AtomicUsize::new(0),
            typical_hold: AtomicU64::new(0),
            in_vain: AtomicU32::new(0),
        }
    }

    /// Waits for a slot for at most this long, first come first served. A wait that is bound to be in vain, judging by
    /// those who wait already and by how long slots are held of late, is not begun.
    pub(super) async fn take_within(&self, patience: Duration, hope: Hope) -> Option<Slot<'_>> {
        let began = Instant::now();
        let speculative = timeout(patience, self.speculate(hope)).await.ok()?;
        // Those who wait for the right to speculate are in nobody's way, and not counted.
        let waiting = Waiting::join(&self.waiting);
        let patience = patience.saturating_sub(began.elapsed());
        if self.expected_wait(waiting.others) > patience {
            return None;
        }
        let permit = timeout(patience, self.permits.acquire()).await.ok()?;
        Some(Slot {
            slots: self,
            permit: permit.expect(NEVER_CLOSED),
            _speculative: speculative,
        })
    }

    async fn speculate(&self, hope: Hope) -> Option<SemaphorePermit<'_>> {
        // In a process that has just started every template is unknown; only a flood is held back.
        let flood = hope == Hope::Speculative && self.in_vain.load(Ordering::Relaxed) > 512;
        if flood {
            Some(self.speculative.acquire().await.expect(NEVER_CLOSED))
        } else {
            None
        }
    }

    /// Takes note of what a speculative query has found.
    pub(super) fn note_found(&self, something: bool) {
        let before = self.in_vain.load(Ordering::Relaxed);
        let vain = if something { 0 } else { 1_024 / 8 };
        // As with the hold: a lost sample does no harm.
        self.in_vain
            .store(before - before / 8 + vain, Ordering::Relaxed);
    }

    fn expected_wait(&self, others: usize) -> Duration {
        if self.permits.available_permits() > 0 {
            return Duration::ZERO;
        }
        let hold = Duration::from_micros(self.typical_hold.load(Ordering::Relaxed));
        hold.mul_f64(others as f64 / self.most as f64)
    }

    /// Takes note of how long a slot was held.
    pub(super) fn note_hold(&self, held: Duration) {
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        let before = self.typical_hold.load(Ordering::Relaxed);
        // A lost update between two who note at the same time loses one sample of many.
        let typical = if before == 0 {
            held
        } else {
            before - before / 8 + held / 8
        };
        self.typical_hold.store(typical, Ordering::Relaxed);
    }

    /// Waits for a slot, first come first served. The caller bounds the wait.
    pub(super) async fn take(&self) -> Slot<'_> {
        let permit = self.permits.acquire().await.expect(NEVER_CLOSED);
        Slot {
            slots: self,
            permit,
            _speculative: None,
        }
    }

    /// Counts a connection that was just dialled.
    pub(super) fn count(&self, connection: Connection) -> Live {
        let now = Instant::now();
        Live {
            connection,
            dialled_at: now,
            idle_since: now,
            _counted: Arc::clone(&self.connections),
        }
    }

    /// Closes every idle connection.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        Arc::strong_count(&self.connections) - 1
    }

    /// Whether the server had no room for as many connections as there are slots.
    pub(super) fn has_surrendered(&self) -> bool {
        *self.surrendered.lock() > 0
    }

    /// Brings a surrendered slot back, with the connection that the server had room for.
    pub(super) fn restore(&self, live: Live) {
        let mut surrendered = self.surrendered.lock();
        if *surrendered > 0 {
            *surrendered -= 1;
            self.idle.lock().push(live);
            self.permits.add_permits(1);
        }
    }

    /// Takes in a connection that belongs to no slot yet.
    pub(super) async fn welcome(&self, live: Live) {
        if self.has_surrendered() {
            self.restore(live);
        } else {
            self.take().await.give_back(live);
        }
    }

    fn surrender(&self) {
        let mut surrendered = self.surrendered.lock();
        *surrendered += 1;
        debug_assert!(*surrendered <= self.most);
    }
}

impl Slot<'_> {
    /// The connection that was in use last, if one is idle.
    pub(super) fn idle(&self) -> Option<Live> {
        loop {
            let live = self.slots.idle.lock().pop()?;
            if live.is_usable() {
                return Some(live);
            }
        }
    }

    /// Leaves a connection that can be used again to the next one.
    pub(super) fn give_back(self, live: Live) {
        self.slots.idle.lock().push(Live {
            idle_since: Instant::now(),
            ..live
        });
    }

    /// Gives the slot up for good, because the server has no room for its connection.
    pub(super) fn surrender(self) {
        self.permit.forget();
        self.slots.surrender();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_bound_to_be_in_vain_is_not_begun() {
        let slots = Arc::new(Slots::new(2));
        slots.note_hold(Duration::from_millis(100));
        let _held = (slots.take().await, slots.take().await);
        // Ten waiters keep two slots busy for 500 ms; one behind eleven would get nothing in time.
        for _ in 0..11 {
            let slots = Arc::clone(&slots);
            tokio::spawn(async move { slots.take_within(PATIENCE, Hope::Known).await.is_some() });
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        assert!(slots.take_within(PATIENCE, Hope::Known).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn speculative_queries_that_find_nothing_take_half_of_the_slots_at_most() {
        let slots = Slots::new(4);
        let speculate = || slots.take_within(PATIENCE, Hope::Speculative);
        // A cold start: what is asked for turns out to exist.
        (0..10).for_each(|_| slots.note_found(true));
        let all = (
            speculate().await,
            speculate().await,
            speculate().await,
            speculate().await,
        );
        assert!(all.3.is_some());
        drop(all);
        (0..10).for_each(|_| slots.note_found(false));
        let _held = (speculate().await, speculate().await);
        assert!(
            slots
                .take_within(PATIENCE, Hope::Speculative)
                .await
                .is_none()
        );
        assert!(slots.take_within(PATIENCE, Hope::Known).await.is_some());
    }
}

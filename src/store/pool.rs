//! [`Pool`]: the hard limit of queries in flight, and the connections that are idle between them.
//!
//! A permit *is* the right to one connection, so that connections never outnumber permits. sqlx's own pool was left out
//! for what it does in a bad hour: it pings on every return and so holds a connection longer when there are few, it
//! connects again and again for as long as a caller waits, and it loses a place for good when a query is dropped on a
//! silent peer.
//!
//! A server may have room for fewer connections than there are permits. Then permits are *withdrawn* until there are as
//! many as connections, and restored one by one when the server has room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::engine::Connection;

/// The permits, and the idle connections.
#[derive(Debug)]
pub(super) struct Pool {
    size: usize,
    permits: Semaphore,
    /// Half of the permits, for ids that may turn out not to exist.
    for_unknown_ids: Semaphore,
    idle: Mutex<Vec<Pooled>>,
    /// One clone per connection, idle or in use, and one here.
    connections: Arc<()>,
    withdrawn: Mutex<usize>,
    waiting: AtomicUsize,
    /// How long a permit is typically held, in microseconds.
    typical_hold: AtomicU64,
    /// Of 1,024 queries for unknown ids, how many have found nothing of late.
    found_nothing: AtomicU32,
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) connection: Connection,
    opened_at: Instant,
    idle_since: Instant,
    _counted: Arc<()>,
}

/// The right to run one query.
pub(super) struct Permit<'a> {
    pool: &'a Pool,
    permit: SemaphorePermit<'a>,
    _for_unknown_id: Option<SemaphorePermit<'a>>,
}

/// Which permits a query may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The template existed when it was last looked at: all permits.
    KnownId,
    /// The template may not exist: half of the permits, while most queries for such ids find nothing.
    UnknownId,
}

/// A firewall may have dropped a connection that was idle for longer, without telling either end.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// After a failover the address names another server. An older connection may still lead to the one before.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);

const NEVER_CLOSED: &str = "the semaphore is never closed";

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            permits: Semaphore::new(size),
            for_unknown_ids: Semaphore::new(size.div_ceil(2)),
            idle: Mutex::new(Vec::with_capacity(size)),
            connections: Arc::new(()),
            withdrawn: Mutex::new(0),
            waiting: AtomicUsize::new(0),
            typical_hold: AtomicU64::new(0),
            found_nothing: AtomicU32::new(0),
        }
    }

    /// Waits for a permit at most this long, first come first served. A wait that cannot succeed, judging by those who
    /// wait already and by how long permits are held of late, is refused at once.
    pub(super) async fn acquire_within(
        &self,
        longest: Duration,
        priority: Priority,
    ) -> Option<Permit<'_>> {
        let began = Instant::now();
        let for_unknown_id = timeout(longest, self.acquire_for(priority)).await.ok()?;
        // Queries that wait for the half above delay no others, and are not counted.
        let waiting = Queued::join(&self.waiting);
        let left = longest.saturating_sub(began.elapsed());
        if self.expected_wait(waiting.others) > left {
            return None;
        }
        let permit = timeout(left, self.permits.acquire()).await.ok()?;
        Some(Permit {
            pool: self,
            permit: permit.expect(NEVER_CLOSED),
            _for_unknown_id: for_unknown_id,
        })
    }

    async fn acquire_for(&self, priority: Priority) -> Option<SemaphorePermit<'_>> {
        // In a process that has just started every template is unknown. Only a flood of ids that do not exist is limited.
        let is_flood =
            priority == Priority::UnknownId && self.found_nothing.load(Ordering::Relaxed) > 512;
        if is_flood {
            Some(self.for_unknown_ids.acquire().await.expect(NEVER_CLOSED))
        } else {
            None
        }
    }

    /// Waits for a permit, first come first served. The caller bounds the wait.
    pub(super) async fn acquire(&self) -> Permit<'_> {
        let permit = self.permits.acquire().await.expect(NEVER_CLOSED);
        Permit {
            pool: self,
            permit,
            _for_unknown_id: None,
        }
    }

    /// Records what a query for an unknown id has found.
    pub(super) fn record_found(&self, something: bool) {
        let before = self.found_nothing.load(Ordering::Relaxed);
        let sample = if something { 0 } else { 1_024 / 8 };
        // As with the hold: a lost sample does no harm.
        self.found_nothing
            .store(before - before / 8 + sample, Ordering::Relaxed);
    }

    /// Records how long a permit was held.
    pub(super) fn record_hold(&self, held: Duration) {
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        let before = self.typical_hold.load(Ordering::Relaxed);
        // Two threads that record at the same time lose one sample of many.
        let typical = if before == 0 {
            held
        } else {
            before - before / 8 + held / 8
        };
        self.typical_hold.store(typical, Ordering::Relaxed);
    }

    fn expected_wait(&self, others: usize) -> Duration {
        if self.permits.available_permits() > 0 {
            return Duration::ZERO;
        }
        let hold = Duration::from_micros(self.typical_hold.load(Ordering::Relaxed));
        hold.mul_f64(others as f64 / self.size as f64)
    }

    /// Counts a connection that was just opened.
    pub(super) fn count(&self, connection: Connection) -> Pooled {
        let now = Instant::now();
        Pooled {
            connection,
            opened_at: now,
            idle_since: now,
            _counted: Arc::clone(&self.connections),
        }
    }

    /// Adds a connection that was opened without a permit.
    pub(super) async fn add(&self, pooled: Pooled) {
        if self.is_short() {
            self.restore(pooled);
        } else {
            self.acquire().await.give_back(pooled);
        }
    }

    /// Closes every idle connection.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        Arc::strong_count(&self.connections) - 1
    }

    /// Whether permits are withdrawn, because the server had no room for as many connections.
    pub(super) fn is_short(&self) -> bool {
        *self.withdrawn.lock() > 0
    }

    /// Restores a withdrawn permit, with the connection that the server had room for.
    pub(super) fn restore(&self, pooled: Pooled) {
        let mut withdrawn = self.withdrawn.lock();
        if *withdrawn > 0 {
            *withdrawn -= 1;
            self.idle.lock().push(pooled);
            self.permits.add_permits(1);
        }
    }
}

impl Permit<'_> {
    /// The connection that was in use last, if one is idle.
    pub(super) fn idle(&self) -> Option<Pooled> {
        loop {
            let pooled = self.pool.idle.lock().pop()?;
            if pooled.is_usable() {
                return Some(pooled);
            }
        }
    }

    /// Ends the query, and leaves its connection to the next one.
    pub(super) fn give_back(self, pooled: Pooled) {
        self.pool.idle.lock().push(Pooled {
            idle_since: Instant::now(),
            ..pooled
        });
    }

    /// Withdraws the permit, because the server has no room for its connection.
    pub(super) fn withdraw(self) {
        self.permit.forget();
        let mut withdrawn = self.pool.withdrawn.lock();
        *withdrawn += 1;
        debug_assert!(*withdrawn <= self.pool.size);
    }
}

impl Pooled {
    fn is_usable(&self) -> bool {
        self.idle_since.elapsed() < LONGEST_IDLE && self.opened_at.elapsed() < LONGEST_LIFE
    }
}

/// Counts one query that waits for a permit, until it is dropped.
struct Queued<'a> {
    count: &'a AtomicUsize,
    others: usize,
}

impl<'a> Queued<'a> {
    fn join(count: &'a AtomicUsize) -> Self {
        Self {
            count,
            others: count.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_cannot_succeed_is_refused_at_once() {
        let pool = Arc::new(Pool::new(2));
        pool.record_hold(Duration::from_millis(100));
        let _held = (pool.acquire().await, pool.acquire().await);
        // Ten waiters keep two permits busy for 500 ms. One behind eleven would get none in time.
        for _ in 0..11 {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                pool.acquire_within(LIMIT, Priority::KnownId)
                    .await
                    .is_some()
            });
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        assert!(
            pool.acquire_within(LIMIT, Priority::KnownId)
                .await
                .is_none()
        );
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn queries_for_unknown_ids_that_find_nothing_take_half_of_the_permits() {
        let pool = Pool::new(4);
        let acquire = || pool.acquire_within(LIMIT, Priority::UnknownId);
        // A cold start: the ids turn out to exist.
        (0..10).for_each(|_| pool.record_found(true));
        let all = (
            acquire().await,
            acquire().await,
            acquire().await,
            acquire().await,
        );
        assert!(all.3.is_some());
        drop(all);
        (0..10).for_each(|_| pool.record_found(false));
        let _held = (acquire().await, acquire().await);
        assert!(acquire().await.is_none());
        assert!(
            pool.acquire_within(LIMIT, Priority::KnownId)
                .await
                .is_some()
        );
    }
}

//! [`Slots`]: the hard limit of queries in flight, and the connections that are idle between them.
//!
//! There is no pool behind the slots: a slot *is* the right to one connection, so connections never outnumber slots.
//! sqlx's own pool was left out for what it does in a bad hour: it pings on every return and so holds a connection
//! longer when there are few, dials again and again for as long as a caller waits, and loses a place for good when a
//! query is dropped on a silent peer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::connection::Connection;

/// The right to run so many queries at once.
#[derive(Debug)]
pub(super) struct Slots {
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    dialled_at: Instant,
    idle_since: Instant,
}

/// The right to run one query.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    dialled_at: Instant,
    _permit: SemaphorePermit<'a>,
}

/// A connection that was idle for longer may have been forgotten by a firewall on the way, without a word.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// An older connection may lead to a server that is no longer the one its name stands for.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);

impl Idle {
    fn is_usable(&self) -> bool {
        self.idle_since.elapsed() < LONGEST_IDLE && self.dialled_at.elapsed() < LONGEST_LIFE
    }
}

impl Slots {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            permits: Semaphore::new(slots),
            idle: Mutex::new(Vec::with_capacity(slots)),
        }
    }

    /// Waits for a slot, first come first served. The caller bounds the wait.
    pub(super) async fn take(&self) -> Slot<'_> {
        let permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        Slot {
            slots: self,
            dialled_at: Instant::now(),
            _permit: permit,
        }
    }

    /// Closes every idle connection.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }
}

impl Slot<'_> {
    /// The connection that was in use last, if one is idle.
    pub(super) fn idle(&mut self) -> Option<Connection> {
        loop {
            let idle = self.slots.idle.lock().pop()?;
            if idle.is_usable() {
                self.dialled_at = idle.dialled_at;
                return Some(idle.connection);
            }
        }
    }

    /// Leaves a connection that can be used again to the next one.
    pub(super) fn give_back(self, connection: Connection) {
        let idle = Idle {
            connection,
            dialled_at: self.dialled_at,
            idle_since: Instant::now(),
        };
        self.slots.idle.lock().push(idle);
    }
}

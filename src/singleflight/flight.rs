//! One flight: its outcome, who waits for it, and its load.
//!
//! Which flight a caller for a key is given belongs to the table.

use super::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, OnceLock, Ordering, fence};
use super::wakers::{SlotIndex, Wakers};
use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a load leaves for its flight's callers to see, such as its place in a trace. The group only hands it on.
pub type Note = Arc<dyn Any + Send + Sync>;

/// A load for `key` that ends in a `T`, and is an `R` once it has been suspended.
pub(crate) struct Flight<K, T, R> {
    pub(crate) key: K,
    pub(super) hash: u64,
    /// Unique in its table, and rising for any one key.
    pub(crate) generation: u64,
    /// Whether the next caller for the key joins this flight. Written under the shard's lock.
    pub(super) current: AtomicBool,
    /// Callers that ever came, and those that left. Written under the shard's lock.
    joined: AtomicU32,
    left: AtomicU32,
    /// Whether the load was woken when it had not been suspended yet.
    woken: AtomicBool,
    /// When the load was first suspended, and when the flight landed; 0 before.
    suspended_at: AtomicU64,
    landed_at: AtomicU64,
    /// The load, if it was suspended.
    pub(crate) suspended: OnceLock<R>,
    /// Set before `waiting.landed`.
    outcome: OnceLock<T>,
    waiting: Mutex<Waiters>,
    /// What the load has left for its callers to see.
    note: OnceLock<Note>,
    /// Whether the load was given the means to write back.
    has_loading: AtomicBool,
    /// Whether the load must not write its result back. Locked while it writes.
    sealed: Mutex<bool>,
}

#[derive(Default)]
struct Waiters {
    landed: bool,
    wakers: Wakers,
}

impl<K, T: Clone, R> Flight<K, T, R> {
    /// A flight with its leader on it.
    pub(super) fn new(key: K, hash: u64, generation: u64) -> Self {
        Self {
            key,
            hash,
            generation,
            current: AtomicBool::new(true),
            joined: AtomicU32::new(1),
            left: AtomicU32::new(0),
            woken: AtomicBool::new(false),
            suspended_at: AtomicU64::new(0),
            landed_at: AtomicU64::new(0),
            outcome: OnceLock::new(),
            suspended: OnceLock::new(),
            waiting: Mutex::new(Waiters::default()),
            note: OnceLock::new(),
            has_loading: AtomicBool::new(false),
            sealed: Mutex::new(false),
        }
    }

    /// Whether the next caller for the key would join this flight.
    pub(crate) fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire)
    }

    /// All callers that ever joined, the leader included.
    pub(crate) fn callers(&self) -> u32 {
        self.joined.load(Ordering::Acquire)
    }

    /// Adds a caller, unless `most` are waiting already.
    pub(super) fn join(&self, most: u32) -> bool {
        let joined = self.joined.load(Ordering::Relaxed);
        if joined - self.left.load(Ordering::Relaxed) >= most || joined == u32::MAX {
            return false;
        }
        self.joined.store(joined + 1, Ordering::Release);
        true
    }

    /// Takes a caller off; true if it was the last.
    pub(super) fn leave(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed) + 1;
        self.left.store(left, Ordering::Relaxed);
        self.is_abandoned()
    }

    /// Whether all callers have left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.left.load(Ordering::Relaxed) == self.joined.load(Ordering::Relaxed)
    }

    /// Keeps a load that is not ready. The leader then looks whether it was woken or aborted meanwhile.
    pub(crate) fn keep_load(&self, load: impl FnOnce() -> R) -> &R {
        let load = self.suspended.get_or_init(load);
        fence(Ordering::SeqCst);
        load
    }

    /// The load, for a thread that has just noted a wake or a landing. Either this thread sees the load, or the leader sees
    /// what this thread noted: each of them writes, fences, and then reads what the other writes.
    pub(crate) fn suspended_load(&self) -> Option<&R> {
        fence(Ordering::SeqCst);
        self.suspended.get()
    }

    /// Notes that the load was woken.
    pub(crate) fn note_woken(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    /// Whether the load was woken when it was not suspended yet.
    pub(crate) fn was_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// When the load was first suspended, if it was.
    pub(crate) fn suspended_at(&self) -> Option<u64> {
        Some(self.suspended_at.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// Notes the first suspension; `now` is not 0.
    pub(crate) fn note_suspension(&self, now: u64) {
        self.suspended_at.store(now, Ordering::Relaxed);
    }

    /// When the flight landed, for callers that have its outcome.
    pub(crate) fn landed_at(&self) -> u64 {
        self.landed_at.load(Ordering::Relaxed)
    }

    /// Notes the landing, before the outcome is published.
    pub(crate) fn note_landing(&self, now: u64) {
        self.landed_at.store(now, Ordering::Relaxed);
    }

    /// Whether the outcome is published.
    pub(crate) fn has_landed(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// The outcome, once it is published.
    pub(crate) fn outcome(&self) -> Option<T> {
        self.outcome.get().cloned()
    }

    /// Waits for the outcome; the caller's waker is in `slot` meanwhile.
    pub(crate) fn poll_outcome(
        &self,
        cx: &mut Context<'_>,
        slot: &mut Option<SlotIndex>,
    ) -> Poll<T> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        match self.wait(slot, cx.waker().clone()) {
            Ok(displaced) => {
                drop(displaced);
                Poll::Pending
            }
            Err(_unused) => Poll::Ready(
                self.outcome()
                    .expect("the outcome is set before the flight is marked as landed"),
            ),
        }
    }

    /// Registers the waker, unless the flight has landed. One lock covers both: a landing in between would miss the waker.
    fn wait(&self, slot: &mut Option<SlotIndex>, waker: Waker) -> Result<Option<Waker>, Waker> {
        let mut waiting = self.waiting.lock();
        if waiting.landed {
            return Err(waker);
        }
        Ok(waiting.wakers.keep(slot, waker))
    }

    /// Frees the slot of a caller that has stopped waiting.
    pub(crate) fn unwait(&self, slot: SlotIndex) {
        let waker = self.waiting.lock().wakers.release(slot);
        drop(waker);
    }

    /// Publishes the outcome and wakes everyone who waits.
    pub(crate) fn publish(&self, outcome: T) {
        // A flight is taken out of the table once, and published by the thread that took it out. So this is the first.
        drop(self.outcome.set(outcome));
        let mut waiting = self.waiting.lock();
        waiting.landed = true;
        let wakers = waiting.wakers.take_all();
        drop(waiting);
        wakers.for_each(Waker::wake);
    }

    /// Wakes everyone who waits, to look again.
    pub(crate) fn wake_all(&self) {
        let wakers = self.waiting.lock().wakers.clone_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Runs `write` unless the flight has been sealed, and keeps it from being sealed meanwhile.
    pub(crate) fn write_back<X>(&self, write: impl FnOnce() -> X) -> Option<X> {
        let sealed = self.sealed.lock();
        let written = (!*sealed).then(write);
        drop(sealed);
        written
    }

    /// Keeps the load from writing back. Waits for a write that is under way.
    pub(crate) fn seal(&self) {
        *self.sealed.lock() = true;
    }

    /// Does the same, unless a write is under way.
    pub(super) fn try_seal(&self) -> bool {
        let sealed = self.sealed.try_lock();
        sealed.map(|mut sealed| *sealed = true).is_some()
    }

    /// Keeps the load's first note.
    pub(crate) fn leave_note(&self, note: Note) {
        drop(self.note.set(note));
    }

    /// The load's note, if it has left one.
    pub(crate) fn note(&self) -> Option<&Note> {
        self.note.get()
    }

    /// Notes that the load can write back.
    pub(crate) fn note_loading(&self) {
        self.has_loading.store(true, Ordering::Relaxed);
    }

    /// Whether the load can write back, asked where it ends.
    pub(crate) fn has_loading(&self) -> bool {
        self.has_loading.load(Ordering::Relaxed)
    }
}

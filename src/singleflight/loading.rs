//! What a loader can ask about the flight that it loads for.

use super::flight::{Flight, Note};
use super::outcome::Generation;
use std::fmt;
use std::sync::Arc;

/// A loader's own flight.
#[derive(Clone)]
pub struct Loading {
    generation: Generation,
    flight: Arc<dyn WriteBack>,
}

trait WriteBack: Send + Sync {
    fn is_current(&self) -> bool;
    fn write_back(&self, write: &mut dyn FnMut());
    fn leave_note(&self, note: Note);
}

impl<K: Send + Sync, T: Clone + Send + Sync, R: Send + Sync> WriteBack for Flight<K, T, R> {
    fn is_current(&self) -> bool {
        self.is_current()
    }

    fn write_back(&self, write: &mut dyn FnMut()) {
        self.write_back(write);
    }

    fn leave_note(&self, note: Note) {
        self.leave_note(note);
    }
}

impl Loading {
    pub(crate) fn of<K, T, R>(flight: &Arc<Flight<K, T, R>>) -> Self
    where
        K: Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
        R: Send + Sync + 'static,
    {
        flight.note_loading();
        Self {
            generation: Generation(flight.generation),
            flight: Arc::<Flight<K, T, R>>::clone(flight),
        }
    }

    /// Calls `write`, unless the flight has been forgotten or has ended for its callers, and says what came of it. A
    /// `Loading` may outlive its load, and writes nothing then.
    ///
    /// [`Group::forget`](super::Group::forget) waits for a write that is under way. So a writer that forgets the key
    /// and then removes it from the cache leaves nothing behind that an older load has written. `write` should be
    /// short, and must not call the group.
    pub fn write_back<T>(&self, write: impl FnOnce() -> T) -> Option<T> {
        let (mut write, mut written) = (Some(write), None);
        self.flight.write_back(&mut || {
            written = write.take().map(|write| write());
        });
        written
    }

    /// Whether the next caller for the key would still join this flight. It may be forgotten a moment later.
    pub fn is_current(&self) -> bool {
        self.flight.is_current()
    }

    /// Leaves a note that each caller's [`Part`](super::Part) and the [`Landing`](super::Landing) have; only the first
    /// counts.
    pub fn leave_note(&self, note: Note) {
        self.flight.leave_note(note);
    }

    /// Which flight it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

//! What a loader can ask about the flight it loads for.

use super::kernel;
use super::outcome::Generation;
use std::fmt;
use std::sync::{Arc, Weak};

/// A loader's own flight.
#[derive(Clone)]
pub struct Flight {
    generation: Generation,
    standing: Weak<dyn Standing>,
}

trait Standing: Send + Sync {
    fn is_current(&self) -> bool;
}

impl<K: Send + Sync, T: Clone + Send + Sync, L: Send> Standing for kernel::Flight<K, T, L> {
    fn is_current(&self) -> bool {
        self.is_current()
    }
}

impl Flight {
    pub(crate) fn of<K, T, L>(flight: &Arc<kernel::Flight<K, T, L>>) -> Self
    where
        K: Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
        L: Send + 'static,
    {
        let standing: Weak<kernel::Flight<K, T, L>> = Arc::downgrade(flight);
        Self {
            generation: Generation(flight.generation),
            standing,
        }
    }

    /// Whether the next caller for the key would still join this flight. A load that was forgotten, or has ended for its
    /// callers (by its deadline, say), should not write its result back: something newer may be there already.
    pub fn is_current(&self) -> bool {
        self.standing
            .upgrade()
            .is_some_and(|flight| flight.is_current())
    }

    /// Which flight it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

//! The wakers of one flight, in slots that are used again.
//!
//! Memory is bounded by the most callers that waited at one time, not by how many came and went. Every waker that leaves
//! is handed back, so that its owner wakes or drops it outside of the lock.

use std::task::Waker;

/// Where a caller's waker is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(u32);

enum Slot {
    Taken(Waker),
    /// Free, and the next free one after it.
    Free(Option<SlotIndex>),
}

/// A slab of wakers.
#[derive(Default)]
pub(crate) struct Wakers {
    slots: Vec<Slot>,
    next_free: Option<SlotIndex>,
}

impl Wakers {
    /// Keeps `waker` in `slot`, which it gets if it has none; hands back the waker that was there.
    pub(crate) fn keep(&mut self, slot: &mut Option<SlotIndex>, waker: Waker) -> Option<Waker> {
        if let Some(index) = *slot {
            return into_waker(std::mem::replace(self.at(index), Slot::Taken(waker)));
        }
        *slot = Some(self.insert(waker));
        None
    }

    /// Frees `slot` and hands back its waker.
    pub(crate) fn release(&mut self, slot: SlotIndex) -> Option<Waker> {
        // Once all were taken, the slab is empty.
        if slot.0 as usize >= self.slots.len() {
            return None;
        }
        let free = Slot::Free(self.next_free);
        self.next_free = Some(slot);
        into_waker(std::mem::replace(self.at(slot), free))
    }

    /// Takes every waker and leaves an empty slab that owns no memory.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.next_free = None;
        std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(into_waker)
    }

    /// Every waker, where it stays.
    pub(crate) fn clone_all(&self) -> Vec<Waker> {
        let taken = self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(waker) => Some(waker.clone()),
            Slot::Free(_) => None,
        });
        taken.collect()
    }

    fn insert(&mut self, waker: Waker) -> SlotIndex {
        if let Some(index) = self.next_free {
            if let Slot::Free(next) = *self.at(index) {
                self.next_free = next;
            }
            *self.at(index) = Slot::Taken(waker);
            return index;
        }
        let index = u32::try_from(self.slots.len()).expect("callers are counted in u32");
        self.slots.push(Slot::Taken(waker));
        SlotIndex(index)
    }

    fn at(&mut self, index: SlotIndex) -> &mut Slot {
        &mut self.slots[index.0 as usize]
    }
}

fn into_waker(slot: Slot) -> Option<Waker> {
    match slot {
        Slot::Taken(waker) => Some(waker),
        Slot::Free(_) => None,
    }
}

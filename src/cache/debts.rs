//! [`Debts`]: what Redis must be told before it is asked again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use redis::Cmd;

use crate::freshness::Rank;
use crate::template::TemplateId;

/// Commands that could not reach Redis: the latest one of each template, and not more than [`Debts::MOST`].
#[derive(Default)]
pub(super) struct Debts {
    owed: Mutex<HashMap<TemplateId, Owed>>,
    /// As many as there are, so that nobody has to look while there are none.
    count: AtomicUsize,
}

struct Owed {
    command: Cmd,
    told: Rank,
    number: u64,
}

/// One debt, to be settled with [`Debts::settle`] when it was paid.
pub(super) struct Debt {
    id: TemplateId,
    number: u64,
    pub(super) command: Cmd,
}

impl Debts {
    const MOST: usize = 10_000;

    /// Keeps a command for later, in the place of an earlier one that tells less; false if there is no room.
    pub(super) fn owe(&self, id: TemplateId, told: Rank, command: Cmd) -> bool {
        let mut owed = self.owed.lock();
        if owed.get(&id).is_some_and(|owed| owed.told > told) {
            return true;
        }
        if owed.len() >= Self::MOST && !owed.contains_key(&id) {
            return false;
        }
        let number = fastrand::u64(..);
        owed.insert(
            id,
            Owed {
                command,
                told,
                number,
            },
        );
        self.count.store(owed.len(), Ordering::Release);
        true
    }

    /// Those that there are.
    pub(super) fn all(&self) -> Vec<Debt> {
        let debt = |(id, owed): (&TemplateId, &Owed)| Debt {
            id: *id,
            number: owed.number,
            command: owed.command.clone(),
        };
        self.owed.lock().iter().map(debt).collect()
    }

    /// Whether there is one of this template.
    pub(super) fn owes(&self, id: TemplateId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.owed.lock().contains_key(&id)
    }

    /// Strikes a debt out, unless a later one has taken its place meanwhile.
    pub(super) fn settle(&self, debt: &Debt) {
        let mut owed = self.owed.lock();
        if owed
            .get(&debt.id)
            .is_some_and(|owed| owed.number == debt.number)
        {
            owed.remove(&debt.id);
            self.count.store(owed.len(), Ordering::Release);
        }
    }

    /// Does something only if there are no debts, and while none can be added.
    pub(super) fn if_none<T>(&self, then: impl FnOnce() -> T) -> Option<T> {
        let owed = self.owed.lock();
        owed.is_empty().then(then)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::freshness::{Moment, Rules};
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

    #[test]
    fn a_later_debt_takes_the_place_of_an_earlier_one_and_outlives_its_settling() {
        let debts = Debts::default();
        debts.owe(id(1), state(1), redis::cmd("A"));
        let first = debts.all().remove(0);
        debts.owe(id(1), state(2), redis::cmd("B"));
        debts.settle(&first);
        let second = debts.all().remove(0);
        assert_eq!(
            second.command.get_packed_command(),
            redis::cmd("B").get_packed_command()
        );
        debts.settle(&second);
        assert!(debts.all().is_empty() && debts.if_none(|| ()).is_some());
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let debts = Debts::default();
        for number in 1..=Debts::MOST as i64 {
            assert!(debts.owe(id(number), state(1), redis::cmd("A")));
        }
        assert!(
            debts.owe(id(1), state(2), redis::cmd("B"))
                && !debts.owe(id(20_000), state(1), redis::cmd("A"))
        );
    }

    #[test]
    fn what_tells_less_takes_no_place() {
        let debts = Debts::default();
        debts.owe(id(1), state(5), redis::cmd("A"));
        for (told, expected) in [
            (state(4), "A"),
            (tombstone(5), "A"),
            (Rank::UNKNOWN, "A"),
            (tombstone(6), "B"),
            (tombstone(5), "B"),
        ] {
            assert!(debts.owe(id(1), told, redis::cmd("B")));
            let owed = debts.all().remove(0).command.get_packed_command();
            assert_eq!(owed, redis::cmd(expected).get_packed_command(), "{told:?}");
        }
    }
}

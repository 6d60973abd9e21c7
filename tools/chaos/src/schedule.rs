//! [`Schedule`]: which fault comes when. It follows from the seed and the length alone, so that it can be run again.

use std::time::Duration;

use fastrand::Rng;

/// What can happen to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RedisFault {
    Swallow,
    Refuse,
    Reset,
    Mute,
    Delay,
    MuteCurrent,
    HangUpMidReply,
    Freeze,
    Restart,
    Flush,
    Garbage,
    Full,
}

/// What can happen to PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DatabaseFault {
    Refuse,
    Reset,
    Swallow,
    Delay,
    Terminate,
    Lock,
    Freeze,
    Restart,
}

const REDIS_FAULTS: [RedisFault; 12] = {
    use RedisFault::*;
    [
        Garbage,
        Swallow,
        Refuse,
        Reset,
        Mute,
        Delay,
        MuteCurrent,
        HangUpMidReply,
        Freeze,
        Restart,
        Flush,
        Full,
    ]
};

const DATABASE_FAULTS: [DatabaseFault; 8] = {
    use DatabaseFault::*;
    [
        Refuse, Reset, Swallow, Delay, Terminate, Lock, Freeze, Restart,
    ]
};

/// A fault of one of the two, or of both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spell {
    /// How long nothing is broken before it.
    pub(crate) calm: Duration,
    pub(crate) length: Duration,
    pub(crate) redis: Option<RedisFault>,
    pub(crate) database: Option<DatabaseFault>,
}

/// The spells of one run, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Schedule(pub(crate) Vec<Spell>);

impl Schedule {
    /// The spells that fit into so long a run.
    pub(crate) fn new(seed: u64, length: Duration) -> Self {
        let mut random = Rng::with_seed(seed);
        let (mut redis, mut database) = (Deck::new(&REDIS_FAULTS), Deck::new(&DATABASE_FAULTS));
        let (mut spells, mut left) = (Vec::new(), length);
        loop {
            let (calm, length) = (
                milliseconds(&mut random, 300..2_000),
                milliseconds(&mut random, 300..4_000),
            );
            let which = random.u32(0..100);
            let spell = Spell {
                calm,
                length,
                redis: (which < 75).then(|| redis.draw(&mut random)),
                database: (which >= 50).then(|| database.draw(&mut random)),
            };
            let Some(rest) = left.checked_sub(calm + length) else {
                return Self(spells);
            };
            left = rest;
            spells.push(spell);
        }
    }
}

/// Faults in random order, each once before any comes again.
pub(crate) struct Deck<T: 'static> {
    all: &'static [T],
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    /// All of them in the deck.
    pub(crate) fn new(all: &'static [T]) -> Self {
        Self {
            all,
            left: Vec::new(),
        }
    }

    /// The next one.
    pub(crate) fn draw(&mut self, random: &mut Rng) -> T {
        if self.left.is_empty() {
            self.left.extend_from_slice(self.all);
        }
        self.left.swap_remove(random.usize(..self.left.len()))
    }
}

/// A random time of so many milliseconds.
pub(crate) fn milliseconds(random: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
        assert_eq!(Schedule::new(7, TEN_MINUTES), Schedule::new(7, TEN_MINUTES));
        assert_ne!(Schedule::new(7, TEN_MINUTES), Schedule::new(8, TEN_MINUTES));
    }

    #[test]
    fn a_shorter_run_is_the_beginning_of_a_longer_one() {
        let (short, long) = (
            Schedule::new(7, TEN_MINUTES / 10),
            Schedule::new(7, TEN_MINUTES),
        );
        assert!(long.0.starts_with(&short.0));
        assert!(short.0.len() > 5);
    }

    #[test]
    fn every_fault_comes_in_a_long_run() {
        let spells = Schedule::new(7, TEN_MINUTES).0;
        for fault in REDIS_FAULTS {
            assert!(
                spells.iter().any(|spell| spell.redis == Some(fault)),
                "{fault:?}"
            );
        }
        for fault in DATABASE_FAULTS {
            assert!(
                spells.iter().any(|spell| spell.database == Some(fault)),
                "{fault:?}"
            );
        }
    }
}

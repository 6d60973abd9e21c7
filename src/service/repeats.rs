//! [`Repeats`]: which queries repeat one that this replica has just made.
//!
//! A cache that works costs one query per template, TTL and replica, however much is asked for. A query that brings what
//! this replica's own query brought less than half a TTL ago is beyond that. So a stampede can be counted without knowing
//! how many templates are hot, and a cold replica that loads a thousand of them repeats nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::freshness::{Content, Entry, Rules};
use crate::template::TemplateId;

/// How many templates are remembered. One that shares a slot with another can only be counted too seldom.
const SLOTS: usize = 1 << 15;

/// The latest query of each template.
pub(super) struct Repeats {
    /// A tag of the template's state in the upper half, the milliseconds of its query in the lower one; 0 is none.
    slots: Box<[AtomicU64]>,
    hasher: foldhash::fast::RandomState,
    began: Instant,
    template: Duration,
    absent: Duration,
}

impl Repeats {
    pub(super) fn new(rules: &Rules) -> Self {
        // A replica whose fill came second may have the longer TTL, so a query just before the end of it proves nothing.
        let half = |ttl: Duration| ttl.mul_f64((1.0 - rules.ttl_jitter) / 2.0);
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: foldhash::fast::RandomState::default(),
            began: Instant::now(),
            template: half(rules.ttl),
            absent: half(rules.negative_ttl),
        }
    }

    /// Notes what a query has brought, and says whether an earlier one had brought the same shortly before.
    pub(super) fn note(&self, id: TemplateId, entry: &Entry) -> bool {
        let window = match entry.content {
            Content::Absent => self.absent,
            Content::Template(_) | Content::Tombstone => self.template,
        };
        self.note_at(self.began.elapsed(), id, entry.version, window)
    }

    fn note_at(&self, now: Duration, id: TemplateId, version: i64, window: Duration) -> bool {
        use std::hash::BuildHasher as _;
        // Both wrap, which no window outlasts.
        let milliseconds = now.as_millis() as u32;
        let tag = (self.hasher.hash_one((id, version)) as u32) | 1;
        let slot = self.hasher.hash_one(id) as usize % SLOTS;
        let note = u64::from(tag) << 32 | u64::from(milliseconds);
        let before = self.slots[slot].swap(note, Ordering::Relaxed);
        let ago = Duration::from_millis(milliseconds.wrapping_sub(before as u32).into());
        (before >> 32) as u32 == tag && ago < window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn repeats() -> Repeats {
        Repeats::new(&Rules {
            ttl: 30 * SECOND,
            negative_ttl: 5 * SECOND,
            ..Rules::default()
        })
    }

    fn id(number: i64) -> TemplateId {
        TemplateId::new(number).unwrap()
    }

    #[test]
    fn a_thousand_templates_once_per_ttl_are_no_repeats() {
        let repeats = repeats();
        for second in [0, 27, 54] {
            for number in 1..=1_000 {
                assert!(!repeats.note_at(second * SECOND, id(number), 1, 15 * SECOND));
            }
        }
    }

    #[test]
    fn the_same_answer_again_within_half_a_ttl_is_one() {
        let repeats = repeats();
        let note =
            |seconds, version| repeats.note_at(seconds * SECOND, id(7), version, repeats.template);
        assert_eq!(repeats.template, 15 * SECOND);
        assert_eq!([note(1, 1), note(1, 1), note(15, 1)], [false, true, true]);
        assert!(!note(31, 1), "more than half a TTL later");
        assert!(!note(32, 2), "a change explains it");
    }

    #[test]
    fn a_ttl_that_chance_may_cut_to_nothing_makes_no_repeats() {
        let rules = Rules {
            ttl: 30 * SECOND,
            ttl_jitter: 1.0,
            ..Rules::default()
        };
        let repeats = Repeats::new(&rules);
        let note = || repeats.note_at(SECOND, id(7), 1, repeats.template);
        assert_eq!([note(), note()], [false, false]);
    }
}

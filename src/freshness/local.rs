//! [`LocalCopy`]: what this process last knew of each template, for when Redis cannot be asked.
//!
//! It keeps the TTL's promise: what came from Redis keeps what was left of Redis' TTL, what came from the database
//! starts a new one. Past its TTL a copy is good for one thing only: to answer, marked as stale, when the database
//! cannot be asked either. While Redis answers, only Redis decides what is fresh, and nothing is read from here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::freshness::entry::{Content, Entry, Moment};
use crate::freshness::map::{Kept, Shelf};
use crate::template::TemplateId;

/// The last-known-good copies.
#[derive(Debug)]
pub struct LocalCopy {
    /// None if there is to be no copy at all.
    shelf: Option<Shelf>,
    stale_for: Duration,
    overtime: Duration,
    stands_for: Duration,
    /// Changes before this moment may have been missed: see [`LocalCopy::distrust`].
    trusted_since: AtomicU64,
}

/// What became of an entry that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is kept.
    Kept,
    /// Something newer is known.
    Overtaken,
    /// There is no room for copies at all.
    NoRoom,
}

impl LocalCopy {
    /// Room for this many templates, which may be none; each may answer for `overtime` after its TTL while it is loaded
    /// anew, and for `stale_for` when nothing else can. For `stands_for` no older state takes the place of a newer one.
    pub fn new(
        entries: usize,
        overtime: Duration,
        stale_for: Duration,
        stands_for: Duration,
    ) -> Self {
        let shelf = (entries > 0).then(|| Shelf::new(entries));
        Self {
            shelf,
            overtime,
            stale_for,
            stands_for,
            trusted_since: AtomicU64::new(0),
        }
    }

    /// Keeps what is known of a template, unless something newer is known.
    pub fn keep(&self, id: TemplateId, entry: &Entry) -> Keeping {
        let Some(shelf) = &self.shelf else {
            return Keeping::NoRoom;
        };
        let known = shelf.at(id);
        // What a hit brings is mostly what is kept already.
        let kept = known.is_some_and(|known| known.is_newest() && known.entry.is_same(entry))
            || shelf.put(id, entry, self.stands_for);
        if kept {
            Keeping::Kept
        } else {
            Keeping::Overtaken
        }
    }

    /// The copy whose TTL still lasts, or ended no longer than the overtime ago.
    pub fn usable(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        let trusted_since = self.trusted_since();
        self.newest(id)
            .filter(|entry| entry.is_usable(now, self.overtime) && entry.stored_at >= trusted_since)
    }

    /// What became known at that moment or later: a load that ended while its asker was still on the way.
    pub fn known_since(&self, id: TemplateId, moment: Moment) -> Option<Entry> {
        self.newest(id)
            .filter(|entry| entry.stored_at >= moment && entry.content != Content::Changed)
    }

    /// Whether this template existed when it was last heard of. Without copies, nothing tells the one from the other.
    pub fn may_exist(&self, id: TemplateId) -> bool {
        let existed = |kept: Kept| matches!(kept.entry.content, Content::Template(_));
        self.shelf.is_none() || self.at(id).is_some_and(existed)
    }

    /// The copy that may still answer when nothing else can.
    pub fn last_known_good(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        let entry = self.at(id)?.entry;
        let usable = matches!(entry.content, Content::Template(_))
            && now < entry.expires_at.after(self.stale_for);
        usable.then_some(entry)
    }

    /// Takes note that a template has changed to the version of this entry, and says whether that is news.
    pub fn overtake(&self, id: TemplateId, changed: &Entry) -> bool {
        self.shelf
            .as_ref()
            .is_none_or(|shelf| shelf.overtake(id, changed))
    }

    /// The version of a template that is known, if any is.
    pub fn version(&self, id: TemplateId) -> Option<i64> {
        self.at(id).map(|kept| kept.at_least)
    }

    /// Changes up to now may have been missed: no copy of before is fresh any more, though it may still be the
    /// last-known-good.
    pub fn distrust(&self, now: Moment) {
        self.trusted_since.fetch_max(now.0 + 1, Ordering::Relaxed);
    }

    /// From when on no change was missed; what became known before may be older than it seems.
    pub fn trusted_since(&self) -> Moment {
        Moment(self.trusted_since.load(Ordering::Relaxed))
    }

    fn newest(&self, id: TemplateId) -> Option<Entry> {
        self.at(id).filter(Kept::is_newest).map(|kept| kept.entry)
    }

    fn at(&self, id: TemplateId) -> Option<Kept> {
        self.shelf.as_ref()?.at(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{State, Template, UpdatedAt};

    const TTL: Duration = Duration::from_secs(30);

    fn id() -> TemplateId {
        TemplateId::new(1).unwrap()
    }

    fn version(version: i64, stored_at: u64) -> Entry {
        let row = Template {
            id: id(),
            name: String::new(),
            updated_at: UpdatedAt(0),
            version,
        };
        Entry::new(State::Present(row), Moment(stored_at), TTL, Duration::ZERO)
    }

    #[test]
    fn a_copy_is_fresh_for_its_ttl_and_good_for_stale_for_longer() {
        let local = LocalCopy::new(10, Duration::ZERO, Duration::from_secs(60), TTL);
        local.keep(id(), &version(1, 0));
        let answers = [29_999, 30_000, 89_999, 90_000].map(|now| {
            let now = Moment(now);
            (
                local.usable(id(), now).is_some(),
                local.last_known_good(id(), now).is_some(),
            )
        });
        assert_eq!(
            answers,
            [(true, true), (false, true), (false, true), (false, false)]
        );
    }

    #[test]
    fn an_older_answer_never_replaces_a_newer_one() {
        let local = LocalCopy::new(10, Duration::ZERO, Duration::ZERO, TTL);
        local.keep(id(), &version(2, 1_000));
        local.keep(id(), &version(1, 500));
        assert_eq!(local.usable(id(), Moment(1_000)), Some(version(2, 1_000)));
    }

    #[test]
    fn that_a_template_is_absent_is_never_answered_past_its_ttl() {
        let local = LocalCopy::new(10, Duration::ZERO, Duration::from_secs(60), TTL);
        local.keep(
            id(),
            &Entry::new(State::Absent { version: 0 }, Moment(0), TTL, Duration::ZERO),
        );
        assert!(local.usable(id(), Moment(1)).is_some());
        assert!(local.last_known_good(id(), Moment(40_000)).is_none());
    }

    #[test]
    fn without_room_nothing_is_kept_and_nothing_is_called_unknown() {
        let local = LocalCopy::new(0, Duration::ZERO, Duration::from_secs(60), TTL);
        assert_eq!(local.keep(id(), &version(1, 0)), Keeping::NoRoom);
        assert!(
            local.usable(id(), Moment(1)).is_none()
                && local.last_known_good(id(), Moment(1)).is_none()
        );
        assert!(local.may_exist(id()));
    }

    #[test]
    fn only_what_became_known_meanwhile_counts_as_known_since() {
        let local = LocalCopy::new(10, Duration::ZERO, Duration::ZERO, TTL);
        local.keep(id(), &version(1, 1_000));
        assert!(local.known_since(id(), Moment(1_000)).is_some());
        assert!(local.known_since(id(), Moment(1_001)).is_none());
    }

    #[test]
    fn a_copy_that_was_overtaken_is_stale_but_may_be_the_last_known_good() {
        let local = LocalCopy::new(10, Duration::ZERO, Duration::from_secs(60), TTL);
        local.keep(id(), &version(1, 0));
        assert!(local.overtake(id(), &Entry::changed(2, Moment(1), TTL)));
        assert!(
            local.usable(id(), Moment(2)).is_none()
                && local.last_known_good(id(), Moment(2)).is_some()
        );
        assert_eq!(local.keep(id(), &version(1, 2)), Keeping::Overtaken);
        assert_eq!(local.keep(id(), &version(2, 2)), Keeping::Kept);
        assert!(local.usable(id(), Moment(3)).is_some());
    }

    #[test]
    fn after_a_gap_no_copy_of_before_is_fresh() {
        let local = LocalCopy::new(10, Duration::ZERO, Duration::from_secs(60), TTL);
        local.keep(id(), &version(1, 0));
        local.distrust(Moment(5));
        assert!(
            local.usable(id(), Moment(6)).is_none()
                && local.last_known_good(id(), Moment(6)).is_some()
        );
        local.keep(id(), &version(1, 7));
        assert!(local.usable(id(), Moment(8)).is_some());
    }
}

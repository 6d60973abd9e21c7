//! [`LocalCopy`]: what this process last knew of each template, for when Redis cannot be asked.
//!
//! It keeps the TTL's promise: what came from Redis keeps what was left of Redis' TTL, what came from the database
//! starts a new one. Past its TTL a copy is good for one thing only: to answer, marked as stale, when the database
//! cannot be asked either. While Redis answers, only Redis decides what is fresh, and nothing is read from here.

use std::time::Duration;

use crate::cache::entry::{Content, Entry, Moment};
use crate::cache::shelf::Shelf;
use crate::template::TemplateId;

/// The last-known-good copies.
#[derive(Debug)]
pub struct LocalCopy {
    /// None if there is to be no copy at all.
    shelf: Option<Shelf>,
    stale_for: Duration,
}

impl LocalCopy {
    /// Room for this many templates, which may be none; each may answer for `stale_for` after its TTL.
    pub fn new(entries: usize, stale_for: Duration) -> Self {
        Self {
            shelf: (entries > 0).then(|| Shelf::new(entries)),
            stale_for,
        }
    }

    /// Keeps what is known of a template, unless the same or something newer is kept already. Says whether there is
    /// a copy now.
    pub fn keep(&self, id: TemplateId, entry: &Entry) -> bool {
        let Some(shelf) = &self.shelf else {
            return false;
        };
        let known = shelf.at(id);
        if known.is_none_or(|known| known.stored_at < entry.stored_at) {
            shelf.put(id, entry.clone());
        }
        true
    }

    /// The copy whose TTL still lasts.
    pub fn fresh(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        self.at(id).filter(|entry| entry.is_fresh(now))
    }

    /// What became known at that moment or later: a load that ended while its asker was still on the way.
    pub fn known_since(&self, id: TemplateId, moment: Moment) -> Option<Entry> {
        self.at(id).filter(|entry| entry.stored_at >= moment)
    }

    /// Whether this template existed when it was last heard of. Without copies, nothing tells the one from the other.
    pub fn may_exist(&self, id: TemplateId) -> bool {
        let existed = |entry: Entry| matches!(entry.content, Content::Template(_));
        self.shelf.is_none() || self.at(id).is_some_and(existed)
    }

    /// The copy that may still answer when nothing else can.
    pub fn last_known_good(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        let usable = |entry: &Entry| {
            matches!(entry.content, Content::Template(_))
                && now < entry.expires_at.after(self.stale_for)
        };
        self.at(id).filter(usable)
    }

    fn at(&self, id: TemplateId) -> Option<Entry> {
        self.shelf.as_ref()?.at(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Template, UpdatedAt};

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
        Entry::new(Some(row), Moment(stored_at), TTL)
    }

    #[test]
    fn a_copy_is_fresh_for_its_ttl_and_good_for_stale_for_longer() {
        let local = LocalCopy::new(10, Duration::from_secs(60));
        local.keep(id(), &version(1, 0));
        let answers = [29_999, 30_000, 89_999, 90_000].map(|now| {
            let now = Moment(now);
            (
                local.fresh(id(), now).is_some(),
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
        let local = LocalCopy::new(10, Duration::ZERO);
        local.keep(id(), &version(2, 1_000));
        local.keep(id(), &version(1, 500));
        assert_eq!(local.fresh(id(), Moment(1_000)), Some(version(2, 1_000)));
    }

    #[test]
    fn that_a_template_is_absent_is_never_answered_past_its_ttl() {
        let local = LocalCopy::new(10, Duration::from_secs(60));
        local.keep(id(), &Entry::new(None, Moment(0), TTL));
        assert!(local.fresh(id(), Moment(1)).is_some());
        assert!(local.last_known_good(id(), Moment(40_000)).is_none());
    }

    #[test]
    fn without_room_nothing_is_kept_and_nothing_is_called_unknown() {
        let local = LocalCopy::new(0, Duration::from_secs(60));
        assert!(!local.keep(id(), &version(1, 0)));
        assert!(
            local.fresh(id(), Moment(1)).is_none()
                && local.last_known_good(id(), Moment(1)).is_none()
        );
        assert!(local.may_exist(id()));
    }

    #[test]
    fn only_what_became_known_meanwhile_counts_as_known_since() {
        let local = LocalCopy::new(10, Duration::ZERO);
        local.keep(id(), &version(1, 1_000));
        assert!(local.known_since(id(), Moment(1_000)).is_some());
        assert!(local.known_since(id(), Moment(1_001)).is_none());
    }
}

//! [`Shelf`]: entries in this process's memory, bounded by their number and their bytes.
//!
//! Ids that are not known to be templates have a space of their own, so that a flood of ids that do not exist evicts no
//! template. Nothing expires here by itself: whoever takes an entry looks at its times. An older state never replaces
//! a newer one.

use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::entry::{Content, Entry, Moment};
use crate::template::TemplateId;

/// Entries by template.
#[derive(Debug)]
pub struct Shelf {
    templates: Cache<TemplateId, Kept, Bytes>,
    others: Cache<TemplateId, Kept>,
    /// Held while an entry is compared and replaced; an id always has the same one.
    replacing: [Mutex<()>; 16],
}

/// An entry, and what is known to be newer than it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The newest state that was seen.
    pub entry: Entry,
    /// The newest state that is known to exist.
    pub at_least: i64,
    /// Until when nothing older is taken. After that, what comes is believed, whatever its version: the database itself
    /// may have gone back, as one that is restored does.
    until: Moment,
}

impl Kept {
    /// Whether nothing newer than the entry is known.
    pub fn is_newest(&self) -> bool {
        self.entry.version >= self.at_least
    }
}

/// Weighs an entry by its bytes, and by no less than [`TYPICAL_BYTES`]: a capacity of N times that bounds both the
/// number of entries (N) and their bytes.
#[derive(Clone, Debug)]
struct Bytes;

/// More than a template's answer and its bookkeeping take together.
const TYPICAL_BYTES: u64 = 1024;

impl Weighter<TemplateId, Kept> for Bytes {
    fn weight(&self, _: &TemplateId, kept: &Kept) -> u64 {
        match &kept.entry.content {
            Content::Template(json) => TYPICAL_BYTES.max(json.len() as u64),
            Content::Absent | Content::Changed => TYPICAL_BYTES,
        }
    }
}

impl Shelf {
    /// Room for this many templates, and for as many ids that are not known to be templates.
    pub fn new(entries: usize) -> Self {
        Self {
            templates: Cache::with_weighter(entries, entries as u64 * TYPICAL_BYTES, Bytes),
            others: Cache::new(entries),
            replacing: Default::default(),
        }
    }

    /// What is kept of this template.
    pub fn at(&self, id: TemplateId) -> Option<Kept> {
        self.templates.get(&id).or_else(|| self.others.get(&id))
    }

    /// Keeps an entry unless something newer is known, and says whether it, or the same, is kept now. For so long nothing
    /// older takes its place.
    pub fn put(&self, id: TemplateId, entry: &Entry, stands_for: Duration) -> bool {
        let _replacing = self.replacing(id).lock();
        let known = self.at(id);
        let newest = known
            .as_ref()
            .is_none_or(|known| known.at_least <= entry.version || known.until <= entry.stored_at);
        let same = known.is_some_and(|known| {
            known.entry.version == entry.version && known.entry.stored_at >= entry.stored_at
        });
        if newest && !same {
            self.insert(
                id,
                Kept {
                    entry: entry.clone(),
                    at_least: entry.version,
                    until: entry.stored_at.after(stands_for),
                },
            );
        }
        newest
    }

    /// Takes note that a template has changed to the version of this entry, and says whether that is news.
    pub fn overtake(&self, id: TemplateId, changed: &Entry) -> bool {
        let _replacing = self.replacing(id).lock();
        let known = self.at(id);
        let news = known
            .as_ref()
            .is_none_or(|known| known.at_least < changed.version);
        if news {
            let entry = known.map_or_else(|| changed.clone(), |known| known.entry);
            self.insert(
                id,
                Kept {
                    entry,
                    at_least: changed.version,
                    until: changed.expires_at,
                },
            );
        }
        news
    }

    /// Forgets a template, and what was known to be newer.
    pub fn forget(&self, id: TemplateId) {
        let _replacing = self.replacing(id).lock();
        self.templates.remove(&id);
        self.others.remove(&id);
    }

    fn insert(&self, id: TemplateId, kept: Kept) {
        match kept.entry.content {
            Content::Template(_) => {
                self.templates.insert(id, kept);
                self.others.remove(&id);
            }
            Content::Absent | Content::Changed => {
                self.others.insert(id, kept);
                self.templates.remove(&id);
            }
        }
    }

    fn replacing(&self, id: TemplateId) -> &Mutex<()> {
        &self.replacing[id.number().unsigned_abs() as usize % self.replacing.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{State, Template, UpdatedAt};

    const STANDS: Duration = Duration::from_secs(30);

    fn id(number: i64) -> TemplateId {
        TemplateId::new(number).unwrap()
    }

    fn template(number: i64, version: i64, name_bytes: usize) -> Entry {
        let name = "x".repeat(name_bytes);
        let row = Template {
            id: id(number),
            name,
            updated_at: UpdatedAt(0),
            version,
        };
        Entry::new(
            State::Present(row),
            Moment(0),
            Duration::from_secs(1),
            Duration::ZERO,
        )
    }

    fn absent(version: i64) -> Entry {
        Entry::new(
            State::Absent { version },
            Moment(0),
            Duration::from_secs(1),
            Duration::ZERO,
        )
    }

    fn changed(version: i64) -> Entry {
        Entry::changed(version, Moment(0), Duration::from_secs(1))
    }

    #[test]
    fn a_flood_of_absent_ids_evicts_no_template() {
        let shelf = Shelf::new(100);
        (1..=50)
            .for_each(|number| assert!(shelf.put(id(number), &template(number, 1, 10), STANDS)));
        (1_000..20_000).for_each(|number| assert!(shelf.put(id(number), &absent(0), STANDS)));
        assert_eq!(
            (1..=50)
                .filter(|number| shelf.at(id(*number)).is_some())
                .count(),
            50
        );
        assert!(shelf.others.len() <= 100);
    }

    #[test]
    fn the_number_of_templates_and_their_bytes_are_bounded() {
        let shelf = Shelf::new(100);
        (1..=1_000)
            .for_each(|number| assert!(shelf.put(id(number), &template(number, 1, 10), STANDS)));
        assert!(shelf.templates.len() <= 100);
        (1..=1_000).for_each(|number| {
            assert!(shelf.put(id(number), &template(number, 2, 10 * 1024), STANDS))
        });
        assert!(shelf.templates.len() <= 10);
    }

    #[test]
    fn a_template_that_came_or_went_is_in_one_place_only() {
        let shelf = Shelf::new(100);
        for entry in [absent(0), template(1, 1, 10), absent(2)] {
            assert!(shelf.put(id(1), &entry, STANDS));
            assert_eq!(shelf.at(id(1)).unwrap().entry, entry);
            assert_eq!(shelf.templates.len() + shelf.others.len(), 1);
        }
    }

    #[test]
    fn an_older_state_never_replaces_a_newer_one() {
        let shelf = Shelf::new(100);
        shelf.put(id(1), &template(1, 2, 10), STANDS);
        assert!(!shelf.put(id(1), &template(1, 1, 10), STANDS));
        assert!(!shelf.put(id(1), &absent(1), STANDS));
        assert_eq!(shelf.at(id(1)).unwrap().entry.version, 2);
    }

    #[test]
    fn what_has_changed_is_overtaken_until_the_change_is_seen() {
        let shelf = Shelf::new(100);
        shelf.put(id(1), &template(1, 1, 10), STANDS);
        assert!(shelf.overtake(id(1), &changed(2)) && !shelf.overtake(id(1), &changed(2)));
        let kept = shelf.at(id(1)).unwrap();
        assert!(!kept.is_newest() && kept.entry.version == 1);
        assert!(!shelf.put(id(1), &template(1, 1, 10), STANDS));
        assert!(
            shelf.put(id(1), &template(1, 2, 10), STANDS) && shelf.at(id(1)).unwrap().is_newest()
        );
    }

    #[test]
    fn an_older_state_is_believed_once_the_newer_one_has_stood_long_enough() {
        let shelf = Shelf::new(100);
        shelf.put(id(1), &template(1, 5, 10), STANDS);
        let restored = |at| Entry {
            stored_at: Moment(at),
            ..template(1, 1, 10)
        };
        assert!(!shelf.put(id(1), &restored(29_999), STANDS));
        assert!(
            shelf.put(id(1), &restored(30_000), STANDS) && shelf.at(id(1)).unwrap().is_newest()
        );
    }
}

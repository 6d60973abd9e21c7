//! [`Shelf`]: entries in this process's memory, bounded by their number and their bytes.
//!
//! Absent templates have a space of their own, so that a flood of ids that do not exist evicts no template. Nothing
//! expires here by itself: whoever takes an entry looks at its times.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::entry::{Content, Entry};
use crate::template::TemplateId;

/// Entries by template.
#[derive(Debug)]
pub struct Shelf {
    templates: Cache<TemplateId, Entry, Bytes>,
    absent: Cache<TemplateId, Entry>,
}

/// Weighs an entry by its bytes, and by no less than [`TYPICAL_BYTES`]: a capacity of N times that bounds both the
/// number of entries (N) and their bytes.
#[derive(Clone, Debug)]
struct Bytes;

/// More than a template's answer and its bookkeeping take together.
const TYPICAL_BYTES: u64 = 1024;

impl Weighter<TemplateId, Entry> for Bytes {
    fn weight(&self, _: &TemplateId, entry: &Entry) -> u64 {
        match &entry.content {
            Content::Template(body) => TYPICAL_BYTES.max(body.json.len() as u64),
            Content::Absent => TYPICAL_BYTES,
        }
    }
}

impl Shelf {
    /// Room for this many templates, and for as many absent ones.
    pub fn new(entries: usize) -> Self {
        Self {
            templates: Cache::with_weighter(entries, entries as u64 * TYPICAL_BYTES, Bytes),
            absent: Cache::new(entries),
        }
    }

    /// Puts an entry in the place of whatever was there for this template.
    pub fn put(&self, id: TemplateId, entry: Entry) {
        match entry.content {
            Content::Template(_) => {
                self.templates.insert(id, entry);
                self.absent.remove(&id);
            }
            Content::Absent => {
                self.absent.insert(id, entry);
                self.templates.remove(&id);
            }
        }
    }

    /// The entry of this template.
    pub fn at(&self, id: TemplateId) -> Option<Entry> {
        self.templates.get(&id).or_else(|| self.absent.get(&id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entry::Moment;
    use super::*;
    use crate::template::{Template, UpdatedAt};

    fn id(number: i64) -> TemplateId {
        TemplateId::new(number).unwrap()
    }

    fn template(number: i64, name_bytes: usize) -> Entry {
        let row = Template {
            id: id(number),
            name: "x".repeat(name_bytes),
            updated_at: UpdatedAt(0),
            version: 1,
        };
        Entry::new(Some(row), Moment(0), Duration::from_secs(1))
    }

    fn absent() -> Entry {
        Entry::new(None, Moment(0), Duration::from_secs(1))
    }

    #[test]
    fn a_flood_of_absent_ids_evicts_no_template() {
        let shelf = Shelf::new(100);
        (1..=50).for_each(|number| shelf.put(id(number), template(number, 10)));
        (1_000..20_000).for_each(|number| shelf.put(id(number), absent()));
        assert_eq!(
            (1..=50)
                .filter(|number| shelf.at(id(*number)).is_some())
                .count(),
            50
        );
        assert!(shelf.absent.len() <= 100);
    }

    #[test]
    fn the_number_of_templates_and_their_bytes_are_bounded() {
        let shelf = Shelf::new(100);
        (1..=1_000).for_each(|number| shelf.put(id(number), template(number, 10)));
        assert!(shelf.templates.len() <= 100);
        (1..=1_000).for_each(|number| shelf.put(id(number), template(number, 10 * 1024)));
        assert!(shelf.templates.len() <= 10);
    }

    #[test]
    fn a_template_that_came_or_went_is_in_one_place_only() {
        let shelf = Shelf::new(100);
        for entry in [absent(), template(1, 10), absent()] {
            shelf.put(id(1), entry.clone());
            assert_eq!(shelf.at(id(1)), Some(entry));
        }
    }
}

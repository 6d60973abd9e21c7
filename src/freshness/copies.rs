//! [`Copies`]: what this process knows of templates, bounded by number and bytes. The local copy of a replica is one, and
//! so is the embedded cache.
//!
//! An id that is not known to be a template has a space of its own, so that a flood of ids that do not exist evicts no
//! template. Nothing expires here: the rules look at an entry's times when it is read.

use parking_lot::{Mutex, MutexGuard};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::entry::{Content, Entry, Moment};
use super::rules::{IgnoreBefore, MayStore, Rules, Shows, Stored};
use crate::template::TemplateId;

/// Entries by template, and which versions are known to exist.
#[derive(Debug)]
pub struct Copies {
    rules: Rules,
    ignored: IgnoreBefore,
    /// None if there is room for no entry at all.
    map: Option<Map>,
}

/// Whether a tombstone said anything new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// This version was not known, or only suspected.
    News,
    /// This version or a later one was known.
    Known,
}

/// When a load began, as far as gaps are concerned.
#[derive(Clone, Copy, Debug)]
pub struct LoadBegan {
    gaps: u64,
}

impl Copies {
    /// Room for this many templates, and for as many ids that are not known to be templates.
    pub fn new(entries: usize, rules: Rules) -> Self {
        Self {
            rules,
            ignored: IgnoreBefore::default(),
            map: (entries > 0).then(|| Map::new(entries)),
        }
    }

    /// The entry that may answer from here, if any (R1 to R4).
    pub fn answer(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        let entry = self.known(id).and_then(Known::unless_superseded)?;
        let answers = self.rules.shows(&entry, now) != Shows::Nothing;
        (answers && self.ignored.admits(&entry)).then_some(entry)
    }

    /// The entry that answers without asking Redis (R6).
    pub fn near(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        if self.rules.near_for.is_zero() {
            return None;
        }
        let known = self.known(id)?;
        let is_confirmed = known.confirmed_at >= self.ignored.moment()
            && now < known.confirmed_at.after(self.rules.near_for);
        let entry = known.unless_superseded()?;
        (is_confirmed && self.rules.shows(&entry, now) == Shows::Fresh).then_some(entry)
    }

    /// The stand-in: what answers in place of a slow load (R7). It is not superseded.
    pub fn stand_in(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        let entry = self.known(id).and_then(Known::unless_superseded)?;
        let is_within = self.rules.is_within_stale_for(&entry, now);
        (is_within && self.ignored.admits(&entry)).then_some(entry)
    }

    /// The last-known-good: what answers when nothing else can (R8). It may be superseded.
    pub fn last_known_good(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        let entry = self.known(id)?.entry;
        self.rules.is_within_stale_for(&entry, now).then_some(entry)
    }

    /// The answer that a load has brought since this moment, at which the caller asked the cache.
    pub fn learnt_since(&self, id: TemplateId, moment: Moment) -> Option<Entry> {
        let entry = self.known(id).and_then(Known::unless_superseded)?;
        let is_answer = entry.content != Content::Tombstone;
        let is_later = entry.answered_at >= moment && self.ignored.admits(&entry);
        (is_answer && is_later).then_some(entry)
    }

    /// The highest version of a template that is known to exist.
    pub fn known_version(&self, id: TemplateId) -> Option<i64> {
        self.known(id).map(|known| known.version)
    }

    /// Whether this template existed when this process last heard of it. With no room for copies, it may.
    pub fn may_exist(&self, id: TemplateId) -> bool {
        let existed = |known: Known| matches!(known.entry.content, Content::Template(_));
        self.map.is_none() || self.known(id).is_some_and(existed)
    }

    /// Stores an entry unless it is superseded (R10 and R13).
    pub fn store(&self, id: TemplateId, entry: &Entry) -> Stored {
        self.confirm(id, entry, entry.answered_at)
    }

    /// The same for an entry that Redis, asked at this moment, has just confirmed.
    pub fn confirm(&self, id: TemplateId, entry: &Entry, asked_at: Moment) -> Stored {
        let Some(map) = &self.map else {
            return Stored::No;
        };
        // A hit mostly brings what is here already: this look takes no lock that another hit waits for.
        let is_news =
            |known: &Known| !self.rules.near_for.is_zero() && known.confirmed_at < asked_at;
        let is_here = |known: Known| {
            !known.is_superseded()
                && known.entry.content != Content::Tombstone
                && known.entry.is_same_answer(entry)
                && !is_news(&known)
        };
        if map.get(id).is_some_and(is_here) {
            return Stored::Yes;
        }
        map.update(id, |known| {
            let Some(known) = known else {
                return (Stored::Yes, Some(self.known_by(entry, asked_at)));
            };
            let is_refused =
                entry.version < known.version && entry.answered_at < known.refuse_older_until;
            if is_refused {
                return (Stored::Superseded, None);
            }
            let is_later = known.entry.version != entry.version
                || known.entry.content == Content::Tombstone
                || known.entry.answered_at < entry.answered_at
                || known.entry.is_same_answer(entry) && is_news(&known);
            (
                Stored::Yes,
                is_later.then(|| self.known_by(entry, asked_at)),
            )
        })
    }

    /// Takes note of a change to the version of this tombstone (R11). The entry stays, as the last-known-good.
    pub fn note(&self, id: TemplateId, tombstone: &Entry) -> Noted {
        let Some(map) = &self.map else {
            return Noted::News;
        };
        map.update(id, |known| {
            let certain = known.as_ref().map(|known| known.certain_version);
            if certain >= Some(tombstone.version) {
                return (Noted::Known, None);
            }
            let known = Known::with_tombstone(known, tombstone, tombstone.version);
            (Noted::News, Some(known))
        })
    }

    /// A change may have been made (R15). Returns the tombstone of the version after the certain one, of which this
    /// process has taken note; none if no version is known.
    pub fn suspect(&self, id: TemplateId, now: Moment) -> Option<Entry> {
        self.map.as_ref()?.update(id, |known| {
            let Some(certain) = known.as_ref().map(|known| known.certain_version) else {
                return (None, None);
            };
            let tombstone = self.rules.tombstone(certain.saturating_add(1), now);
            let known = Known::with_tombstone(known, &tombstone, certain);
            (Some(tombstone), Some(known))
        })
    }

    /// Removes a template, and what is known of its versions.
    pub fn remove(&self, id: TemplateId) {
        if let Some(map) = &self.map {
            map.remove(id);
        }
    }

    /// Ignores what was stored before this moment (R4). It may still be the last-known-good.
    pub fn ignore_before(&self, now: Moment) {
        self.ignored.raise(now);
    }

    /// To be called before the query of a load is sent.
    pub fn begin_load(&self) -> LoadBegan {
        LoadBegan {
            gaps: self.ignored.gaps(),
        }
    }

    /// Whether what a load brought may be stored (R12). `is_forgotten`: its flight was.
    pub fn judge_load(&self, began: LoadBegan, is_forgotten: bool) -> MayStore {
        if !is_forgotten && self.ignored.gaps() == began.gaps {
            MayStore::Yes
        } else {
            MayStore::TombstoneOnly
        }
    }

    fn known(&self, id: TemplateId) -> Option<Known> {
        self.map.as_ref()?.get(id)
    }

    fn known_by(&self, entry: &Entry, confirmed_at: Moment) -> Known {
        Known {
            entry: entry.clone(),
            confirmed_at,
            version: entry.version,
            certain_version: entry.version,
            refuse_older_until: entry.answered_at.after(self.rules.refuse_older_for()),
        }
    }
}

/// What is known of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// The latest answer that was seen, or a tombstone if none was.
    entry: Entry,
    /// When Redis was asked, or the database answered, that confirmed the entry last.
    confirmed_at: Moment,
    /// The highest version that is known to exist, or suspected to.
    version: i64,
    /// The highest version that is known to exist.
    certain_version: i64,
    /// Until when a lower version is refused.
    refuse_older_until: Moment,
}

impl Known {
    /// Whether a higher version than the entry's is known (R3).
    fn is_superseded(&self) -> bool {
        self.entry.version < self.version
    }

    /// What is known once a tombstone has come. The entry stays.
    fn with_tombstone(known: Option<Self>, tombstone: &Entry, certain_version: i64) -> Self {
        let (entry, confirmed_at) = match known {
            Some(known) => (known.entry, known.confirmed_at),
            None => (tombstone.clone(), tombstone.answered_at),
        };
        Self {
            entry,
            confirmed_at,
            version: tombstone.version,
            certain_version,
            refuse_older_until: tombstone.expires_at,
        }
    }

    fn unless_superseded(self) -> Option<Entry> {
        (!self.is_superseded()).then_some(self.entry)
    }
}

/// A bounded map from templates to what is known of them.
#[derive(Debug)]
struct Map {
    templates: Cache<TemplateId, Known, ByBytes>,
    others: Cache<TemplateId, Known>,
    /// Held while an entry is compared and replaced. An id always has the same one.
    updates: [Mutex<()>; 16],
}

impl Map {
    fn new(entries: usize) -> Self {
        Self {
            templates: Cache::with_weighter(entries, entries as u64 * TYPICAL_BYTES, ByBytes),
            others: Cache::new(entries),
            updates: Default::default(),
        }
    }

    fn get(&self, id: TemplateId) -> Option<Known> {
        self.templates.get(&id).or_else(|| self.others.get(&id))
    }

    /// Decides with what is known, and stores what `decide` returns beside its decision, in one step.
    fn update<T>(
        &self,
        id: TemplateId,
        decide: impl FnOnce(Option<Known>) -> (T, Option<Known>),
    ) -> T {
        let _updating = self.lock(id);
        let (decision, known) = decide(self.get(id));
        if let Some(known) = known {
            self.insert(id, known);
        }
        decision
    }

    fn remove(&self, id: TemplateId) {
        let _updating = self.lock(id);
        self.templates.remove(&id);
        self.others.remove(&id);
    }

    fn insert(&self, id: TemplateId, known: Known) {
        match known.entry.content {
            Content::Template(_) => {
                self.templates.insert(id, known);
                self.others.remove(&id);
            }
            Content::Absent | Content::Tombstone => {
                self.others.insert(id, known);
                self.templates.remove(&id);
            }
        }
    }

    fn lock(&self, id: TemplateId) -> MutexGuard<'_, ()> {
        self.updates[id.number().unsigned_abs() as usize % self.updates.len()].lock()
    }
}

/// Weighs a template by its bytes, and by no less than [`TYPICAL_BYTES`]: a capacity of N times that bounds both the
/// number of templates (N) and their bytes.
#[derive(Clone, Debug)]
struct ByBytes;

/// More than a template's answer and its bookkeeping take together.
const TYPICAL_BYTES: u64 = 1024;

impl Weighter<TemplateId, Known> for ByBytes {
    fn weight(&self, _: &TemplateId, known: &Known) -> u64 {
        match &known.entry.content {
            Content::Template(json) => TYPICAL_BYTES.max(json.len() as u64),
            Content::Absent | Content::Tombstone => TYPICAL_BYTES,
        }
    }
}

#[cfg(test)]
mod tests;

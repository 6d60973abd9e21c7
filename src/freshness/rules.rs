//! The rules that need no memory: about one entry, or about two. The numbers are those of the [page](super).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::entry::{Content, Entry, Moment};
use crate::config::Config;
use crate::template::State;

/// How long entries hold, as the settings say.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// How long a template holds (`CACHE_TTL`).
    pub ttl: Duration,
    /// By which part of itself a TTL may be shorter, so that entries of one moment expire at different ones.
    pub ttl_jitter: f64,
    /// How long an absence holds (`NEGATIVE_TTL`).
    pub negative_ttl: Duration,
    /// How long a template answers after its TTL while it is loaded again (`STALE_WHILE_REVALIDATE`).
    pub stale_window: Duration,
    /// How long a template answers after its TTL when nothing else can (`STALE_FOR`).
    pub stale_for: Duration,
    /// How long a confirmed copy answers without asking Redis (`NEAR_FOR`).
    pub near_for: Duration,
    /// The longest that a load can take that began before a change.
    pub longest_load: Duration,
}

/// Whether an entry may answer (R1 and R2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Its TTL lasts.
    Fresh,
    /// Its TTL is over, but it answers while it is loaded again.
    Stale,
    /// It does not answer.
    Nothing,
}

/// What became of an entry that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored, or the same answer is.
    Yes,
    /// A higher version is known.
    Superseded,
    /// There is no room for it, or Redis could not be told.
    No,
}

/// Whether the result of a load may be stored (R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayStore {
    /// Nothing has overtaken the load.
    Yes,
    /// It may be shown only; a tombstone of its version is stored instead.
    TombstoneOnly,
}

impl Rules {
    /// The rules that these settings ask for.
    pub fn of(config: &Config) -> Self {
        Self {
            ttl: config.cache_ttl,
            ttl_jitter: config.cache_ttl_jitter,
            negative_ttl: config.negative_ttl,
            stale_window: config.stale_while_revalidate,
            stale_for: config.stale_for,
            near_for: config.near_for,
            longest_load: config.longest_load(),
        }
    }

    /// The entry for what the database has just said after taking this long (R1).
    pub fn entry(&self, state: State, now: Moment, took: Duration) -> Entry {
        let ttl = match state {
            State::Present(_) => self.ttl,
            State::Absent { .. } => self.negative_ttl,
        };
        let ttl = ttl.mul_f64(1.0 - self.ttl_jitter * fastrand::f64());
        Entry::new(state, now, ttl.saturating_sub(took), took)
    }

    /// A tombstone for a change that has just become known (R11).
    pub fn tombstone(&self, version: i64, now: Moment) -> Entry {
        Entry::tombstone(version, now, self.longest_load)
    }

    /// Whether an entry may answer (R1 and R2).
    pub fn shows(&self, entry: &Entry, now: Moment) -> Shows {
        let is_within_ttl = entry.is_within_ttl(now);
        match entry.content {
            Content::Template(_) | Content::Absent if is_within_ttl => Shows::Fresh,
            Content::Template(_) if now < entry.expires_at.after(self.stale_window) => Shows::Stale,
            Content::Template(_) | Content::Absent | Content::Tombstone => Shows::Nothing,
        }
    }

    /// What is left of an entry that Redis holds, if anything is (R4 and R5).
    pub fn believe(&self, entry: Entry, ignored: &IgnoreBefore, now: Moment) -> Option<Entry> {
        let expires_at = entry.expires_at.min(now.after(self.ttl));
        let entry = Entry {
            expires_at,
            ..entry
        };
        ignored.admits(&entry).then_some(entry)
    }

    /// Whether a template's TTL ended no longer than `STALE_FOR` ago: so long it may stand in for a slow load, and be the
    /// last-known-good (R7 and R8).
    pub fn is_within_stale_for(&self, entry: &Entry, now: Moment) -> bool {
        matches!(entry.content, Content::Template(_))
            && now < entry.expires_at.after(self.stale_for)
    }

    /// How long an entry refuses older versions in this process (R13).
    pub fn refuse_older_for(&self) -> Duration {
        self.ttl + self.longest_load
    }

    /// How long Redis keeps an entry: while it may answer, and while a load of something older may be under way (R2
    /// and R13). A tombstone never answers.
    pub fn kept_in_redis_for(&self, entry: &Entry, now: Moment) -> Duration {
        let answers_until = match entry.content {
            Content::Template(_) => entry.expires_at.after(self.stale_window),
            Content::Absent | Content::Tombstone => entry.expires_at,
        };
        answers_until.since(now).max(self.longest_load)
    }
}

/// Whether an entry replaces the one that Redis holds (R10 and R11).
///
/// Redis' script has to decide the same, and tests compare the two. [`Copies::store`](super::Copies::store) follows the
/// same rules with what it knows besides: versions that were never seen, and until when they refuse older ones.
pub fn replaces(held: &Entry, new: &Entry) -> bool {
    match new.content {
        Content::Template(_) | Content::Absent => held.version <= new.version,
        Content::Tombstone => held.version < new.version,
    }
}

/// Whether a load's result answers a caller of a replica that knows this version (R9).
pub fn is_enough(known: Option<i64>, loaded: i64, by_own_query: bool) -> bool {
    by_own_query || known.is_none_or(|known| known <= loaded)
}

/// How much an invalidation says: a later state says more, and a state more than a tombstone of it. The least says only
/// that something has changed (R14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    version: Option<i64>,
    is_state: bool,
}

impl Rank {
    /// The template has changed to an unknown version.
    pub const UNKNOWN: Self = Self {
        version: None,
        is_state: false,
    };

    /// What an entry says.
    pub fn of(entry: &Entry) -> Self {
        Self {
            version: Some(entry.version),
            is_state: entry.content != Content::Tombstone,
        }
    }
}

/// The moment before which stored entries are ignored, because changes since may have been missed (R4).
#[derive(Debug, Default)]
pub struct IgnoreBefore {
    moment: AtomicU64,
    /// How often it was raised. Moments cannot tell two gaps of one millisecond apart.
    gaps: AtomicU64,
}

impl IgnoreBefore {
    /// Ignores what was stored up to now, this millisecond included.
    pub fn raise(&self, now: Moment) {
        let next = now.0.saturating_add(1);
        self.moment.fetch_max(next, Ordering::Relaxed);
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the entry counts.
    pub fn admits(&self, entry: &Entry) -> bool {
        entry.answered_at >= self.moment()
    }

    pub(super) fn moment(&self) -> Moment {
        Moment(self.moment.load(Ordering::Relaxed))
    }

    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }
}

//! [`Entry`]: one answer of the database, and until when it holds.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::template::State;

/// A point in time in milliseconds since the Unix epoch: what processes that share a Redis can agree on.
///
/// It follows the system clock, so a clock that is set back lengthens the life of what is already kept; Redis' own
/// TTL bounds that for everything in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The system clock's time.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// The time that passed since an earlier moment; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment this much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// What is known of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It exists: its answer's bytes, serialised once.
    Template(Bytes),
    /// There is no such template.
    Absent,
    /// A tombstone: it has changed to this version or a later one, and the result is not known yet.
    Tombstone,
}

/// What is known of a template, since when, and until when that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which state of the template this is; a higher one is a later one.
    pub version: i64,
    /// What is known.
    pub content: Content,
    /// When the database's answer came; a tombstone's: when the change became known. The TTL ends earlier than a TTL after
    /// it, because it counts from when the query was sent.
    pub answered_at: Moment,
    /// When its TTL ends.
    pub expires_at: Moment,
    /// How long the database took to answer, in microseconds.
    pub cost_micros: u64,
}

impl Entry {
    /// What the database has just answered after taking this long, for as long as `ttl` from now.
    pub fn new(state: State, now: Moment, ttl: Duration, cost: Duration) -> Self {
        let version = state.version();
        let content = match state {
            State::Present(template) => Content::Template(template.to_json().into()),
            State::Absent { .. } => Content::Absent,
        };
        Self {
            version,
            content,
            answered_at: now,
            expires_at: now.after(ttl),
            cost_micros: u64::try_from(cost.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// A tombstone: refuses older versions until the loads that began earlier must have ended.
    pub(super) fn tombstone(version: i64, now: Moment, longest_load: Duration) -> Self {
        Self {
            version,
            content: Content::Tombstone,
            answered_at: now,
            expires_at: now.after(longest_load),
            cost_micros: 0,
        }
    }

    /// Whether its TTL still lasts.
    pub(super) fn is_within_ttl(&self, now: Moment) -> bool {
        now < self.expires_at
    }

    /// Whether one of many callers should load it again already, so that it never expires under them.
    ///
    /// The chance grows with the time that a load takes and towards the end of the TTL. Each caller draws for itself. This
    /// is XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, 2015), and `draw`
    /// is uniform in (0, 1].
    pub fn is_due_early(&self, now: Moment, beta: f64, draw: f64) -> bool {
        let left_micros = self.expires_at.since(now).as_micros() as f64;
        self.cost_micros as f64 * beta * -draw.ln() >= left_micros
    }

    /// Whether both are the same answer of the database.
    pub fn is_same_answer(&self, other: &Self) -> bool {
        (self.version, self.answered_at) == (other.version, other.answered_at)
    }

    /// How long ago the database answered.
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.answered_at)
    }

    /// Whole seconds that are left of its TTL, rounded down; negative once it is over.
    pub fn seconds_left(&self, now: Moment) -> i64 {
        let seconds = |milliseconds: u64| i64::try_from(milliseconds).unwrap_or(i64::MAX);
        if self.is_within_ttl(now) {
            seconds((self.expires_at.0 - now.0) / 1000)
        } else {
            -seconds((now.0 - self.expires_at.0).div_ceil(1000))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(answered_at: u64, ttl_ms: u64) -> Entry {
        Entry::new(
            State::Absent { version: 0 },
            Moment(answered_at),
            Duration::from_millis(ttl_ms),
            Duration::from_millis(10),
        )
    }

    #[test]
    fn an_entry_is_within_its_ttl_until_that_ends() {
        let entry = absent(1_000, 500);
        assert!(entry.is_within_ttl(Moment(1_499)));
        assert!(!entry.is_within_ttl(Moment(1_500)));
    }

    #[test]
    fn what_is_left_is_rounded_down_so_that_nothing_is_promised_for_too_long() {
        let entry = absent(0, 30_000);
        let left = [0, 1, 29_500, 30_001, 42_000].map(|now| entry.seconds_left(Moment(now)));
        assert_eq!(left, [30, 29, 0, -1, -12]);
    }

    #[test]
    fn it_is_due_early_with_a_chance_that_grows_towards_the_end() {
        let entry = absent(0, 1_000);
        let chance = |now| {
            let draws = (1..=10_000).map(|draw| f64::from(draw) / 10_000.0);
            draws
                .filter(|draw| entry.is_due_early(Moment(now), 1.0, *draw))
                .count()
        };
        // A load takes 10 ms: a chance of e^-1 ten milliseconds before the end, and of e^-5 fifty before.
        assert_eq!(
            (chance(0), chance(950), chance(990), chance(1_000)),
            (0, 67, 3_678, 10_000)
        );
    }
}

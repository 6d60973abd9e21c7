//! [`Watch`]: what the page of rules forbids, in plain numbers. It knows the database's whole history, when each entry's
//! query was sent, and what each replica has shown, written and been told.

use std::collections::{BTreeMap, HashMap};

use crate::history::{IDS, REPLICAS, Setting};

pub type Checked = Result<(), String>;

/// A state of a template in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub version: i64,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The number names one state, even if a restored database gives its version twice.
    Template(u64),
    Absent,
    Tombstone,
}

/// What an entry is, as far as it is watched.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub fact: Fact,
    pub answered_at: u64,
    pub expires_at: u64,
    pub cost: u64,
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub replica: Option<usize>,
    /// A flight brought it, which can be forgotten.
    pub is_flight: bool,
    /// When its TTL begins.
    pub sent_at: u64,
    pub sent: u64,
    pub answered: u64,
    /// Its writer's clock was ahead: its times say nothing.
    pub is_ahead: bool,
}

/// A request, and what its replica knew when it began.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub replica: usize,
    pub id: usize,
    pub at: u64,
    floor: i64,
    gap: u64,
    redis_gap: u64,
    suspicion: Option<(u64, i64)>,
}

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Redis,
    Copies,
    /// What a load brought while the caller was on its way.
    Learnt,
    /// The caller's own load.
    Loaded,
    /// Another caller's load, or another replica's.
    Shared,
    LastKnownGood,
    /// A copy that Redis or the database has just confirmed.
    Near,
    /// A copy, for a load that takes too long.
    StandIn,
}

pub struct Watch {
    pub setting: Setting,
    pub now: u64,
    /// Orders what happens in one millisecond.
    pub order: u64,
    history: Vec<Vec<(u64, Fact)>>,
    serial: u64,
    origins: HashMap<(usize, i64, u64, u64), Origin>,
    floors: [[i64; IDS]; REPLICAS],
    gaps: [u64; REPLICAS],
    redis_gaps: [u64; REPLICAS],
    suspicions: [[Option<(u64, i64)>; IDS]; REPLICAS],
    /// The version that a replica knows to exist.
    certain: [[i64; IDS]; REPLICAS],
    /// When a copy was confirmed last, and after which gap that was asked.
    confirmed: [[(u64, u64); IDS]; REPLICAS],
    /// Until when nothing is asked of the order of versions, because the database was restored.
    unsettled_until: [u64; IDS],
    /// Until when each version that a replica was given may refuse lower ones.
    refuses: HashMap<(usize, usize), BTreeMap<i64, u64>>,
    redis_top: [Option<(i64, u64)>; IDS],
}

impl Watch {
    pub fn new(setting: &Setting) -> Self {
        let absent = Fact {
            version: 0,
            kind: Kind::Absent,
        };
        let mut watch = Self {
            setting: setting.clone(),
            now: 1_000,
            order: 1,
            history: vec![vec![(0, absent)]; IDS],
            serial: 0,
            origins: HashMap::new(),
            floors: [[-1; IDS]; REPLICAS],
            gaps: [0; REPLICAS],
            redis_gaps: [0; REPLICAS],
            suspicions: [[None; IDS]; REPLICAS],
            certain: [[0; IDS]; REPLICAS],
            confirmed: [[(0, 0); IDS]; REPLICAS],
            unsettled_until: [0; IDS],
            refuses: HashMap::new(),
            redis_top: [None; IDS],
        };
        watch.change(0, false);
        watch
    }

    pub fn tick(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn longest_load(&self) -> u64 {
        self.setting.flight * 2
    }

    /// What the database says now.
    pub fn fact(&self, id: usize) -> Fact {
        self.history[id].last().expect("there is a first state").1
    }

    /// A change is committed. None if there is nothing to delete.
    pub fn change(&mut self, id: usize, delete: bool) -> Option<Fact> {
        let before = self.fact(id);
        if delete && before.kind == Kind::Absent {
            return None;
        }
        self.serial += 1;
        let kind = if delete {
            Kind::Absent
        } else {
            Kind::Template(self.serial)
        };
        let fact = Fact {
            version: before.version + 1,
            kind,
        };
        self.history[id].push((self.now, fact));
        Some(fact)
    }

    /// The database goes back by so many states.
    pub fn restore(&mut self, id: usize, back: i64) {
        let history = &mut self.history[id];
        let index = history
            .len()
            .saturating_sub(1 + back.unsigned_abs() as usize);
        let older = history[index].1;
        history.push((self.now, older));
        let Setting {
            ttl,
            window,
            flight,
            ..
        } = self.setting;
        let until = self.now + flight + ttl + window + 2 * self.longest_load();
        self.unsettled_until[id] = self.unsettled_until[id].max(until);
        for replica in 0..REPLICAS {
            self.floors[replica][id] = -1;
            self.suspicions[replica][id] = None;
        }
    }

    fn was(&self, id: usize, fact: Fact, since: u64) -> bool {
        let history = &self.history[id];
        let ends = history
            .iter()
            .skip(1)
            .map(|(from, _)| *from)
            .chain([u64::MAX]);
        // A state still holds in the millisecond in which the next one begins.
        history
            .iter()
            .zip(ends)
            .any(|((_, state), end)| *state == fact && end >= since)
    }

    pub fn asks(&self, replica: usize, id: usize) -> Asked {
        Asked {
            replica,
            id,
            at: self.now,
            floor: self.floors[replica][id],
            gap: self.gaps[replica],
            redis_gap: self.redis_gaps[replica],
            suspicion: self.suspicions[replica][id],
        }
    }

    /// Redis has confirmed an entry to this request.
    pub fn confirms(&mut self, asked: &Asked) {
        let confirmed = &mut self.confirmed[asked.replica][asked.id];
        *confirmed = (asked.at, asked.gap).max(*confirmed);
    }

    /// The replica stores what the database has just said.
    pub fn stores(&mut self, replica: usize, id: usize, at: u64) {
        let confirmed = &mut self.confirmed[replica][id];
        *confirmed = (at, self.gaps[replica]).max(*confirmed);
    }

    pub fn comes_from(&mut self, id: usize, seen: Seen, origin: Origin) {
        self.origins
            .insert((id, seen.fact.version, seen.answered_at, seen.cost), origin);
    }

    fn origin(&self, id: usize, seen: &Seen) -> Result<Origin, String> {
        let key = (id, seen.fact.version, seen.answered_at, seen.cost);
        self.origins
            .get(&key)
            .copied()
            .ok_or_else(|| format!("no query brought {seen:?}"))
    }

    /// The replica has shown, written or been told of this version.
    pub fn learns(&mut self, replica: usize, id: usize, version: i64) {
        if version > self.fact(id).version {
            // A late notice of what a restored database has lost.
            let until = self.now + 2 * self.longest_load() + self.setting.ttl;
            self.unsettled_until[id] = self.unsettled_until[id].max(until);
        }
        if self.now >= self.unsettled_until[id] {
            let floor = &mut self.floors[replica][id];
            *floor = version.max(*floor);
        }
    }

    /// A change may have been made, to a template of which this replica knows no version.
    pub fn suspects_anything(&mut self, replica: usize, id: usize) {
        self.suspicions[replica][id] = Some((self.tick(), UNKNOWN));
    }

    /// The replica knows that this version exists.
    pub fn is_certain(&mut self, replica: usize, id: usize, version: i64) {
        self.certain[replica][id] = version;
    }

    /// A change after the last certain version may have been made.
    pub fn suspects(&mut self, replica: usize, id: usize) {
        let (order, certain) = (self.tick(), self.certain[replica][id]);
        self.suspicions[replica][id] = Some((order, certain));
    }

    pub fn gap(&mut self, replica: usize) {
        self.gaps[replica] = self.tick();
    }

    pub fn redis_gap(&mut self, replica: usize) {
        self.redis_gaps[replica] = self.tick();
    }

    /// A caller is answered. `is_marked`: as stale.
    pub fn shown(&mut self, asked: &Asked, seen: Seen, how: How, is_marked: bool) -> Checked {
        self.check(asked, &seen, how, is_marked).map_err(|broken| {
            format!(
                "{broken}\n  at {}: {how:?}, marked {is_marked}: {seen:?}\n  for {asked:?}",
                self.now
            )
        })?;
        if !is_marked {
            self.learns(asked.replica, asked.id, seen.fact.version);
        }
        Ok(())
    }

    fn check(&mut self, asked: &Asked, seen: &Seen, how: How, is_marked: bool) -> Checked {
        let Asked {
            replica, id, at, ..
        } = *asked;
        let Setting {
            ttl,
            negative_ttl,
            window,
            stale_for,
            flight,
            ..
        } = self.setting;
        let origin = self.origin(id, seen)?;
        let is_template = matches!(seen.fact.kind, Kind::Template(_));
        let is_cached = matches!(how, How::Redis | How::Copies | How::Near);
        let holds = if is_template { ttl } else { negative_ttl };
        // A load that takes longer than the TTL brings an entry whose TTL ends with the reply.
        let is_over = |at: u64, more: u64| {
            !origin.is_ahead && at >= (origin.sent_at + holds).max(seen.answered_at) + more
        };

        ensure(seen.fact.kind != Kind::Tombstone, "R2: a tombstone answers")?;
        if how == How::LastKnownGood {
            ensure(is_template, "R8: an absence is the last-known-good")?;
            return ensure(
                !is_over(self.now, stale_for),
                "R8: the last-known-good is too old",
            );
        }
        if how == How::StandIn {
            ensure(is_template, "R7: an absence stands in")?;
            ensure(
                !is_over(self.now, stale_for),
                "R7: what stands in is too old",
            )?;
            let is_settled = self.now >= self.unsettled_until[id];
            ensure(
                !is_settled || seen.fact.version >= self.floors[replica][id],
                "R7: what stands in is not the highest version",
            )?;
            let is_own = origin.replica == Some(replica);
            let since = if is_own { origin.sent } else { origin.answered };
            return ensure(
                since > self.gaps[replica] || origin.is_ahead,
                "R7: an entry from before a gap stands in",
            );
        }
        if how == How::Near {
            let (confirmed_at, gap) = self.confirmed[replica][id];
            ensure(
                at < confirmed_at + self.setting.near && !is_marked,
                "R6: a copy is near for too long",
            )?;
            ensure(
                gap == asked.gap,
                "R6: a copy is near that was confirmed before a gap",
            )?;
        }
        if self.now >= self.unsettled_until[id] && at >= self.unsettled_until[id] {
            ensure(seen.fact.version >= asked.floor, "a replica goes back")?;
        }
        if is_cached && !is_marked {
            ensure(!is_over(at, 0), "R1: it answers as current after its TTL")?;
        }
        if is_cached && is_marked {
            ensure(is_template, "R2: an absence answers late")?;
            ensure(!is_over(at, window), "R2: it answers after its window")?;
        }
        if is_cached && let Some((order, version)) = asked.suspicion {
            // Where no version is known, only flights of this replica are known to be older.
            let is_known =
                version != UNKNOWN || (origin.replica == Some(replica) && origin.is_flight);
            let is_older = is_known && seen.fact.version <= version && origin.sent < order;
            ensure(
                !is_older || origin.is_ahead,
                "R15: a cache answers as if a change had not been made",
            )?;
        }
        if how == How::Copies || how == How::Learnt {
            // Loads of this replica know of its gaps.
            let since = if origin.replica == Some(replica) {
                origin.sent
            } else {
                origin.answered
            };
            ensure(
                since > asked.gap,
                "R4 or R12: an entry from before a gap answers",
            )?;
        }
        if how == How::Redis {
            ensure(
                origin.answered > asked.redis_gap,
                "R4: Redis answers from before a gap",
            )?;
            ensure(
                seen.expires_at <= at + ttl,
                "R5: Redis answers for longer than the TTL",
            )?;
        }
        if !is_marked && !origin.is_ahead {
            let since = at.saturating_sub(holds.max(flight));
            ensure(
                self.was(id, seen.fact, since),
                "it is shown as current long after it has changed",
            )?;
        }
        if let Some((order, version)) = self.suspicions[replica][id]
            && origin.sent > order
            && seen.fact.version <= version
        {
            // A later query has shown that the change was not made.
            self.suspicions[replica][id] = None;
        }
        Ok(())
    }

    /// A replica's copies are given an entry or a tombstone.
    pub fn given(&mut self, replica: usize, id: usize, seen: &Seen) {
        let until = match seen.fact.kind {
            Kind::Tombstone => self.now + self.longest_load(),
            _ => seen.answered_at + self.setting.ttl + self.longest_load(),
        };
        let refuses = self
            .refuses
            .entry((replica, id))
            .or_default()
            .entry(seen.fact.version)
            .or_default();
        *refuses = until.max(*refuses);
    }

    /// They refused it.
    pub fn refused(&self, replica: usize, id: usize, seen: &Seen) -> Checked {
        let refuses = &self.refuses[&(replica, id)];
        let mut higher = refuses.range(seen.fact.version + 1..);
        let is_due = higher.any(|(_, until)| *until > seen.answered_at);
        ensure(is_due, "R13: an older version is refused for too long")
    }

    /// Redis has replaced what it held.
    pub fn redis_stores(&mut self, id: usize, held: Option<Seen>, new: &Seen) -> Checked {
        let version = new.fact.version;
        if let Some(held) = held {
            ensure(held.fact.version <= version, "R10: Redis goes back")?;
            let is_less = new.fact.kind == Kind::Tombstone && held.fact.version == version;
            ensure(!is_less, "R11: a tombstone replaces its own version")?;
        }
        if let Some((top, until)) = self.redis_top[id]
            && self.now < until
        {
            ensure(
                version >= top,
                "R13: Redis forgets a version while older loads are under way",
            )?;
        }
        self.redis_top[id] = Some((version, self.now + self.longest_load()));
        Ok(())
    }

    pub fn redis_loses(&mut self, id: usize) {
        self.redis_top[id] = None;
    }
}

/// Stands for the version that is known where none is.
const UNKNOWN: i64 = i64::MAX;

pub fn ensure(holds: bool, broken: &str) -> Checked {
    if holds { Ok(()) } else { Err(broken.into()) }
}

//! Two replicas, one Redis and one database over one planted module. What a replica does here is what `src/service` and
//! `src/cache` do; each step of a history is one thing that can happen between two of their awaits.

use std::collections::HashMap;
use std::time::Duration;

use super::freshness::{
    Content, Copies, Entry, IgnoreBefore, LoadBegan, MayStore, Moment, Noted, Rank, Rules, Shows,
    Stored, is_enough, replaces,
};
use crate::config::Config;
use crate::history::{IDS, Kind as Cache, Link, REPLICAS, Setting, Step};
use crate::template::{State, Template, TemplateId, UpdatedAt};
use crate::watch::{Asked, Checked, Fact, How, Kind, Origin, Seen, Watch, ensure};

/// Lets a history happen.
pub fn run(setting: &Setting, steps: &[Step]) -> Checked {
    fastrand::seed(7);
    let mut model = Model::new(setting);
    for (number, step) in steps.iter().enumerate() {
        model
            .step(*step)
            .map_err(|broken| format!("step {number}: {broken}"))?;
    }
    Ok(())
}

const ENTRIES: usize = 256;
const MOST_FLIGHTS: u32 = 3;

struct Model {
    watch: Watch,
    rules: Rules,
    replicas: Vec<Replica>,
    redis: HashMap<usize, (Entry, u64)>,
    is_full: bool,
    loads: Vec<Load>,
    writes: Vec<Write>,
    slow: Vec<(Asked, Lookup)>,
}

struct Replica {
    copies: Copies,
    /// The embedded cache.
    memory: Copies,
    ignored: IgnoreBefore,
    outbox: HashMap<usize, (Rank, Command)>,
    /// The most that was said to the outbox of each template.
    most: HashMap<usize, (Option<i64>, bool)>,
    link: Link,
    is_connected: bool,
    refuses_writes: bool,
    notices: Vec<Notice>,
    is_deaf: bool,
}

#[derive(Clone)]
enum Command {
    Write(Entry, Duration),
    Remove,
}

#[derive(Clone, Copy)]
enum Notice {
    Changed(usize, i64),
    AllChanged,
}

struct Load {
    replica: usize,
    id: usize,
    is_flight: bool,
    /// A flight that was not forgotten.
    is_forgotten: bool,
    began: LoadBegan,
    began_at: u64,
    sent: u64,
    read: Option<Fact>,
    callers: Vec<Caller>,
}

#[derive(Clone)]
struct Caller {
    asked: Asked,
    known: Option<i64>,
    flights: u32,
    leads: bool,
}

struct Write {
    replica: usize,
    id: usize,
    delete: bool,
    began_at: u64,
    made: Option<Fact>,
}

enum Lookup {
    Hit(Entry),
    Miss,
    Unanswered,
}

enum Failure {
    Away,
    Server,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn template(id: usize) -> TemplateId {
    TemplateId::new(id as i64 + 1).expect("a positive number")
}

fn state(id: usize, fact: Fact) -> State {
    match fact.kind {
        Kind::Template(serial) => State::Present(Template {
            id: template(id),
            name: serial.to_string(),
            updated_at: UpdatedAt(0),
            version: fact.version,
        }),
        Kind::Absent | Kind::Tombstone => State::Absent {
            version: fact.version,
        },
    }
}

fn seen(entry: &Entry) -> Seen {
    let kind = match &entry.content {
        Content::Template(json) => {
            let text = std::str::from_utf8(json).expect("JSON is text");
            let name = text
                .split("\"name\":\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            Kind::Template(
                name.and_then(|name| name.parse().ok())
                    .expect("the name is a number"),
            )
        }
        Content::Absent => Kind::Absent,
        Content::Tombstone => Kind::Tombstone,
    };
    Seen {
        fact: Fact {
            version: entry.version,
            kind,
        },
        answered_at: entry.answered_at.0,
        expires_at: entry.expires_at.0,
        cost: entry.cost_micros,
    }
}

impl Model {
    fn new(setting: &Setting) -> Self {
        let rules = Rules::of(&Config {
            cache_ttl: ms(setting.ttl),
            cache_ttl_jitter: setting.jitter,
            negative_ttl: ms(setting.negative_ttl),
            stale_while_revalidate: ms(setting.window),
            stale_for: ms(setting.stale_for),
            near_for: ms(setting.near),
            longest_own_load: ms(setting.flight),
        });
        let replica = || Replica {
            copies: Copies::new(ENTRIES, rules.clone()),
            memory: Copies::new(ENTRIES, rules.clone()),
            ignored: IgnoreBefore::default(),
            outbox: HashMap::new(),
            most: HashMap::new(),
            link: Link::Up,
            is_connected: true,
            refuses_writes: false,
            notices: Vec::new(),
            is_deaf: false,
        };
        Self {
            watch: Watch::new(setting),
            replicas: (0..REPLICAS).map(|_| replica()).collect(),
            rules,
            redis: HashMap::new(),
            is_full: false,
            loads: Vec::new(),
            writes: Vec::new(),
            slow: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment(self.watch.now)
    }

    fn cache(&self) -> Cache {
        self.watch.setting.cache
    }

    fn step(&mut self, step: Step) -> Checked {
        self.watch.tick();
        match step {
            Step::Wait(time) => self.wait(time),
            Step::Read { replica, id, slow } => {
                let asked = self.watch.asks(replica, id);
                let near = self.replicas[replica].copies.near(template(id), self.now());
                if let Some(entry) = near {
                    return self.cached(asked, entry, How::Near);
                }
                let lookup = self.lookup(replica, id);
                if slow {
                    self.slow.push((asked, lookup));
                    return Ok(());
                }
                self.read(asked, lookup)
            }
            Step::Resume(pick) => match take(&mut self.slow, pick) {
                Some((asked, lookup)) => self.read(asked, lookup),
                None => Ok(()),
            },
            Step::Query(pick) => {
                if !self.loads.is_empty() {
                    let index = pick % self.loads.len();
                    self.query(index);
                }
                Ok(())
            }
            Step::Finish(pick) => {
                if self.loads.is_empty() {
                    return Ok(());
                }
                self.finish(pick % self.loads.len())
            }
            Step::FailLoad(pick) => match take(&mut self.loads, pick) {
                Some(load) => self.fail(load),
                None => Ok(()),
            },
            Step::Soften(pick) => self.soften(pick),
            Step::Write {
                replica,
                id,
                delete,
            } => {
                let began_at = self.watch.now;
                self.writes.push(Write {
                    replica,
                    id,
                    delete,
                    began_at,
                    made: None,
                });
                Ok(())
            }
            Step::Advance(pick) => {
                if self.writes.is_empty() {
                    return Ok(());
                }
                self.advance(pick % self.writes.len())
            }
            Step::Lose(pick) => match take(&mut self.writes, pick) {
                Some(write) => self.suspect(write.replica, write.id),
                None => Ok(()),
            },
            Step::Refused { replica, id } => {
                self.refused(replica, id);
                Ok(())
            }
            Step::Outside { id, delete } => {
                if let Some(fact) = self.watch.change(id, delete) {
                    self.tell(Notice::Changed(id, fact.version));
                }
                Ok(())
            }
            Step::OutsideAll => {
                for id in 0..IDS {
                    self.watch.change(id, false);
                }
                self.tell(Notice::AllChanged);
                Ok(())
            }
            Step::Restore { id, back } => {
                self.watch.restore(id, back);
                Ok(())
            }
            Step::Hear(replica) => {
                if self.replicas[replica].notices.is_empty() {
                    return Ok(());
                }
                match self.replicas[replica].notices.remove(0) {
                    Notice::Changed(id, version) => self.hear(replica, id, version),
                    Notice::AllChanged => {
                        self.gap(replica, true);
                        Ok(())
                    }
                }
            }
            Step::Deafen(replica) => {
                let replica = &mut self.replicas[replica];
                replica.is_deaf = true;
                replica.notices.clear();
                Ok(())
            }
            Step::Listen(replica) => {
                if std::mem::take(&mut self.replicas[replica].is_deaf) {
                    self.gap(replica, false);
                }
                Ok(())
            }
            Step::Link(replica, link) => {
                let is_cluster = self.cache() == Cache::Cluster;
                let replica = &mut self.replicas[replica];
                replica.link = link;
                replica.is_connected &= link != Link::Down || is_cluster;
                Ok(())
            }
            Step::Full(is_full) => {
                self.is_full = is_full;
                Ok(())
            }
            Step::Flush => {
                self.redis.clear();
                (0..IDS).for_each(|id| self.watch.redis_loses(id));
                Ok(())
            }
            Step::Reconnect(replica) => self.reconnect(replica),
            Step::Ahead { id, by } => self.ahead(id, by),
        }
    }

    /// Time passes. What takes too long is given up in its order.
    fn wait(&mut self, time: u64) -> Checked {
        let end = self.watch.now + time;
        let flight = self.watch.setting.flight;
        loop {
            let load = (0..self.loads.len()).min_by_key(|index| self.loads[*index].began_at);
            let write = (0..self.writes.len()).min_by_key(|index| self.writes[*index].began_at);
            let load_ends = load.map_or(u64::MAX, |index| self.loads[index].began_at + flight);
            let write_ends = write.map_or(u64::MAX, |index| self.writes[index].began_at + flight);
            if load_ends.min(write_ends) > end {
                break;
            }
            self.watch.now = self.watch.now.max(load_ends.min(write_ends));
            if load_ends <= write_ends {
                let load = self.loads.remove(load.unwrap_or_default());
                self.fail(load)?;
            } else {
                let write = self.writes.remove(write.unwrap_or_default());
                self.suspect(write.replica, write.id)?;
            }
        }
        self.watch.now = end;
        self.redis.retain(|_, (_, expires)| *expires > end);
        Ok(())
    }

    // Reading, as `service/read.rs`.

    fn read(&mut self, asked: Asked, lookup: Lookup) -> Checked {
        let Asked {
            replica, id, at, ..
        } = asked;
        let how = match self.cache() {
            Cache::Embedded => How::Copies,
            Cache::Redis | Cache::Cluster => How::Redis,
        };
        match lookup {
            Lookup::Hit(entry) => {
                self.watch.confirms(&asked);
                if self.confirm(replica, id, &entry, Moment(at))? != Stored::Superseded {
                    return self.cached(asked, entry, how);
                }
            }
            Lookup::Miss if !self.replicas[replica].refuses_writes => {}
            Lookup::Miss | Lookup::Unanswered => {
                if let Some(entry) = self.replicas[replica]
                    .copies
                    .answer(template(id), Moment(at))
                {
                    return self.cached(asked, entry, How::Copies);
                }
            }
        }
        let known = self.replicas[replica].copies.known_version(template(id));
        let caller = Caller {
            asked,
            known,
            flights: 1,
            leads: true,
        };
        if self.watch.setting.is_shared {
            self.fly(caller)
        } else {
            self.begin(replica, id, false, vec![caller]);
            Ok(())
        }
    }

    fn cached(&mut self, asked: Asked, entry: Entry, how: How) -> Checked {
        let is_fresh = self.rules.shows(&entry, Moment(asked.at)) == Shows::Fresh;
        if !is_fresh
            && self.flight(asked.replica, asked.id).is_none()
            && self
                .theirs(asked.replica, asked.id, Some(&entry))?
                .is_none()
        {
            self.begin(asked.replica, asked.id, true, Vec::new());
        }
        self.shown(&asked, &entry, how, !is_fresh)
    }

    fn shown(&mut self, asked: &Asked, entry: &Entry, how: How, is_marked: bool) -> Checked {
        self.watch
            .shown(asked, seen(entry), how, is_marked)
    }

    fn learns(&mut self, replica: usize, id: usize, version: i64) {
        self.watch.learns(replica, id, version);
    }

    // Loading, as `service/load.rs`.

    fn flight(&self, replica: usize, id: usize) -> Option<usize> {
        let is_it = |load: &Load| {
            load.replica == replica && load.id == id && load.is_flight && !load.is_forgotten
        };
        self.loads.iter().position(is_it)
    }

    fn fly(&mut self, mut caller: Caller) -> Checked {
        let Asked {
            replica, id, at, ..
        } = caller.asked;
        if let Some(index) = self.flight(replica, id) {
            caller.leads = false;
            self.loads[index].callers.push(caller);
            return Ok(());
        }
        caller.leads = true;
        if let Some(entry) = self.replicas[replica]
            .copies
            .learnt_since(template(id), Moment(at))
        {
            return self.settle(caller, &entry, How::Learnt);
        }
        if let Some(entry) = self.theirs(replica, id, None)? {
            return self.settle(caller, &entry, How::Shared);
        }
        self.begin(replica, id, true, vec![caller]);
        Ok(())
    }

    /// What another replica's load has left in Redis (`FLEET_LEASE`).
    fn theirs(
        &mut self,
        replica: usize,
        id: usize,
        cached: Option<&Entry>,
    ) -> Result<Option<Entry>, String> {
        if !self.watch.setting.leases {
            return Ok(None);
        }
        let Ok(Some(entry)) = self.ask(replica, id) else {
            return Ok(None);
        };
        let now = self.now();
        let believed = self
            .rules
            .believe(entry, &self.replicas[replica].ignored, now);
        let fresh = believed.filter(|entry| self.rules.shows(entry, now) == Shows::Fresh);
        let Some(entry) =
            fresh.filter(|entry| cached.is_none_or(|cached| !entry.is_same_answer(cached)))
        else {
            return Ok(None);
        };
        let stored = self.store(replica, id, &entry)?;
        Ok((stored != Stored::Superseded).then_some(entry))
    }

    fn begin(&mut self, replica: usize, id: usize, is_flight: bool, callers: Vec<Caller>) {
        let began = self.replicas[replica].copies.begin_load();
        let (began_at, sent) = (self.watch.now, self.watch.tick());
        self.loads.push(Load {
            replica,
            id,
            is_flight,
            is_forgotten: false,
            began,
            began_at,
            sent,
            read: None,
            callers,
        });
    }

    fn query(&mut self, index: usize) {
        let fact = self.watch.fact(self.loads[index].id);
        self.loads[index].read.get_or_insert(fact);
    }

    fn finish(&mut self, index: usize) -> Checked {
        self.query(index);
        let load = self.loads.swap_remove(index);
        let Load { replica, id, .. } = load;
        let fact = load.read.ok_or("it was read")?;
        let now = self.now();
        let answered = self.watch.tick();
        // The microseconds tell the entries of one millisecond from each other.
        let took = Duration::from_micros((now.0 - load.began_at) * 1_000 + answered % 1_000);
        let entry = self.rules.entry(state(id, fact), now, took);
        let origin = Origin {
            replica: Some(replica),
            is_flight: load.is_flight,
            sent_at: load.began_at,
            sent: load.sent,
            answered,
            is_ahead: false,
        };
        self.watch.comes_from(id, seen(&entry), origin);
        let is_forgotten = load.is_forgotten && load.is_flight;
        match self.replicas[replica]
            .copies
            .judge_load(load.began, is_forgotten)
        {
            MayStore::Yes => {
                if self.store(replica, id, &entry)? != Stored::Superseded {
                    self.store_in_cache(replica, id, &entry)?;
                }
            }
            MayStore::TombstoneOnly => {
                let tombstone = self.rules.tombstone(entry.version, now);
                if self.note(replica, id, &tombstone)? == Noted::News {
                    self.announce_to_cache(replica, id, &tombstone)?;
                }
            }
        }
        for caller in load.callers {
            if load.is_flight {
                let how = if caller.leads {
                    How::Loaded
                } else {
                    How::Shared
                };
                self.settle(caller, &entry, how)?;
            } else {
                self.shown(&caller.asked, &entry, How::Loaded, false)?;
            }
        }
        Ok(())
    }

    /// A caller is answered by what a flight has brought, or joins the next one.
    fn settle(&mut self, caller: Caller, entry: &Entry, how: How) -> Checked {
        let by_own_query = how == How::Loaded;
        if is_enough(caller.known, entry.version, by_own_query) || caller.flights == MOST_FLIGHTS {
            return self.shown(&caller.asked, entry, how, false);
        }
        ensure(
            !by_own_query,
            "R9: a leader's own load does not answer it",
        )?;
        self.fly(Caller {
            flights: caller.flights + 1,
            ..caller
        })
    }

    fn fail(&mut self, load: Load) -> Checked {
        let now = self.now();
        for caller in load.callers {
            let copy = self.replicas[load.replica]
                .copies
                .last_known_good(template(load.id), now);
            if let Some(copy) = copy {
                self.shown(&caller.asked, &copy, How::LastKnownGood, true)?;
            }
        }
        Ok(())
    }

    fn soften(&mut self, pick: usize) -> Checked {
        if self.loads.is_empty() {
            return Ok(());
        }
        let index = pick % self.loads.len();
        let (replica, id) = (self.loads[index].replica, self.loads[index].id);
        let copies = &self.replicas[replica].copies;
        let Some(copy) = copies.stand_in(template(id), self.now()) else {
            return Ok(());
        };
        for caller in std::mem::take(&mut self.loads[index].callers) {
            self.shown(&caller.asked, &copy, How::StandIn, true)?;
        }
        Ok(())
    }

    fn forget_flight(&mut self, replica: usize, id: usize) {
        if let Some(index) = self.flight(replica, id) {
            self.loads[index].is_forgotten = true;
        }
    }

    // Writing, as `service/write.rs`.

    fn advance(&mut self, index: usize) -> Checked {
        let Write {
            replica,
            id,
            delete,
            began_at,
            made,
        } = self.writes[index];
        let Some(fact) = made else {
            match self.watch.change(id, delete) {
                Some(fact) => {
                    self.writes[index].made = Some(fact);
                    self.tell(Notice::Changed(id, fact.version));
                }
                None => {
                    self.writes.swap_remove(index);
                    self.refused(replica, id);
                }
            }
            return Ok(());
        };
        self.writes.swap_remove(index);
        let now = self.now();
        let took = Duration::from_millis(now.0 - began_at);
        let entry = self.rules.entry(state(id, fact), now, took);
        let answered = self.watch.tick();
        let origin = Origin {
            replica: Some(replica),
            is_flight: false,
            sent_at: began_at,
            // What a write has made is known since its reply.
            sent: answered,
            answered,
            is_ahead: false,
        };
        self.watch.comes_from(id, seen(&entry), origin);
        self.store(replica, id, &entry)?;
        self.announce(replica, id, &entry)?;
        self.learns(replica, id, fact.version);
        Ok(())
    }

    fn refused(&mut self, replica: usize, id: usize) {
        self.forget_flight(replica, id);
        self.begin(replica, id, false, Vec::new());
    }

    fn suspect(&mut self, replica: usize, id: usize) -> Checked {
        let now = self.now();
        let suspected = self.replicas[replica].copies.suspect(template(id), now);
        self.forget_flight(replica, id);
        match suspected {
            Some(tombstone) => {
                self.watch.suspects(replica, id);
                self.watch.given(replica, id, &seen(&tombstone));
                self.announce_to_cache(replica, id, &tombstone)
            }
            None => {
                self.watch.suspects_anything(replica, id);
                self.remove_from_cache(replica, id)
            }
        }
    }

    fn announce(&mut self, replica: usize, id: usize, entry: &Entry) -> Checked {
        self.forget_flight(replica, id);
        self.announce_to_cache(replica, id, entry)
    }

    fn hear(&mut self, replica: usize, id: usize, version: i64) -> Checked {
        let tombstone = self.rules.tombstone(version, self.now());
        if self.note(replica, id, &tombstone)? == Noted::News {
            self.announce(replica, id, &tombstone)?;
        }
        self.learns(replica, id, version);
        Ok(())
    }

    /// Every template may have changed, or notices may have been lost.
    fn gap(&mut self, replica: usize, all_changed: bool) {
        for load in self.loads.iter_mut().filter(|load| load.replica == replica) {
            load.is_forgotten = true;
        }
        let now = self.now();
        let is_embedded = self.cache() == Cache::Embedded;
        let it = &mut self.replicas[replica];
        it.copies.ignore_before(now);
        if is_embedded {
            it.memory.ignore_before(now);
        } else if all_changed {
            it.ignored.raise(now);
            self.watch.redis_gap(replica);
        }
        self.watch.gap(replica);
    }

    fn tell(&mut self, notice: Notice) {
        for replica in self.replicas.iter_mut().filter(|replica| !replica.is_deaf) {
            replica.notices.push(notice);
        }
    }

    // The local copy.

    fn store(&mut self, replica: usize, id: usize, entry: &Entry) -> Result<Stored, String> {
        self.watch.stores(replica, id, entry.answered_at.0);
        self.confirm(replica, id, entry, entry.answered_at)
    }

    fn confirm(
        &mut self,
        replica: usize,
        id: usize,
        entry: &Entry,
        at: Moment,
    ) -> Result<Stored, String> {
        let seen = seen(entry);
        self.watch.given(replica, id, &seen);
        let copies = &self.replicas[replica].copies;
        let stored = copies.confirm(template(id), entry, at);
        match stored {
            Stored::Yes => {
                let kept = copies.learnt_since(template(id), Moment(0));
                let is_kept = |kept: Entry| {
                    kept.version == entry.version && kept.answered_at >= entry.answered_at
                };
                // None: a gap has begun since, so that the entry answers nothing.
                self.watch.is_certain(replica, id, entry.version);
                ensure(
                    kept.is_none_or(is_kept),
                    "R10: the later answer of a version is not kept",
                )?;
            }
            Stored::Superseded => self.watch.refused(replica, id, &seen)?,
            Stored::No => return Err("there is room for it".into()),
        }
        Ok(stored)
    }

    fn note(&mut self, replica: usize, id: usize, tombstone: &Entry) -> Result<Noted, String> {
        self.watch.given(replica, id, &seen(tombstone));
        let (copies, now, key) = (&self.replicas[replica].copies, self.now(), template(id));
        let (known, good) = (copies.known_version(key), copies.last_known_good(key, now));
        let noted = copies.note(key, tombstone);
        if noted == Noted::News {
            self.watch.is_certain(replica, id, tombstone.version);
        }
        ensure(
            noted == Noted::News || known >= Some(tombstone.version),
            "R11: a tombstone of an unknown version is no news",
        )?;
        ensure(
            copies.last_known_good(key, now) == good,
            "R8: a tombstone takes the last-known-good away",
        )?;
        Ok(noted)
    }

    // The cache, as `cache/redis/mod.rs` and `cache/memory.rs`.

    fn lookup(&mut self, replica: usize, id: usize) -> Lookup {
        let now = self.now();
        if self.cache() == Cache::Embedded {
            let it = &self.replicas[replica];
            return match it.link {
                Link::Up => it
                    .memory
                    .answer(template(id), now)
                    .map_or(Lookup::Miss, Lookup::Hit),
                Link::Down | Link::Mute => Lookup::Unanswered,
            };
        }
        match self.ask(replica, id) {
            Ok(entry) => {
                let believed = entry.and_then(|entry| {
                    self.rules
                        .believe(entry, &self.replicas[replica].ignored, now)
                });
                let shown = believed.filter(|entry| self.rules.shows(entry, now) != Shows::Nothing);
                shown.map_or(Lookup::Miss, Lookup::Hit)
            }
            Err(_) => Lookup::Unanswered,
        }
    }

    fn ask(&self, replica: usize, id: usize) -> Result<Option<Entry>, Failure> {
        let it = &self.replicas[replica];
        let is_answered = self.cache() != Cache::Embedded && it.link == Link::Up && it.is_connected;
        if !is_answered || it.outbox.contains_key(&id) {
            return Err(Failure::Away);
        }
        Ok(self.redis.get(&id).map(|(entry, _)| entry.clone()))
    }

    fn store_in_cache(&mut self, replica: usize, id: usize, entry: &Entry) -> Checked {
        if self.cache() == Cache::Embedded {
            if self.replicas[replica].link == Link::Up {
                self.replicas[replica].memory.store(template(id), entry);
            }
            return Ok(());
        }
        let command = self.write(entry);
        let _ = self.send(replica, id, &command)?;
        Ok(())
    }

    fn write(&self, entry: &Entry) -> Command {
        Command::Write(
            entry.clone(),
            self.rules.kept_in_redis_for(entry, self.now()),
        )
    }

    fn announce_to_cache(&mut self, replica: usize, id: usize, entry: &Entry) -> Checked {
        if self.cache() == Cache::Embedded {
            let memory = &self.replicas[replica].memory;
            if entry.content == Content::Tombstone {
                memory.note(template(id), entry);
            } else {
                memory.store(template(id), entry);
            }
            return Ok(());
        }
        let command = self.write(entry);
        self.must_be_told(replica, id, Rank::of(entry), command)
    }

    fn remove_from_cache(&mut self, replica: usize, id: usize) -> Checked {
        if self.cache() == Cache::Embedded {
            self.replicas[replica].memory.remove(template(id));
            return Ok(());
        }
        self.must_be_told(replica, id, Rank::UNKNOWN, Command::Remove)
    }

    fn must_be_told(&mut self, replica: usize, id: usize, rank: Rank, command: Command) -> Checked {
        match self.send(replica, id, &command)? {
            Ok(()) => {}
            Err(Failure::Away) => {
                let is_cluster = self.cache() == Cache::Cluster;
                let it = &mut self.replicas[replica];
                let said = says(&command);
                let most = it.most.entry(id).or_insert(said);
                *most = said.max(*most);
                let most = *most;
                if it.outbox.get(&id).is_none_or(|(owed, _)| *owed <= rank) {
                    it.outbox.insert(id, (rank, command));
                }
                it.is_connected &= is_cluster;
                let kept = it.outbox.get(&id).map(|(_, command)| says(command));
                ensure(
                    kept == Some(most),
                    "R14: the outbox keeps what says less",
                )?;
            }
            Err(Failure::Server) => self.reject(replica),
        }
        Ok(())
    }

    fn reject(&mut self, replica: usize) {
        self.replicas[replica].ignored.raise(self.now());
        self.watch.redis_gap(replica);
    }

    /// A command on its way to Redis.
    fn send(
        &mut self,
        replica: usize,
        id: usize,
        command: &Command,
    ) -> Result<Result<(), Failure>, String> {
        let it = &self.replicas[replica];
        if !it.is_connected || it.link == Link::Down {
            return Ok(Err(Failure::Away));
        }
        let is_mute = it.link == Link::Mute;
        let is_refused = self.is_full;
        if !is_refused {
            self.carry_out(id, command)?;
        }
        if is_mute {
            return Ok(Err(Failure::Away));
        }
        if matches!(command, Command::Write(..)) {
            self.replicas[replica].refuses_writes = is_refused;
        }
        Ok(if is_refused {
            Err(Failure::Server)
        } else {
            Ok(())
        })
    }

    fn carry_out(&mut self, id: usize, command: &Command) -> Checked {
        match command {
            Command::Remove => {
                self.redis.remove(&id);
                self.watch.redis_loses(id);
            }
            Command::Write(entry, kept) => {
                let held = self.redis.get(&id).map(|(held, _)| held);
                if held.is_none_or(|held| replaces(held, entry)) {
                    self.watch.redis_stores(id, held.map(seen), &seen(entry))?;
                    let expires = self.now().after(*kept).0;
                    self.redis.insert(id, (entry.clone(), expires));
                }
            }
        }
        let now = self.watch.now;
        self.redis.retain(|_, (_, expires)| *expires > now);
        Ok(())
    }

    fn reconnect(&mut self, replica: usize) -> Checked {
        if self.replicas[replica].link != Link::Up {
            return Ok(());
        }
        self.replicas[replica].is_connected = true;
        self.replicas[replica].most.clear();
        let mut owed: Vec<_> = self.replicas[replica].outbox.drain().collect();
        owed.sort_by_key(|(id, _)| *id);
        for (id, (_, command)) in owed {
            if self.is_full {
                self.reject(replica);
            } else {
                self.carry_out(id, &command)?;
            }
        }
        Ok(())
    }

    /// A third replica, whose clock is ahead, has loaded a template.
    fn ahead(&mut self, id: usize, by: u64) -> Checked {
        if self.cache() == Cache::Embedded || self.is_full {
            return Ok(());
        }
        let (now, order) = (self.now(), self.watch.tick());
        let took = Duration::from_micros(order % 1_000);
        let entry = self.rules.entry(state(id, self.watch.fact(id)), now, took);
        let Command::Write(mut entry, kept) = self.write(&entry) else {
            return Ok(());
        };
        entry.expires_at = entry.expires_at.after(ms(by));
        let origin = Origin {
            replica: None,
            is_flight: false,
            sent_at: now.0,
            sent: order,
            answered: order,
            is_ahead: true,
        };
        self.watch.comes_from(id, seen(&entry), origin);
        self.carry_out(id, &Command::Write(entry, kept))
    }
}

fn says(command: &Command) -> (Option<i64>, bool) {
    match command {
        Command::Remove => (None, false),
        Command::Write(entry, _) => (Some(entry.version), entry.content != Content::Tombstone),
    }
}

fn take<T>(list: &mut Vec<T>, pick: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.remove(pick % list.len()))
}

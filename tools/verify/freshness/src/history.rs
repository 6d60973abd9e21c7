//! What can happen, and how it is drawn.

use proptest::prelude::*;

/// Replicas, and templates.
pub const REPLICAS: usize = 2;
pub const IDS: usize = 2;

/// What stands behind the replicas. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Setting {
    pub ttl: u64,
    pub negative_ttl: u64,
    pub window: u64,
    pub stale_for: u64,
    /// How long a confirmed copy is near; 0 = not at all.
    pub near: u64,
    /// The longest that a load, or a change, takes.
    pub flight: u64,
    pub jitter: f64,
    pub cache: Kind,
    /// Callers share loads (`PROTECTION=singleflight`).
    pub is_shared: bool,
    /// Replicas take turns to load (`FLEET_LEASE`).
    pub leases: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Cluster,
    Embedded,
}

/// One thing that happens. Numbers choose among what there is, modulo how much there is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Wait(u64),
    /// A read begins and asks the cache. A slow one is answered by the cache now, and goes on at a later `Resume`.
    Read {
        replica: usize,
        id: usize,
        slow: bool,
    },
    Resume(usize),
    /// A load reads the database's state.
    Query(usize),
    /// A load's reply arrives; it reads now if it has not read before.
    Finish(usize),
    FailLoad(usize),
    /// A load takes longer than its callers with a good copy wait.
    Soften(usize),
    /// A write begins; the first `Advance` commits it, the second brings its reply, `Lose` loses the reply.
    Write {
        replica: usize,
        id: usize,
        delete: bool,
    },
    Advance(usize),
    Lose(usize),
    /// A write whose condition does not hold.
    Refused {
        replica: usize,
        id: usize,
    },
    Outside {
        id: usize,
        delete: bool,
    },
    OutsideAll,
    Restore {
        id: usize,
        back: i64,
    },
    /// The next notice arrives.
    Hear(usize),
    /// The session that listens breaks; `Listen` begins a new one, with a gap.
    Deafen(usize),
    Listen(usize),
    Link(usize, Link),
    Full(bool),
    /// Redis loses what it holds.
    Flush,
    /// A replica connects to Redis again, or, in a cluster, sends what waits.
    Reconnect(usize),
    /// A replica whose clock is ahead has stored an entry.
    Ahead {
        id: usize,
        by: u64,
    },
}

/// What becomes of a replica's commands to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Up,
    Down,
    /// They are carried out, and their replies are lost.
    Mute,
}

pub fn setting() -> impl Strategy<Value = Setting> {
    let times = (
        prop_oneof![Just(100_u64), Just(30), Just(60)],
        prop_oneof![Just(50_u64), Just(15)],
        prop_oneof![2 => Just(30_u64), 1 => Just(0), 1 => Just(150)],
        prop_oneof![Just(120_u64), Just(40)],
        prop_oneof![2 => Just(40_u64), 1 => Just(20)],
        prop_oneof![Just(0_u64), Just(15)],
    );
    let kind =
        prop_oneof![4 => Just(Kind::Redis), 1 => Just(Kind::Cluster), 1 => Just(Kind::Embedded)];
    let jitter = prop_oneof![2 => Just(0.0), 1 => Just(0.3)];
    let rest = (
        jitter,
        kind,
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.3),
    );
    (times, rest).prop_map(
        move |(
            (ttl, negative_ttl, window, stale_for, flight, near),
            (jitter, cache, is_shared, leases),
        )| Setting {
            ttl,
            negative_ttl,
            window,
            stale_for,
            near,
            flight,
            jitter,
            cache,
            is_shared,
            leases,
        },
    )
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let replica = || 0..REPLICAS;
    // One template has most of the traffic, so that what happens to it meets.
    let id = || prop_oneof![5 => Just(0_usize), 1 => 1..IDS];
    let delete = || prop::bool::weighted(0.3);
    let any = any::<usize>;
    let link = prop_oneof![3 => Just(Link::Up), 2 => Just(Link::Down), 1 => Just(Link::Mute)];
    let step = prop_oneof![
        24 => prop_oneof![2 => Just(1_u64), 2 => 1_u64..12, 3 => 10_u64..50].prop_map(Step::Wait),
        30 => (replica(), id(), prop::bool::weighted(0.15)).prop_map(|(replica, id, slow)| Step::Read { replica, id, slow }),
        5 => any().prop_map(Step::Resume),
        9 => any().prop_map(Step::Query),
        15 => any().prop_map(Step::Finish),
        3 => any().prop_map(Step::FailLoad),
        3 => any().prop_map(Step::Soften),
        7 => (replica(), id(), delete()).prop_map(|(replica, id, delete)| Step::Write { replica, id, delete }),
        12 => any().prop_map(Step::Advance),
        3 => any().prop_map(Step::Lose),
        1 => (replica(), id()).prop_map(|(replica, id)| Step::Refused { replica, id }),
        4 => (id(), delete()).prop_map(|(id, delete)| Step::Outside { id, delete }),
        1 => Just(Step::OutsideAll),
        1 => (id(), 1..4_i64).prop_map(|(id, back)| Step::Restore { id, back }),
        8 => replica().prop_map(Step::Hear),
        2 => replica().prop_map(Step::Deafen),
        3 => replica().prop_map(Step::Listen),
        4 => (replica(), link).prop_map(|(replica, link)| Step::Link(replica, link)),
        2 => prop::bool::weighted(0.3).prop_map(Step::Full),
        3 => Just(Step::Flush),
        6 => replica().prop_map(Step::Reconnect),
        1 => (id(), 20_u64..200).prop_map(|(id, by)| Step::Ahead { id, by }),
    ];
    prop::collection::vec(step, 1..70)
}

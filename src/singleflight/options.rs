//! What a group and a single call can be told: deadlines, caps and what becomes of an abandoned load.

use super::group::Group;
use super::landing::{Landing, OnLanding};
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

/// What becomes of a load when nobody waits for it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAbandoned {
    /// It runs to its end: its result fills a cache, say.
    #[default]
    Finish,
    /// It is dropped, and its flight ends as aborted.
    Abort,
}

/// What one call asks for, where that differs from its group.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    pub(crate) wait_at_most: Option<Duration>,
    pub(crate) max_callers: Option<u32>,
    pub(crate) when_abandoned: Option<WhenAbandoned>,
    pub(crate) max_join_age: Option<Duration>,
}

impl CallOptions {
    /// Ends this call, and no other, with `Error::WaitedTooLong` after so long.
    pub fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait_at_most = Some(wait);
        self
    }

    /// Joins a flight only if fewer than this many callers wait on it.
    pub fn max_callers(mut self, callers: u32) -> Self {
        self.max_callers = Some(callers);
        self
    }

    /// Decides for the load if this is its last caller; one caller who wants it finished is enough.
    pub fn when_abandoned(mut self, policy: WhenAbandoned) -> Self {
        self.when_abandoned = Some(policy);
        self
    }

    /// Joins only a flight younger than this, and begins a new one in the place of an older: for reading what was
    /// written at most so long ago.
    pub fn max_join_age(mut self, age: Duration) -> Self {
        self.max_join_age = Some(age);
        self
    }
}

/// A group's settings.
pub(crate) struct Config<K> {
    pub(crate) deadline: Duration,
    pub(crate) max_callers: u32,
    pub(crate) when_abandoned: WhenAbandoned,
    pub(crate) on_landing: Option<Box<OnLanding<K>>>,
}

/// Builds a [`Group`].
pub struct Builder<K, V, E> {
    config: Config<K>,
    of: PhantomData<fn() -> (V, E)>,
}

const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
const SHORTEST_DEADLINE: Duration = Duration::from_millis(1);
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

impl<K, V, E> Builder<K, V, E> {
    pub(crate) fn new() -> Self {
        let config = Config {
            deadline: DEFAULT_DEADLINE,
            max_callers: u32::MAX,
            when_abandoned: WhenAbandoned::default(),
            on_landing: None,
        };
        Self {
            config,
            of: PhantomData,
        }
    }

    /// When a flight ends at the latest, counted from its load's first suspension: 30 s unless said otherwise, at least a
    /// millisecond and at most a day.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline.clamp(SHORTEST_DEADLINE, LONGEST_DEADLINE);
        self
    }

    /// How many callers may wait on one flight, its leader included; the next gets `Error::Saturated`.
    pub fn max_callers(mut self, callers: u32) -> Self {
        self.config.max_callers = callers;
        self
    }

    /// What becomes of a load when nobody waits for it any more.
    pub fn when_abandoned(mut self, policy: WhenAbandoned) -> Self {
        self.config.when_abandoned = policy;
        self
    }

    /// Called once for each flight when it ends, before any of its callers has the result, and under no lock. It delays
    /// them, so it should only count; a panic in it is swallowed.
    pub fn on_landing(mut self, hook: impl Fn(&Landing<'_, K>) + Send + Sync + 'static) -> Self {
        self.config.on_landing = Some(Box::new(hook));
        self
    }
}

impl<
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
> Builder<K, V, E>
{
    /// The group.
    pub fn build(self) -> Group<K, V, E> {
        Group::with(self.config)
    }
}

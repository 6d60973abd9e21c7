//! [`Strategy`]: what can be done when a cached template has expired and many ask for it.
//!
//! Four of them are this service itself with one setting changed, and three are written out here: [`load_or_store`],
//! [`mutex`] and, for an experiment only, [`memoized`].

mod load_or_store;
mod memoized;
mod mutex;

use serde::{Serialize, Serializer};

pub(super) use load_or_store::LoadOrStore;
pub(super) use memoized::MemoizedFuture;
pub(super) use mutex::MutexPerKey;

use crate::config::Protection;
use crate::freshness::Content;
use crate::outcomes::Source;
use crate::service::{Refusal, TemplateService};
use crate::store::LoadError;
use crate::template::TemplateId;

/// What is done about a stampede.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    Off,
    LoadOrStore,
    Mutex,
    Singleflight,
    Early,
    Stale,
    Memoized,
}

/// What a person may want to know of a strategy before choosing it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct About {
    pub(super) name: &'static str,
    modes: &'static [&'static str],
    protected: bool,
    service: bool,
    pub(super) how: &'static str,
    pub(super) good_at: &'static str,
    pub(super) bad_at: &'static str,
    pub(super) setting: Option<&'static str>,
}

impl Strategy {
    /// Those that a comparison can have.
    pub(super) const ALL: [Self; 6] = [
        Self::Off,
        Self::LoadOrStore,
        Self::Mutex,
        Self::Singleflight,
        Self::Early,
        Self::Stale,
    ];
    pub(super) const USUAL_IN_A_BURST: [Self; 4] = [
        Self::Off,
        Self::LoadOrStore,
        Self::Mutex,
        Self::Singleflight,
    ];
    pub(super) const USUAL_UNDER_TRAFFIC: [Self; 4] =
        [Self::Off, Self::Singleflight, Self::Early, Self::Stale];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        self.about().name
    }

    /// Whether it promises one query per expiry.
    pub(super) fn is_protected(self) -> bool {
        self.about().protected
    }

    /// What it makes of the service's own protection.
    pub(super) fn protection(self) -> Protection {
        match self {
            Self::Off => Protection::Off,
            _ => Protection::Singleflight,
        }
    }

    /// Whether it does anything when the template is gone already.
    pub(super) fn fits_a_burst(self) -> bool {
        self.about().modes.contains(&"burst")
    }

    pub(super) fn about(self) -> About {
        const EVERYWHERE: &[&str] = &["burst", "sustained"];
        const UNDER_TRAFFIC: &[&str] = &["sustained"];
        let (name, modes, protected, setting, [how, good_at, bad_at]) = match self {
            Self::Off => (
                "off",
                EVERYWHERE,
                false,
                Some("PROTECTION=off"),
                [
                    "Every request that misses the cache asks the database itself.",
                    "Simple, and no request ever waits for another.",
                    "Each expiry costs arrival rate x query time queries, when the database can least afford them.",
                ],
            ),
            Self::LoadOrStore => (
                "load-or-store",
                EVERYWHERE,
                false,
                None,
                [
                    "Every request that misses asks the database; the first answer is stored, and the others take that one.",
                    "Everybody ends up with the same value, and nothing is written twice.",
                    "The database is asked as often as without it: only the results are shared, not the work.",
                ],
            ),
            Self::Mutex => (
                "mutex",
                EVERYWHERE,
                true,
                None,
                [
                    "Whoever misses takes the key's mutex and looks a second time; only the first finds nothing and asks.",
                    "One query per expiry, with nothing but a map of mutexes.",
                    "Those who waited look again one after the other; if the load fails, or the cache does not answer, each \
                     of them loads in turn; and somebody has to remove the mutexes again.",
                ],
            ),
            Self::Singleflight => (
                "singleflight",
                EVERYWHERE,
                true,
                Some("PROTECTION=singleflight"),
                [
                    "The first to miss begins the load; whoever asks meanwhile joins it and gets the same result, error or not.",
                    "One query per expiry; everybody is released at once; a caller that leaves harms nobody.",
                    "Each expiry still makes its callers wait for one query, and each process makes a query of its own.",
                ],
            ),
            Self::Early => (
                "early",
                UNDER_TRAFFIC,
                true,
                Some("EARLY_REFRESH=1.0"),
                [
                    "Shortly before the TTL ends, a request is drawn at random to load anew behind its answer (XFetch).",
                    "Under traffic the key never expires, so that nobody waits; answers are always within their TTL.",
                    "A few more queries than expiries; a template that is asked for rarely expires all the same.",
                ],
            ),
            Self::Stale => (
                "stale",
                UNDER_TRAFFIC,
                true,
                Some("STALE_WHILE_REVALIDATE=10s"),
                [
                    "After the TTL the old value still answers, marked as stale, while one load runs behind it.",
                    "Nobody waits, not even for a template that is asked for rarely.",
                    "Answers may be older than the TTL, by as much as the window allows.",
                ],
            ),
            Self::Memoized => (
                "memoized",
                EVERYWHERE,
                true,
                None,
                [
                    "The first caller's load is kept in a map, and every caller gets its outcome.",
                    "One query, with nothing but a map.",
                    "It is never fresh again, an error lasts for ever, and the map only grows.",
                ],
            ),
        };
        About {
            name,
            modes,
            protected,
            service: setting.is_some(),
            how,
            good_at,
            bad_at,
            setting,
        }
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A strategy with everything that it needs.
pub(super) enum Contender {
    Service(TemplateService),
    LoadOrStore(LoadOrStore),
    Mutex(MutexPerKey),
    Memoized(MemoizedFuture),
}

impl Contender {
    /// Asks for a template, and says where the answer came from.
    pub(super) async fn ask(&self, id: TemplateId) -> Result<Source, Refusal> {
        let (source, content) = match self {
            Self::Service(service) => {
                let answer = service.details(id).await?;
                (answer.source, answer.entry.content)
            }
            Self::LoadOrStore(strategy) => strategy.ask(id).await.map_err(refusal)?,
            Self::Mutex(strategy) => strategy.ask(id).await.map_err(refusal)?,
            Self::Memoized(strategy) => strategy.ask(id).await.map_err(refusal)?,
        };
        Ok(match content {
            Content::Template(_) => source,
            Content::Absent | Content::Tombstone => Source::NotFound,
        })
    }
}

fn refusal(error: LoadError) -> Refusal {
    match error {
        LoadError::Busy => Refusal::Shed(crate::outcomes::ShedReason::DbQueue),
        LoadError::Unavailable | LoadError::TimedOut | LoadError::Failed => Refusal::Unavailable,
    }
}

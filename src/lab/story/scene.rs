//! [`Scene`]: one step of the story as a plan: the traffic, the settings, and what breaks when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Protection};
use crate::lab::strategy::Strategy;

/// The steps, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    Cached,
    Expiry,
    Singleflight,
    CacheCut,
    LocalCopies,
    DatabaseCut,
    Everything,
}

/// Which step is asked for. `control` is the step's one switch: without it nothing new happens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoryOrder {
    pub(super) step: Step,
    pub(super) control: bool,
    /// What is broken or switched off by hand, in the last step only.
    pub(super) by_hand: ByHand,
}

/// The switches of the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ByHand {
    pub(super) singleflight: bool,
    pub(super) local_copies: bool,
    pub(super) cache: bool,
    pub(super) database: bool,
}

/// One step as it is played. It is told to the page before the first frame.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Scene {
    pub(super) step: Step,
    pub(super) control: bool,
    pub(super) rate_per_second: u64,
    pub(super) keys: u64,
    pub(super) query_time_ms: u64,
    /// How many queries at once the database runs as fast as one.
    pub(super) knee: u64,
    pub(super) permits: usize,
    pub(super) length_ms: u64,
    pub(super) settings: [String; 3],
    #[serde(skip)]
    protection: Protection,
    #[serde(skip)]
    has_copies: bool,
    /// When the one key expires, if it does.
    #[serde(skip)]
    expires_after: Option<Duration>,
    #[serde(skip)]
    pub(super) cache_cut: Option<Duration>,
    #[serde(skip)]
    pub(super) database_cut: Option<Duration>,
}

const RATE: u64 = 400;
const QUERY_TIME: Duration = Duration::from_millis(100);
const PERMITS: usize = 10;
/// Fewer than the permits: a service rarely knows where its database begins to suffer.
const KNEE: u64 = 4;
const MANY_KEYS: u64 = 50;
/// In steps with one key, the expiry is over soon and is looked at in slow motion.
const ONE_KEY_LENGTH: Duration = Duration::from_millis(1_500);
const MANY_KEYS_LENGTH: Duration = Duration::from_millis(3_000);
/// All is well for so long, so that the difference is seen.
const CALM: Duration = Duration::from_millis(400);
/// How long a template may be cached where a key is to expire once in the run.
const SHORT_TTL: Duration = Duration::from_secs(2);
/// Every copy expires once in a run with many keys.
const USUAL_TTL: Duration = Duration::from_secs(3);
const LONG_TTL: Duration = Duration::from_secs(60);

impl Default for StoryOrder {
    fn default() -> Self {
        Self {
            step: Step::Cached,
            control: true,
            by_hand: ByHand::default(),
        }
    }
}

impl Default for ByHand {
    fn default() -> Self {
        Self {
            singleflight: true,
            local_copies: true,
            cache: true,
            database: true,
        }
    }
}

impl Step {
    pub(super) const ALL: [Self; 7] = [
        Self::Cached,
        Self::Expiry,
        Self::Singleflight,
        Self::CacheCut,
        Self::LocalCopies,
        Self::DatabaseCut,
        Self::Everything,
    ];
}

impl StoryOrder {
    /// The scene, or why there is none.
    pub(super) fn check(self) -> Result<Scene, &'static str> {
        let Self {
            step,
            control,
            by_hand,
        } = self;
        if step != Step::Everything && by_hand != ByHand::default() {
            return Err("by_hand belongs to step everything");
        }
        let cut_unless = |well: bool| (!well).then_some(CALM);
        let (singleflight, has_copies) = match step {
            Step::Cached | Step::Expiry => (false, false),
            Step::Singleflight => (control, false),
            Step::CacheCut => (true, false),
            Step::LocalCopies => (true, control),
            Step::DatabaseCut => (true, true),
            Step::Everything => (by_hand.singleflight, by_hand.local_copies),
        };
        let cache_cut = match step {
            Step::Cached => cut_unless(control),
            Step::Expiry | Step::Singleflight => None,
            Step::CacheCut => cut_unless(!control),
            Step::LocalCopies | Step::DatabaseCut => Some(CALM),
            Step::Everything => cut_unless(by_hand.cache),
        };
        let database_cut = match step {
            Step::DatabaseCut => cut_unless(!control),
            Step::Everything => cut_unless(by_hand.database),
            _ => None,
        };
        let expires = matches!(
            (step, control),
            (Step::Expiry, true) | (Step::Singleflight, _)
        );
        let one_key = matches!(step, Step::Cached | Step::Expiry | Step::Singleflight);
        let (keys, length) = if one_key {
            (1, ONE_KEY_LENGTH)
        } else {
            (MANY_KEYS, MANY_KEYS_LENGTH)
        };
        let scene = Scene {
            step,
            control,
            rate_per_second: RATE,
            keys,
            query_time_ms: QUERY_TIME.as_millis() as u64,
            knee: KNEE,
            permits: PERMITS,
            length_ms: length.as_millis() as u64,
            settings: Default::default(),
            protection: if singleflight {
                Protection::Singleflight
            } else {
                Protection::Off
            },
            has_copies,
            expires_after: expires.then_some(CALM),
            cache_cut,
            database_cut,
        };
        Ok(scene)
    }
}

impl Scene {
    pub(super) fn strategy(&self) -> Strategy {
        match self.protection {
            Protection::Off => Strategy::Off,
            Protection::Singleflight => Strategy::Singleflight,
        }
    }

    /// Nothing is cut in the last step. Then nothing expires either, so that its picture is calm.
    fn all_is_well(&self) -> bool {
        self.step == Step::Everything && self.cache_cut.is_none() && self.database_cut.is_none()
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms)
    }

    /// How long the run waits after everything was cached, so that the key expires when it is to.
    pub(super) fn wait_before(&self) -> Duration {
        self.expires_after
            .map_or(Duration::ZERO, |after| SHORT_TTL.saturating_sub(after))
    }

    /// The service's own settings but for those that the step is about. Notes what they are.
    pub(super) fn config(&mut self, own: &Config) -> Config {
        let config = Config {
            protection: self.protection,
            local_entries: if self.has_copies { 10_000 } else { 0 },
            // Without local copies there is nothing that could be stale: one setting differs from step to step.
            stale_for: own.stale_for.max(Duration::from_secs(60)),
            early_refresh: None,
            fleet_lease: false,
            stale_while_revalidate: Duration::ZERO,
            near_for: Duration::ZERO,
            cache_ttl: if self.expires_after.is_some() {
                SHORT_TTL
            } else if self.keys == 1 || self.all_is_well() {
                LONG_TTL
            } else {
                USUAL_TTL
            },
            cache_ttl_jitter: 0.0,
            db_delay: QUERY_TIME,
            db_max_connections: PERMITS,
            db_queue_timeout: Duration::from_millis(500),
            db_timeout: own.db_timeout + QUERY_TIME,
            request_timeout: own.request_timeout + QUERY_TIME,
            ..own.clone()
        };
        let protection = match self.protection {
            Protection::Singleflight => "singleflight",
            Protection::Off => "off",
        };
        self.settings = [
            format!("PROTECTION={protection}"),
            format!("LOCAL_ENTRIES={}", config.local_entries),
            format!("STALE_FOR={}", humantime::format_duration(config.stale_for)),
        ];
        config
    }
}

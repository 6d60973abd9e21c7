//! [`StampedePlan`] and [`IncidentPlan`]: what a run is to do, checked against the [limits](LIMITS).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{LIMITS, USUAL_KNEE};
use super::strategy::Strategy;
use crate::template::TemplateId;

/// A stampede as it is asked for: what is left out is as usual.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StampedeOrder {
    /// `burst` or `sustained`.
    pub mode: Option<String>,
    /// For which template.
    pub template: Option<u64>,
    /// How long the database takes.
    pub query_time_ms: Option<u64>,
    /// How many queries at once are as fast as one.
    pub knee: Option<u64>,
    /// `lifted` or `kept`.
    pub limits: Option<String>,
    /// Strategies by name.
    pub strategies: Option<Vec<String>>,
    /// In a burst: how many ask.
    pub callers: Option<u64>,
    /// In a burst: over which time they arrive.
    pub spread_ms: Option<u64>,
    /// Under sustained traffic: how many arrive.
    pub rate_per_second: Option<u64>,
    /// Under sustained traffic: how long an answer holds.
    pub ttl_ms: Option<u64>,
    /// Under sustained traffic: for how long.
    pub duration_ms: Option<u64>,
}

/// The same expiry for each of some strategies.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StampedePlan {
    #[serde(flatten)]
    pub(super) load: Load,
    pub(super) template: TemplateId,
    pub(super) query_time_ms: u64,
    pub(super) knee: u64,
    pub(super) limits: DatabaseLimits,
    pub(super) strategies: Vec<Strategy>,
}

/// How requests arrive.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub(super) enum Load {
    /// Once, for a template that has just expired.
    Burst { callers: usize, spread_ms: u64 },
    /// For a while, for a template that expires again and again.
    Sustained {
        rate_per_second: u64,
        ttl_ms: u64,
        duration_ms: u64,
    },
}

/// What becomes of the service's own limits at the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DatabaseLimits {
    /// Every query gets through in the end.
    Lifted,
    /// They hold, and refuse.
    Kept,
}

impl StampedeOrder {
    pub(super) fn check(self) -> Result<StampedePlan, &'static str> {
        let (load, usual) = match self.mode.as_deref() {
            None | Some("burst") => (self.burst()?, &Strategy::USUAL_IN_A_BURST),
            Some("sustained") => (self.sustained()?, &Strategy::USUAL_UNDER_TRAFFIC),
            Some(_) => return Err("mode must be burst or sustained"),
        };
        let template = self.template.unwrap_or(1).try_into().ok();
        Ok(StampedePlan {
            template: template
                .and_then(TemplateId::new)
                .ok_or("template must be a whole number from 1")?,
            query_time_ms: LIMITS.query_time_ms.check(self.query_time_ms, 100)?,
            knee: LIMITS.knee.check(self.knee, USUAL_KNEE)?,
            limits: match self.limits.as_deref() {
                None | Some("lifted") => DatabaseLimits::Lifted,
                Some("kept") => DatabaseLimits::Kept,
                Some(_) => return Err("limits must be lifted or kept"),
            },
            strategies: match &self.strategies {
                None => usual.to_vec(),
                Some(names) => strategies(names, load)?,
            },
            load,
        })
    }

    fn burst(&self) -> Result<Load, &'static str> {
        if self
            .rate_per_second
            .or(self.ttl_ms)
            .or(self.duration_ms)
            .is_some()
        {
            return Err("rate_per_second, ttl_ms and duration_ms belong to mode sustained");
        }
        Ok(Load::Burst {
            callers: LIMITS.callers.check(self.callers, 500)? as usize,
            spread_ms: LIMITS.spread_ms.check(self.spread_ms, 0)?,
        })
    }

    fn sustained(&self) -> Result<Load, &'static str> {
        if self.callers.or(self.spread_ms).is_some() {
            return Err("callers and spread_ms belong to mode burst");
        }
        Ok(Load::Sustained {
            rate_per_second: LIMITS.rate_per_second.check(self.rate_per_second, 200)?,
            ttl_ms: LIMITS.ttl_ms.check(self.ttl_ms, 1_000)?,
            duration_ms: LIMITS.duration_ms.check(self.duration_ms, 5_000)?,
        })
    }
}

fn strategies(names: &[String], load: Load) -> Result<Vec<Strategy>, &'static str> {
    let mut strategies = Vec::with_capacity(names.len());
    for name in names {
        let strategy = Strategy::named(name)
            .ok_or("strategies are off, load-or-store, mutex, singleflight, early and stale")?;
        if matches!(load, Load::Burst { .. }) && !strategy.fits_a_burst() {
            return Err("early and stale make sense in mode sustained only");
        }
        if strategies.contains(&strategy) {
            return Err("strategies names one of them twice");
        }
        strategies.push(strategy);
    }
    if strategies.is_empty() {
        return Err("strategies must name at least one");
    }
    Ok(strategies)
}

impl StampedePlan {
    pub(super) fn query_time(&self) -> Duration {
        Duration::from_millis(self.query_time_ms)
    }
}

/// An incident as it is asked for: what is left out is as usual.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncidentOrder {
    /// How many requests arrive.
    pub rate_per_second: Option<u64>,
    /// How long the database takes.
    pub query_time_ms: Option<u64>,
    /// How many queries at once are as fast as one.
    pub knee: Option<u64>,
    /// How long an answer holds.
    pub ttl_ms: Option<u64>,
    /// For how long all is well.
    pub warm_ms: Option<u64>,
    /// For how long the cache does not answer.
    pub outage_ms: Option<u64>,
    /// For how long it does again.
    pub recovery_ms: Option<u64>,
}

/// The cache is black-holed under traffic, and comes back.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct IncidentPlan {
    pub(super) rate_per_second: u64,
    pub(super) query_time_ms: u64,
    pub(super) knee: u64,
    pub(super) ttl_ms: u64,
    pub(super) warm_ms: u64,
    pub(super) outage_ms: u64,
    pub(super) recovery_ms: u64,
}

impl IncidentOrder {
    pub(super) fn check(self) -> Result<IncidentPlan, &'static str> {
        Ok(IncidentPlan {
            // One query per template at a time is still more than the database can answer.
            rate_per_second: LIMITS.rate_per_second.check(self.rate_per_second, 400)?,
            query_time_ms: LIMITS.query_time_ms.check(self.query_time_ms, 100)?,
            knee: LIMITS.knee.check(self.knee, USUAL_KNEE)?,
            ttl_ms: LIMITS.ttl_ms.check(self.ttl_ms, 2_000)?,
            warm_ms: LIMITS.phase_ms.check(self.warm_ms, 3_000)?,
            outage_ms: LIMITS.phase_ms.check(self.outage_ms, 5_000)?,
            recovery_ms: LIMITS.phase_ms.check(self.recovery_ms, 3_000)?,
        })
    }
}

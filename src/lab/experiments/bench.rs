//! [`Bench`]: one case while it runs: a service of its own, traffic on some keys, and what is counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::backends::Backends;
use crate::config::{Config, Protection};
use crate::fault::Fault;
use crate::lab::arrivals::arrive;
use crate::lab::milliseconds;
use crate::lab::stage::{Ground, Stage};
use crate::lab::strategy::Strategy;
use crate::lab::tally::{Summary, Tally};
use crate::outcomes::Source;
use crate::template::TemplateId;

/// Most queries at once, and as many as the database runs without getting slower: what is measured is the queue.
pub(super) const SLOTS: usize = 10;

/// Longest that a query waits for a connection.
pub(super) const QUEUE_TIMEOUT: Duration = Duration::from_millis(500);

/// One case while it runs.
pub(in crate::lab) struct Bench {
    stage: Arc<Stage>,
    tally: Arc<Tally>,
    before: u64,
}

/// What was counted in a case.
pub(in crate::lab) struct Counted {
    pub(in crate::lab) queries: f64,
    /// Attempts to query, also those that were given up before a query was sent.
    pub(super) loads: f64,
    /// The most queries that ran or waited at the same time.
    pub(super) peak: f64,
    pub(super) failed: f64,
    pub(super) stale: f64,
    pub(super) near: f64,
    pub(super) slowest_ms: f64,
    /// The longest time without a new query, and so the age that an answer reached.
    pub(super) oldest_ms: f64,
}

/// The service's settings without anything that would hide what is compared.
pub(in crate::lab) fn settings(own: &Config) -> Config {
    Config {
        database_url: None,
        redis_url: None,
        protection: Protection::Singleflight,
        early_refresh: None,
        fleet_lease: false,
        stale_while_revalidate: Duration::ZERO,
        stale_for: Duration::ZERO,
        soft_timeout: Duration::ZERO,
        near_for: Duration::ZERO,
        local_entries: 0,
        cache_ttl_jitter: 0.0,
        db_delay: Duration::ZERO,
        db_max_connections: SLOTS,
        db_queue_timeout: QUEUE_TIMEOUT,
        max_waiters: u32::MAX,
        db_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(30),
        ..own.clone()
    }
}

impl Bench {
    pub(in crate::lab) async fn open(
        ground: &Ground,
        config: &Config,
        strategy: Strategy,
    ) -> Result<Self, String> {
        let backends = Backends::new(config).map_err(|problems| problems.to_string())?;
        let own = Ground {
            config: config.clone(),
            backends,
            metrics: Arc::clone(&ground.metrics),
            flights: Arc::clone(&ground.flights),
            traces: Arc::clone(&ground.traces),
        };
        let stage = Stage::open(&own, config, strategy, "experiment", SLOTS as u64, None);
        Ok(Self::of(stage.await?))
    }

    /// As [`Bench::open`], on the service's own database and cache, which is made to forget the first template.
    pub(super) async fn beside(ground: &Ground, config: &Config) -> Result<Self, String> {
        let (strategy, expired) = (Strategy::Singleflight, Some(template(1)));
        let stage = Stage::open(
            ground,
            config,
            strategy,
            "experiment",
            SLOTS as u64,
            expired,
        );
        Ok(Self::of(stage.await?))
    }

    fn of(stage: Stage) -> Self {
        Self {
            stage: Arc::new(stage),
            tally: Arc::default(),
            before: 0,
        }
    }

    /// Has the first so many templates cached at nearly the same time. It is in no figure.
    pub(super) async fn fill(&mut self, keys: u64) {
        let aside = Tally::default();
        for number in 1..=keys {
            self.stage.request(template(number), &aside).await;
        }
        self.before = self.stage.demand.sent();
    }

    /// From now on a query takes this much longer.
    pub(in crate::lab) fn slow_down(&self, by: Duration) {
        let slow = if by.is_zero() {
            Fault::None
        } else {
            Fault::Slow(by)
        };
        self.stage.faults.database.set(slow);
    }

    /// From now on no request has an answer from the cache.
    #[cfg(test)]
    pub(in crate::lab) fn take_the_cache_away(&self) {
        self.stage.faults.cache.set(Fault::Refused);
    }

    /// So many requests a second for so long, for any of the first so many templates; then waits for their answers.
    pub(in crate::lab) async fn traffic(
        &self,
        per_second: u64,
        keys: u64,
        longest: Duration,
    ) -> Counted {
        let mut requests = JoinSet::new();
        let request = || self.request(1 + fastrand::u64(..keys));
        let mut oldest = Duration::ZERO;
        tokio::select! {
            _ = arrive(&mut requests, per_second, longest, request) => {}
            () = self.watch(&mut oldest) => {}
        }
        requests.join_all().await;
        self.counted(oldest)
    }

    /// So many requests at the same moment, for one template; then waits for their answers.
    pub(super) async fn burst(&self, callers: usize) -> Counted {
        let together = Arc::new(Barrier::new(callers));
        let mut requests = JoinSet::new();
        for _ in 0..callers {
            let (together, request) = (Arc::clone(&together), self.request(1));
            requests.spawn(async move {
                together.wait().await;
                request.await;
            });
        }
        requests.join_all().await;
        self.counted(Duration::ZERO)
    }

    fn request(&self, number: u64) -> impl Future<Output = ()> + Send + use<> {
        let (stage, tally) = (Arc::clone(&self.stage), Arc::clone(&self.tally));
        async move { stage.request(template(number), &tally).await }
    }

    /// Looks for ever how long no new query has been sent.
    async fn watch(&self, oldest: &mut Duration) {
        let (mut sent, mut since) = (self.stage.demand.sent(), Instant::now());
        let mut clock = interval(Duration::from_millis(10));
        loop {
            clock.tick().await;
            if self.stage.demand.sent() != sent {
                (sent, since) = (self.stage.demand.sent(), Instant::now());
            }
            *oldest = since.elapsed().max(*oldest);
        }
    }

    fn counted(&self, oldest: Duration) -> Counted {
        let Summary {
            errors,
            max_ms,
            sources,
            ..
        } = self.tally.summary();
        Counted {
            queries: (self.stage.demand.sent() - self.before) as f64,
            loads: self.stage.demand.asked() as f64,
            peak: self.stage.demand.most() as f64,
            failed: errors as f64,
            stale: sources.count(Source::Stale) as f64,
            near: sources.count(Source::Near) as f64,
            slowest_ms: max_ms,
            oldest_ms: milliseconds(oldest),
        }
    }
}

fn template(number: u64) -> TemplateId {
    let number = i64::try_from(number).ok().and_then(TemplateId::new);
    number.expect("a number from 1")
}

//! Several replicas, each with a group of its own: what a lease and near copies add.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use super::About;
use super::bench::{Bench, settings};
use super::result::{Case, Figure};
use crate::config::Config;
use crate::lab::stage::Ground;

pub(super) const ABOUT: About = About {
    name: "replicas",
    question: "What is left to do when there are several replicas?",
    setup: "Four services in this process share a Redis and a database, which must be configured (REDIS_URL). One key with a \
            TTL of 500 ms is asked for 400 times/s, evenly on all four, during 2 s. A query takes 50 ms.",
    formula: "Each replica that is asked during the query makes one of its own: 4 at each of 2 s / 550 ms expiries. With a \
              lease: one. With near copies a replica asks Redis once in 200 ms: 800 requests less 4 x 2 s / 200 ms.",
    columns: ["queries", "near answers", "failed"],
    answer: "Singleflight is one query per process. Four replicas are four queries per expiry, which is often good enough; a \
             lease in Redis makes it one. Near copies take most of the load off Redis, and cost answers that are as much older.",
    takes: Duration::from_secs(7),
};

const REPLICAS: usize = 4;
const TTL: Duration = Duration::from_millis(500);
const QUERY: Duration = Duration::from_millis(50);
const NEAR: Duration = Duration::from_millis(200);
const LASTS: Duration = Duration::from_secs(2);
const PER_SECOND: u64 = 400;

pub(super) async fn cases(ground: &Ground) -> Result<Vec<Case>, String> {
    if ground.config.redis_url.is_none() {
        return Err("this experiment needs a Redis that replicas share: set REDIS_URL".into());
    }
    let (expiries, requests) = (
        LASTS.as_secs_f64() / (TTL + QUERY).as_secs_f64(),
        PER_SECOND as f64 * LASTS.as_secs_f64(),
    );
    let asks = REPLICAS as f64 * LASTS.as_secs_f64() / NEAR.as_secs_f64();
    let mut cases = Vec::new();
    for (name, setting, fleet_lease, near_for, queries, near) in [
        (
            "singleflight",
            "FLEET_LEASE=false",
            false,
            Duration::ZERO,
            REPLICAS as f64,
            0.0,
        ),
        (
            "and a lease",
            "FLEET_LEASE=true",
            true,
            Duration::ZERO,
            1.0,
            0.0,
        ),
        (
            "and near copies",
            "NEAR_FOR=200ms",
            true,
            NEAR,
            1.0,
            requests - asks,
        ),
    ] {
        let config = Config {
            database_url: ground.config.database_url.clone(),
            redis_url: ground.config.redis_url.clone(),
            fleet_lease,
            near_for,
            local_entries: 1_000,
            cache_ttl: TTL,
            db_delay: QUERY,
            // A lookup that is late on a busy machine is no reason for another query.
            redis_timeout: Duration::from_secs(1),
            ..settings(&ground.config)
        };
        // One after another: they would find each other's entries.
        let replicas = (0..REPLICAS).map(|_| Bench::beside(ground, &config));
        let replicas = try_join_all(replicas).await?;
        let each = PER_SECOND / REPLICAS as u64;
        let counted = join_all(replicas.iter().map(|bench| bench.traffic(each, 1, LASTS))).await;
        let sum = |of: fn(&super::bench::Counted) -> f64| counted.iter().map(of).sum::<f64>();
        cases.push(Case {
            case: name.into(),
            settings: vec![setting.into()],
            figures: [
                Figure::only(sum(|counted| counted.queries)).about(queries * expiries),
                Figure::only(sum(|counted| counted.near)).about(near),
                Figure::only(sum(|counted| counted.failed)).exactly(0.0),
            ],
        });
    }
    Ok(cases)
}

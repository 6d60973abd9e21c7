//! What becomes of those who wait when the load fails? One mutex per key, against one load for all.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::About;
use super::bench::{Bench, SLOTS, settings};
use super::result::{Case, Figure};
use crate::config::Config;
use crate::lab::stage::Ground;
use crate::lab::strategy::Strategy;

pub(super) const ABOUT: About = About {
    name: "failing-load",
    question: "What becomes of those who wait for a load that fails?",
    setup: "20 callers ask for one key at the same moment. No query is answered: each is given up after DB_TIMEOUT = 200 ms. \
            10 queries run at once.",
    formula: "Off: 20 loads, ten at a time: 2 x 200 ms. Mutex: each caller finds nothing and tries again, one after \
              another: 20 x 200 ms. Singleflight: one load, whose error all of them get: 200 ms.",
    columns: ["loads", "failed", "slowest ms"],
    answer: "A mutex makes a convoy: the load failed for the first, so that the second tries it, and the last one waits for \
             all of them in turn. With singleflight those who waited share the error as they would have shared the answer, at \
             once. The next caller begins a new load, so that an error is never kept.",
    takes: Duration::from_millis(4_300),
};

const CALLERS: usize = 20;
const GIVEN_UP_AFTER: Duration = Duration::from_millis(200);

pub(super) async fn cases(ground: &Ground) -> Result<Vec<Case>, String> {
    let strategies = [Strategy::Off, Strategy::Mutex, Strategy::Singleflight];
    try_join_all(strategies.map(|strategy| case(ground, strategy))).await
}

async fn case(ground: &Ground, strategy: Strategy) -> Result<Case, String> {
    let config = Config {
        protection: strategy.protection(),
        db_delay: GIVEN_UP_AFTER * 100,
        db_timeout: GIVEN_UP_AFTER,
        db_queue_timeout: Duration::from_secs(10),
        ..settings(&ground.config)
    };
    let bench = Bench::open(ground, &config, strategy).await?;
    let counted = bench.burst(CALLERS).await;
    let (loads, in_a_row) = match strategy {
        Strategy::Off => (CALLERS, CALLERS.div_ceil(SLOTS)),
        Strategy::Mutex => (CALLERS, CALLERS),
        _ => (1, 1),
    };
    let slowest = GIVEN_UP_AFTER.as_millis() as f64 * in_a_row as f64;
    Ok(Case {
        case: strategy.name().into(),
        settings: strategy
            .about()
            .setting
            .map(str::to_owned)
            .into_iter()
            .collect(),
        figures: [
            Figure::only(counted.loads).exactly(loads as f64),
            Figure::only(counted.failed).exactly(CALLERS as f64),
            Figure::only(counted.slowest_ms).at_least(slowest, slowest * 0.9),
        ],
    })
}

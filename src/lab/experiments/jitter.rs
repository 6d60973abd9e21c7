//! Does it help to give each key a slightly different TTL? Many keys that were filled together, and one hot key.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::About;
use super::bench::{Bench, QUEUE_TIMEOUT, SLOTS, settings};
use super::result::{Case, Figure};
use crate::config::Config;
use crate::lab::stage::Ground;
use crate::lab::strategy::Strategy;

pub(super) const ABOUT: About = About {
    name: "jitter",
    question: "Is it enough to give each key a slightly different TTL?",
    setup: "60 keys are cached at the same moment for 2 s, and 600 requests/s ask for all of them; then one hot key, asked \
            for 400 times/s. A query takes 100 ms, and 10 run at once: 100 queries/s.",
    formula: "Many keys expire within jitter x TTL. With singleflight, if that is more than 100 queries/s, 60 - 100/s x (jitter \
              x TTL + 0.1 s) queue up; else 60 x 0.1 s / (jitter x TTL) run on average. Without it the queue fills to its limit \
              of 60; at 50% it feeds on itself, and nothing is predicted. One hot key: rate x query time, or one with \
              singleflight; jitter is not in it.",
    columns: ["peak queries", "failed", "slowest ms"],
    answer: "For many keys that were filled together, jitter spreads the queries over time, and singleflight does not: each \
             key needs a query of its own. For one hot key jitter does nothing, because there is nothing to spread, and \
             singleflight makes it one query. They are remedies for two different diseases: use both.",
    takes: Duration::from_secs(7),
};

const TTL: Duration = Duration::from_secs(2);
const QUERY: Duration = Duration::from_millis(100);
/// The time in which every first copy expires, and the queue that they leave empties.
const LASTS: Duration = Duration::from_millis(2_800);
const JITTERS: [f64; 3] = [0.0, 0.1, 0.5];

/// How many keys are asked for, and how often all together.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    keys: u64,
    per_second: u64,
}

const MANY: Load = Load {
    name: "many keys",
    keys: 60,
    per_second: 600,
};
const HOT: Load = Load {
    name: "hot key",
    keys: 1,
    per_second: 400,
};

pub(super) async fn cases(ground: &Ground) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for load in [MANY, HOT] {
        let side_by_side = [Strategy::Off, Strategy::Singleflight]
            .into_iter()
            .flat_map(|strategy| JITTERS.map(|jitter| case(ground, load, strategy, jitter)));
        cases.extend(try_join_all(side_by_side).await?);
    }
    Ok(cases)
}

async fn case(
    ground: &Ground,
    load: Load,
    strategy: Strategy,
    jitter: f64,
) -> Result<Case, String> {
    let own = settings(&ground.config);
    let config = Config {
        protection: strategy.protection(),
        cache_ttl: TTL,
        cache_ttl_jitter: jitter,
        ..own
    };
    let mut bench = Bench::open(ground, &config, strategy).await?;
    bench.fill(load.keys).await;
    bench.slow_down(QUERY);
    let counted = bench.traffic(load.per_second, load.keys, LASTS).await;
    let (percent, off) = ((jitter * 100.0).round(), strategy == Strategy::Off);
    let failed = Figure::only(counted.failed);
    // With singleflight the queue has room for every key.
    let failed = if off {
        failed
    } else {
        failed.predicted(0.0, 0.0, load.per_second as f64 / 50.0)
    };
    Ok(Case {
        case: format!("{}, {percent}%, {}", load.name, strategy.name()),
        settings: vec![
            format!("CACHE_TTL_JITTER={percent}%"),
            format!("PROTECTION={}", strategy.name()),
        ],
        figures: [
            peak(Figure::only(counted.peak), load, off, jitter),
            failed,
            Figure::only(counted.slowest_ms),
        ],
    })
}

/// The most queries at once, as the formula has it.
fn peak(measured: Figure, load: Load, off: bool, jitter: f64) -> Figure {
    let (keys, query) = (load.keys as f64, QUERY.as_secs_f64());
    let (rate, capacity) = (load.per_second as f64, SLOTS as f64 / query);
    let spread = jitter * TTL.as_secs_f64();
    let limit = SLOTS as f64 + capacity * QUEUE_TIMEOUT.as_secs_f64();
    if load.keys == 1 {
        let asked = rate * query;
        return match off {
            true => measured.predicted(asked, asked / 2.0, limit * 2.0),
            false => measured.exactly(1.0),
        };
    }
    let is_too_fast = keys > capacity * spread;
    match (off, is_too_fast) {
        (true, true) => measured.about(limit),
        // The longer a query waits, the more callers miss the same key meanwhile: chance decides how many.
        (true, false) => measured,
        // A key is noticed when it is asked for.
        (false, true) => measured.about(keys - capacity * (spread + keys / rate)),
        // On average; at times it is several times as many.
        (false, false) => {
            let at_once = keys / spread * query;
            measured.predicted(at_once, at_once / 2.0, at_once * 4.0)
        }
    }
}

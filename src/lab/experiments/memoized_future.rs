//! Why not keep the first caller's future in a map? "One query for ever, and never fresh."

use std::time::Duration;

use futures_util::future::try_join_all;

use super::About;
use super::bench::{Bench, settings};
use super::result::{Case, Figure};
use crate::config::Config;
use crate::lab::milliseconds;
use crate::lab::stage::Ground;
use crate::lab::strategy::Strategy;

pub(super) const ABOUT: About = About {
    name: "memoized-future",
    question: "Why not simply keep the first caller's future in a map, for everyone?",
    setup: "One key is asked for 100 times/s during 2.5 s; its TTL is 500 ms. Once as it should be, and once while the database \
            fails for the first 300 ms.",
    formula: "Memoized: one query, and its outcome for ever: answers as old as the run, or 100/s x 2.5 s errors. Singleflight \
              forgets a load when it ends: a query per TTL, answers no older than that, errors only while the load fails.",
    columns: ["queries", "failed", "oldest ms"],
    answer: "A future that stays in the map is a cache without an end: the answer is never fresh again, and an error lasts for \
             ever. Singleflight keeps a load only while it runs; how long an answer lasts is the cache's business, and errors \
             are not kept at all.",
    takes: Duration::from_millis(2_700),
};

const TTL: Duration = Duration::from_millis(500);
const LASTS: Duration = Duration::from_millis(2_500);
const FAILS_FOR: Duration = Duration::from_millis(300);
const GIVEN_UP_AFTER: Duration = Duration::from_millis(100);
const PER_SECOND: u64 = 100;

pub(super) async fn cases(ground: &Ground) -> Result<Vec<Case>, String> {
    let cases = [false, true].into_iter().flat_map(|fails_first| {
        [Strategy::Memoized, Strategy::Singleflight]
            .map(|strategy| case(ground, strategy, fails_first))
    });
    try_join_all(cases).await
}

async fn case(ground: &Ground, strategy: Strategy, fails_first: bool) -> Result<Case, String> {
    let config = Config {
        cache_ttl: TTL,
        db_delay: Duration::from_millis(20),
        db_timeout: if fails_first { GIVEN_UP_AFTER } else { LASTS },
        ..settings(&ground.config)
    };
    let bench = Bench::open(ground, &config, strategy).await?;
    let fault = async {
        if fails_first {
            bench.slow_down(LASTS);
            tokio::time::sleep(FAILS_FOR).await;
            bench.slow_down(Duration::ZERO);
        }
    };
    let (counted, ()) = tokio::join!(bench.traffic(PER_SECOND, 1, LASTS), fault);
    let (queries, failed, oldest) = (
        Figure::only(counted.queries),
        Figure::only(counted.failed),
        Figure::only(counted.oldest_ms),
    );
    let requests = PER_SECOND as f64 * LASTS.as_secs_f64();
    let (ttl, lasts) = (milliseconds(TTL), milliseconds(LASTS));
    let fails_meanwhile = PER_SECOND as f64 * (FAILS_FOR + GIVEN_UP_AFTER).as_secs_f64();
    let figures = match (strategy, fails_first) {
        (Strategy::Memoized, false) => [
            queries.exactly(1.0),
            failed.exactly(0.0),
            oldest.at_least(lasts, lasts * 0.8),
        ],
        (Strategy::Memoized, true) => [
            queries.exactly(1.0),
            failed.predicted(requests, requests * 0.8, requests),
            oldest,
        ],
        (_, false) => [
            queries.about(lasts / ttl),
            failed.exactly(0.0),
            oldest.predicted(ttl, ttl * 0.8, ttl * 3.0),
        ],
        (_, true) => [
            queries,
            failed.predicted(fails_meanwhile, 1.0, requests / 2.0),
            oldest.predicted(ttl, ttl * 0.8, ttl * 3.0),
        ],
    };
    let fate = if fails_first {
        ", first load fails"
    } else {
        ""
    };
    Ok(Case {
        case: format!("{}{fate}", strategy.name()),
        settings: vec![format!("CACHE_TTL={}ms", TTL.as_millis())],
        figures,
    })
}

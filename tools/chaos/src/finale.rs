//! What must hold once everything is mended and nobody asks any more: as if nothing had happened.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use testkit::Scrape;
use testkit::http::Client;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ask::ask;
use crate::stage::{ALL_WELL, Stage};
use crate::tally::Tally;
use crate::watch::Level;

/// The longest that anything may take to be as before.
const PATIENCE: Duration = Duration::from_secs(15);

/// The gauges that say that nothing is under way.
const GAUGES: [&str; 2] = ["db_queries_in_flight", "singleflight_in_flight"];

/// How many more there may be of what is held for later use: idle database connections, each with both of the
/// proxy's sides, and what the allocator keeps.
const TASKS: usize = 2;
const DESCRIPTORS: usize = 40;
const MIB: u64 = 48;

/// More different templates than there are slots.
const ENOUGH: i64 = 30;

/// Checks everything, and returns what is in use at the end.
pub(crate) async fn check(stage: &Stage, tally: &Tally, service: &Handle, before: Level) -> Level {
    let expect = |what: &str, holds: bool| {
        if !holds {
            tally.violation(&format!("at the end, {what}"));
        }
    };
    let ready = within(async || says_all_well(stage).await).await;
    expect("/readyz does not say that all is well", ready);
    expect(
        "fewer queries than there are slots can run at once",
        fills_all_slots(stage).await,
    );
    let hit = within(async || is_hit(stage).await).await;
    expect("requests do not hit", hit);
    let idle = within(async || is_idle(&stage.service.scrape().await)).await;
    expect("something is still under way", idle);
    let counters = stage.service.scrape().await;
    let (requests, answers) = (
        requests(&counters),
        counters.sum("template_responses_total"),
    );
    expect(
        &format!("{requests} requests, {answers} answers"),
        requests == answers,
    );
    let shed = counters.value("template_responses_total{source=\"shed\"}");
    let reasons = counters.sum("requests_shed_total");
    expect(
        &format!("{shed} requests shed for {reasons} reasons"),
        shed == reasons,
    );
    let level = || Level::now(service);
    let flat = within(async || is_flat(before, level())).await;
    expect(&format!("in use: {:?}, before: {before:?}", level()), flat);
    level()
}

/// Asks until it holds, or for too long.
async fn within(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if holds().await {
            return true;
        }
        if began.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn says_all_well(stage: &Stage) -> bool {
    let answer = ask(&Client::new(), &stage.service.url("/readyz")).await;
    answer.is_ok_and(|answer| answer.text() == ALL_WELL)
}

/// Whether as many queries as there are slots can run at once: none was lost with a query that did not end.
async fn fills_all_slots(stage: &Stage) -> bool {
    let lock = stage.lock().await;
    stage.redis.cli(&["FLUSHALL"]).await;
    let client = Client::new();
    let mut asking = JoinSet::new();
    for id in 1..=ENOUGH {
        let (client, url) = (client.clone(), stage.url_of(id));
        asking.spawn(async move { ask(&client, &url).await });
    }
    let filled = within(async || {
        let counters = stage.service.scrape().await;
        counters.value("db_queries_in_flight") == counters.value("db_slots")
    });
    let filled = filled.await;
    lock.close().await.expect("a goodbye");
    asking.join_all().await;
    filled
}

/// Whether the second of two requests is answered from Redis.
async fn is_hit(stage: &Stage) -> bool {
    let client = Client::new();
    for id in 1..=20 {
        let _fills = ask(&client, &stage.url_of(id)).await;
        let Ok(answer) = ask(&client, &stage.url_of(id)).await else {
            return false;
        };
        let status = answer.header("cache-status").unwrap_or_default();
        if !status.contains("; hit; ") || status.contains("detail") {
            return false;
        }
    }
    true
}

fn is_idle(counters: &Scrape) -> bool {
    // The scrape itself is the one request.
    GAUGES.iter().all(|gauge| counters.value(gauge) == 0.0)
        && counters.value("http_in_flight_requests") == 1.0
}

fn requests(counters: &Scrape) -> f64 {
    let series = |status| {
        format!(
            "http_request_total{{path=\"/template-details\",method=\"GET\",status=\"{status}\"}}"
        )
    };
    (200..600)
        .filter_map(|status| counters.find(&series(status)))
        .sum()
}

fn is_flat(before: Level, now: Level) -> bool {
    now.tasks <= before.tasks + TASKS
        && now.descriptors <= before.descriptors + DESCRIPTORS
        && now.mib <= before.mib + MIB
}

//! Every state of Redis with every state of the database: for one replica, and for two that take turns to load.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{Mode, Proxy, Service, eventually, mysql, postgres, redis};

use super::ALL_WELL;

/// What the parts of a request may take in these tests, and what a busy machine may add before it looks like hanging.
const SETTINGS: [(&str, &str); 3] = [
    ("DB_TIMEOUT", "300ms"),
    ("DB_QUEUE_TIMEOUT", "100ms"),
    ("CACHE_TTL", "500ms"),
];
const BUDGET: Duration = Duration::from_millis(50 + 100 + 300 + 250);
/// How long a replica waits for the other one's load.
const TURN: Duration = Duration::from_millis(50 + 100 + 300);
const BUSY_MACHINE: Duration = Duration::from_secs(3);

fn modes() -> [Mode; 5] {
    [
        Mode::Pass,
        Mode::Delay(Duration::from_millis(120)),
        Mode::Mute,
        Mode::Refuse,
        Mode::Reset,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn in_every_pairing_each_request_ends_in_its_budget_and_all_is_well_afterwards() {
    let server = postgres::shared().await;
    let database = (server.port(), server.database().await);
    go_through_every_pairing(database, 1, &[], BUDGET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_on_mysql() {
    let server = mysql::shared().await;
    let database = (server.port(), server.database().await);
    go_through_every_pairing(database, 1, &[], BUDGET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_for_replicas_that_take_turns_and_refresh_early() {
    let settings = [("FLEET_LEASE", "true"), ("EARLY_REFRESH", "1.0")];
    let server = postgres::shared().await;
    let database = (server.port(), server.database().await);
    go_through_every_pairing(database, 2, &settings, BUDGET + TURN).await;
}

/// With near copies, and with callers who wait for a load for less than it takes.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_with_near_copies_and_a_short_soft_time_out() {
    let settings = [("NEAR_FOR", "100ms"), ("SOFT_TIMEOUT", "50ms")];
    let server = postgres::shared().await;
    let database = (server.port(), server.database().await);
    go_through_every_pairing(database, 1, &settings, BUDGET).await;
}

async fn go_through_every_pairing(
    (port, database): (u16, String),
    replicas: usize,
    more: &[(&str, &str)],
    budget: Duration,
) {
    let cache = redis::shared().await;
    let to_database = Proxy::to(port).await;
    let to_cache = Proxy::to(cache.port()).await;
    let urls = (to_database.url(&database), to_cache.url(&cache.database()));
    let mut settings = vec![("DATABASE_URL", urls.0.as_str()), ("REDIS_URL", &urls.1)];
    settings.extend(SETTINGS);
    settings.extend(more);
    let mut fleet = Vec::new();
    for _ in 0..replicas {
        let service = Service::start(&settings).await;
        service.until_ready_says(ALL_WELL).await;
        for id in 1..=10 {
            assert_eq!(service.template(id).await.status, 200);
        }
        fleet.push(service);
    }
    for cache_mode in modes() {
        for database_mode in modes() {
            to_cache.set(cache_mode).await;
            to_database.set(database_mode).await;
            let pairing = format!("Redis {cache_mode:?}, database {database_mode:?}");
            join_all(
                fleet
                    .iter()
                    .map(|service| assert_answers(service, &pairing, budget)),
            )
            .await;
            to_cache.set(Mode::Pass).await;
            to_database.set(Mode::Pass).await;
            for service in &fleet {
                service.until_ready_says(ALL_WELL).await;
                assert_eq!(service.template(11).await.status, 200);
            }
        }
    }
    for service in &fleet {
        eventually("nothing is under way any more", async || {
            let counters = service.scrape().await;
            let gauges = ["db_queries_in_flight", "singleflight_in_flight"];
            gauges.iter().all(|gauge| counters.value(gauge) == 0.0)
                && counters.value("http_in_flight_requests") == 1.0
        })
        .await;
    }
}

/// Known templates are answered whatever happens; unknown ones are refused at worst. Nobody waits for longer than the
/// parts may take together.
async fn assert_answers(service: &Service, pairing: &str, budget: Duration) {
    for round in 0..3 {
        let (known, unknown) = (1 + round, 90 + round);
        let began = Instant::now();
        let (known, unknown) =
            tokio::join!(service.callers(10, known), service.callers(10, unknown));
        assert!(
            began.elapsed() < budget + BUSY_MACHINE,
            "{pairing}: {:?}",
            began.elapsed()
        );
        for answer in known {
            assert_eq!(answer.status, 200, "{pairing}: {}", answer.text());
        }
        for answer in unknown {
            assert!(
                [200, 503].contains(&answer.status),
                "{pairing}: {}",
                answer.text()
            );
        }
    }
}

//! Replicas behind a load balancer: HAProxy, configured as in compose's profile `scale`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Request;
use testkit::http::Client;
use testkit::{Haproxy, Redis, Scrape, Service, eventually, http, postgres, redis};

use crate::process::Process;

/// Time-outs that a busy machine does not reach, and slots for as many queries as come at once.
const PATIENT: [(&str, &str); 5] = [
    ("DB_TIMEOUT", "20s"),
    ("DB_QUEUE_TIMEOUT", "20s"),
    ("REDIS_TIMEOUT", "5s"),
    ("REQUEST_TIMEOUT", "100s"),
    ("DB_MAX_CONNECTIONS", "4"),
];

async fn replicas(count: usize, database: &str, cache: &str) -> Vec<Service> {
    let mut settings = vec![("DATABASE_URL", database), ("REDIS_URL", cache)];
    settings.extend(PATIENT);
    let mut replicas = Vec::new();
    for _ in 0..count {
        replicas.push(Service::start(&settings).await);
    }
    for replica in &replicas {
        replica.until_ready_says("database: ok\ncache: ok\n").await;
    }
    replicas
}

async fn in_front_of(replicas: &[Service]) -> Haproxy {
    let addresses: Vec<_> = replicas.iter().map(Service::address).collect();
    Haproxy::start(&addresses).await
}

async fn sum(replicas: &[Service], series: &str) -> f64 {
    let mut sum = 0.0;
    for replica in replicas {
        sum += replica.scrape().await.value(series);
    }
    sum
}

/// How many queries it costs that each of these templates is asked for by so many callers at once, none of them cached.
async fn queries(count: usize, templates: i64, callers: usize) -> f64 {
    let database = postgres::shared().await.database().await;
    let cache = redis::shared().await.database();
    let replicas = replicas(count, &database, &cache).await;
    let balancer = in_front_of(&replicas).await;
    let mut lock = postgres::session(&database).await;
    let begin = sqlx::raw_sql("BEGIN; LOCK TABLE templates");
    begin.execute(&mut lock).await.unwrap();
    let ask = |id| {
        let url = balancer.url(&format!("/template-details?id={id}"));
        tokio::spawn(http::get_owned(url))
    };
    let asking: Vec<_> = (0..callers)
        .flat_map(|_| (1..=templates).map(ask))
        .collect();
    let all = asking.len() as f64;
    // Those who ask for metrics are under way as well.
    eventually("all of them wait for the database", async || {
        sum(&replicas, "http_in_flight_requests").await == all + count as f64
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    sum(&replicas, "db_hits_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_expires_is_loaded_by_the_replica_that_it_belongs_to() {
    for count in [1, 2, 4, 8] {
        let each = queries(count, 100, 5).await / 100.0;
        assert!(
            (1.0..=1.2).contains(&each),
            "{count} replicas: {each} a template"
        );
        // With nothing else under way, a replica passes on what is more than twice its share.
        let hot = queries(count, 1, 40).await;
        let most = count.div_ceil(2) + 1;
        assert!(hot <= most as f64, "{count} replicas: {hot} for a hot one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_lost_costs_one_query_for_each_template_that_was_its_own() {
    let (database, cache) = (
        postgres::shared().await.database().await,
        Redis::start().await,
    );
    let mut replicas = replicas(4, &database, &cache.url()).await;
    let balancer = in_front_of(&replicas).await;
    let ask_for_all = async || {
        for id in 1..=100 {
            let url = balancer.url(&format!("/template-details?id={id}"));
            // A request that finds its replica gone is lost here, where none is tried again.
            eventually("it is answered", async || {
                http::get(&url).await.status == 200
            })
            .await;
        }
    };
    ask_for_all().await;
    cache.kill().await;
    for replica in &replicas {
        replica
            .until_ready_says("database: ok\ncache: down\n")
            .await;
    }
    ask_for_all().await;
    replicas.pop().unwrap().stop().await;
    let before = sum(&replicas, "db_hits_total").await;
    ask_for_all().await;
    let cost = sum(&replicas, "db_hits_total").await - before;
    assert!((1.0..=50.0).contains(&cost), "{cost} queries");
}

/// Asks again and again, on one connection or on a new one each time, and returns what went wrong.
async fn keep_asking(
    url: String,
    client: impl Fn() -> Client,
    stop: Arc<AtomicBool>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let request = Request::get(&url).body(Default::default()).unwrap();
        match client().send(request).await {
            Ok(answer) if answer.status == 200 => {}
            other => wrong.push(format!("{other:?}")),
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_a_delay_refuses_and_cuts_nothing_behind_a_load_balancer() {
    let settings = [
        ("DRAIN_DELAY", "5s"),
        ("DB_DELAY", "5ms"),
        ("CACHE_TTL", "1s"),
    ];
    let mut ends = Process::start(&settings).await;
    let stays = Process::start(&settings).await;
    let addresses = [&ends, &stays].map(|process| process.address().parse().unwrap());
    let balancer = Haproxy::start(&addresses).await;
    let stop = Arc::<AtomicBool>::default();
    let asking: Vec<_> = (1..=16)
        .map(|id| {
            let (url, stop) = (
                balancer.url(&format!("/template-details?id={id}")),
                Arc::clone(&stop),
            );
            let kept = Client::new();
            let client = move || {
                if id % 2 == 0 {
                    kept.clone()
                } else {
                    Client::without_idle_connections()
                }
            };
            tokio::spawn(keep_asking(url, client, stop))
        })
        .collect();
    let answered = async || answers_of(&ends.url).await;
    eventually("the one that will end answers", async || {
        answered().await > 100.0
    })
    .await;
    ends.signal("TERM");
    let before = answered().await;
    eventually("it goes on answering", async || answered().await > before).await;
    assert_eq!(ends.ended().await.code(), Some(0), "{}", ends.log());
    let before = answers_of(&stays.url).await;
    eventually("the other one has all callers", async || {
        answers_of(&stays.url).await > before + 100.0
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for asking in asking {
        assert_eq!(asking.await.unwrap(), [""; 0], "{}", ends.log());
    }
}

/// How many requests for templates a replica has answered.
async fn answers_of(url: &str) -> f64 {
    let scrape = Scrape::of(url).await;
    scrape.value(r#"http_request_total{path="/template-details",method="GET",status="200"}"#)
}

#[tokio::test]
async fn a_visitor_of_the_lab_stays_with_one_replica() {
    let replicas = [Service::start(&[]).await, Service::start(&[]).await];
    let balancer = in_front_of(&replicas).await;
    let client = Client::new();
    let page = client.get(&balancer.url("/")).await;
    assert_eq!(page.status, 200);
    let cookie = page
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let ask = async |method: &str, path: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(balancer.url(path));
        let request = request
            .header("cookie", cookie)
            .header("x-stampede-lab", "a-page");
        client
            .send(request.body(body.into()).unwrap())
            .await
            .unwrap()
    };
    let run = ask("POST", "/lab/runs/stampede", "{}").await;
    assert_eq!(run.status, 202, "{}", run.text());
    let run = run.header("location").unwrap();
    for _ in 0..10 {
        assert_eq!(ask("GET", run, "").await.status, 200);
    }
}

//! More traffic than the database can take, with Redis off: what can be served is served, the rest is refused, and when
//! the overload is over nothing remembers it.

use std::time::{Duration, Instant};

use crate::support::http::{Answer, Client};
use crate::support::{Service, eventually};

/// Two slots of 50 ms each: forty queries a second, which leave a busy machine most of its time.
const SETTINGS: [(&str, &str); 6] = [
    ("DB_MAX_CONNECTIONS", "2"),
    ("DB_DELAY", "50ms"),
    ("DB_QUEUE_TIMEOUT", "400ms"),
    ("LOCAL_ENTRIES", "0"),
    ("CACHE_TTL", "1ms"),
    ("PROTECTION", "off"),
];
const CAPACITY: f64 = 40.0;

/// Asks `rate` times a second, whatever comes back, for this long.
async fn open_loop(service: &Service, rate: f64, seconds: f64) -> Vec<(Answer, Duration)> {
    let (client, began) = (Client::new(), Instant::now());
    let mut asking = Vec::new();
    for number in 0..(rate * seconds) as u64 {
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let (client, url) = (
            client.clone(),
            service.url(&format!("/template-details?id={}", 1 + number % 100)),
        );
        asking.push(tokio::spawn(async move {
            let began = Instant::now();
            (client.get(&url).await, began.elapsed())
        }));
    }
    let mut answers = Vec::new();
    for answer in asking {
        answers.push(answer.await.unwrap());
    }
    answers
}

fn median(answers: &[(Answer, Duration)], status: u16) -> Duration {
    let of_status = answers.iter().filter(|(answer, _)| answer.status == status);
    let mut times: Vec<_> = of_status.map(|(_, took)| *took).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn served(answers: &[(Answer, Duration)]) -> f64 {
    answers
        .iter()
        .filter(|(answer, _)| answer.status == 200)
        .count() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_costs_nothing_of_what_can_be_served_and_is_forgotten_when_it_ends() {
    let service = Service::start(&SETTINGS).await;
    let peak = served(&open_loop(&service, CAPACITY, 3.0).await);
    for times in [2.0, 4.0] {
        let answers = open_loop(&service, times * CAPACITY, 3.0).await;
        assert!(
            answers
                .iter()
                .all(|(answer, _)| [200, 503].contains(&answer.status))
        );
        assert!(
            served(&answers) >= 0.9 * peak,
            "{} of {peak} at {times} times",
            served(&answers)
        );
        // Those who cannot be served are told at once; those who can have waited for a slot.
        let (refused, served) = (median(&answers, 503), median(&answers, 200));
        assert!(
            refused * 4 < served,
            "refused in {refused:?}, served in {served:?}"
        );
    }
    let after = open_loop(&service, CAPACITY / 2.0, 1.0).await;
    assert_eq!(
        served(&after),
        after.len() as f64,
        "after the overload everyone is served"
    );
    eventually("nothing is under way", async || {
        service.scrape().await.value("db_queries_in_flight") == 0.0
    })
    .await;
}

//! More callers than the database can serve, with Redis off: every slot is at work, no query is made in vain, the rest is
//! refused at once, and when the overload is over nothing remembers it.

use std::time::{Duration, Instant};

use testkit::http::Client;
use testkit::{Service, eventually};

/// Two slots of 50 ms each: forty queries a second, which leave a busy machine most of its time.
const SETTINGS: [(&str, &str); 6] = [
    ("DB_MAX_CONNECTIONS", "2"),
    ("DB_DELAY", "50ms"),
    ("DB_QUEUE_TIMEOUT", "400ms"),
    ("LOCAL_ENTRIES", "0"),
    ("CACHE_TTL", "1ms"),
    ("PROTECTION", "off"),
];
const SLOTS: f64 = 2.0;

/// The two slots and the 400 ms of waiting before them hold this many callers.
const FITTING: usize = 2 + 16;

/// After a refusal a caller comes back; sooner than a slot is free. The pause makes the rate of the traffic.
const SULK: Duration = Duration::from_millis(20);

/// Has so many callers ask again and again for this long, and returns what each got and how long that took.
async fn besiege(service: &Service, callers: usize, long: Duration) -> Vec<(u16, Duration)> {
    let until = Instant::now() + long;
    let caller = |caller: usize| {
        let base = service.url("/template-details?id=");
        tokio::spawn(async move {
            let (client, mut answers) = (Client::new(), Vec::new());
            for turn in 0.. {
                let asked = Instant::now();
                if asked > until {
                    break;
                }
                let id = 1 + (caller * 7 + turn) % 100;
                let status = client.get(&format!("{base}{id}")).await.status;
                answers.push((status, asked.elapsed()));
                if status == 503 {
                    tokio::time::sleep(SULK).await;
                }
            }
            answers
        })
    };
    let besieging: Vec<_> = (0..callers).map(caller).collect();
    let mut answers = Vec::new();
    for caller in besieging {
        answers.extend(caller.await.unwrap());
    }
    answers
}

fn median(answers: &[(u16, Duration)], status: u16) -> Duration {
    let of_status = answers.iter().filter(|(answer, _)| *answer == status);
    let mut times: Vec<_> = of_status.map(|(_, took)| *took).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_costs_nothing_of_what_can_be_served_and_is_forgotten_when_it_ends() {
    let service = Service::start(&SETTINGS).await;
    let mut at_its_best = 0.0;
    for times in [1, 2, 4] {
        let (before, began) = (service.scrape().await, Instant::now());
        let answers = besiege(&service, times * FITTING, Duration::from_secs(3)).await;
        let (grown, seconds) = (
            &service.scrape().await - &before,
            began.elapsed().as_secs_f64(),
        );
        let busy = grown.value("db_query_duration_seconds_sum") / (SLOTS * seconds);
        if times == 1 {
            at_its_best = busy;
            continue;
        }
        assert!(
            answers
                .iter()
                .all(|(status, _)| [200, 503].contains(status))
        );
        let served = answers.iter().filter(|(status, _)| *status == 200).count();
        let hits = grown.value("cache_hits_total");
        assert_eq!(
            served as f64,
            grown.value("db_hits_total") + hits,
            "no query was made in vain"
        );
        assert!(
            busy >= 0.8 * at_its_best,
            "the slots were at work {busy} of the time at {times} times what fits, {at_its_best} at just that"
        );
        // Those who cannot be served are told at once; those who can have waited for a slot.
        let (refused, served) = (median(&answers, 503), median(&answers, 200));
        assert!(
            refused * 4 < served,
            "refused in {refused:?}, served in {served:?}"
        );
    }
    let after = besiege(&service, 2, Duration::from_secs(1)).await;
    assert!(
        after.iter().all(|(status, _)| *status == 200),
        "after the overload everyone is served"
    );
    eventually("nothing is under way", async || {
        service.scrape().await.value("db_queries_in_flight") == 0.0
    })
    .await;
}

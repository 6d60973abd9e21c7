//! Loading anew before anybody has to wait: shortly before the TTL ends, or shortly after.

use testkit::http::{Answer, Client};
use testkit::{Scrape, Service, database, redis};

/// A service whose loads take 50 ms, with a template in its cache that expires every half a second.
async fn warm(settings: &[(&str, &str)]) -> Service {
    let database = database::fresh().await;
    let cache = redis::shared().await.database();
    let mut all = vec![
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("REDIS_TIMEOUT", "1s"),
    ];
    all.extend([
        ("DB_DELAY", "50ms"),
        ("CACHE_TTL", "500ms"),
        ("CACHE_TTL_JITTER", "0%"),
    ]);
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says("database: ok\ncache: ok\n").await;
    service.template(1).await;
    service
}

/// Asks for the template again and again until it was loaded this many times more.
async fn ask_through(service: &Service, loads: f64) -> (Vec<Answer>, Scrape) {
    let (client, url) = (Client::new(), service.url("/template-details?id=1"));
    let before = service.scrape().await;
    let mut answers = Vec::new();
    loop {
        for _ in 0..20 {
            answers.push(client.get(&url).await);
        }
        let grown = &service.scrape().await - &before;
        if grown.value("db_hits_total") >= loads {
            return (answers, grown);
        }
    }
}

/// How many of these callers had to wait for the database.
fn waited(answers: &[Answer]) -> usize {
    let fields = |answer: &Answer| answer.header("server-timing").unwrap().to_owned();
    answers
        .iter()
        .filter(|answer| fields(answer).contains("db;") || fields(answer).contains("wait;"))
        .count()
}

/// One load for each refresh, except one that may have begun just now.
fn assert_one_load_each(grown: &Scrape, reason: &str) {
    let refreshes = grown.value(&format!("refresh_total{{reason=\"{reason}\"}}"));
    let under_way = refreshes - grown.value("db_hits_total");
    assert!(
        (0.0..=1.0).contains(&under_way),
        "{refreshes} refreshes, {under_way} more than loads"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_loaded_anew_the_old_value_answers_marked_and_nobody_waits() {
    let service = warm(&[("STALE_WHILE_REVALIDATE", "60s")]).await;
    let (answers, grown) = ask_through(&service, 3.0).await;
    assert_eq!(waited(&answers), 0);
    assert!(answers.iter().all(|answer| answer.status == 200));
    let stale: Vec<_> = answers
        .iter()
        .filter(|answer| {
            answer
                .header("cache-status")
                .unwrap()
                .ends_with("detail=stale")
        })
        .collect();
    assert!(
        !stale.is_empty()
            && stale
                .iter()
                .all(|answer| answer.header("cache-control") == Some("no-store"))
    );
    assert_one_load_each(&grown, "stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_loaded_anew_before_it_expires_and_nobody_waits() {
    let service = warm(&[("EARLY_REFRESH", "3.0")]).await;
    let (answers, grown) = ask_through(&service, 3.0).await;
    assert_eq!(waited(&answers), 0);
    assert!(answers.iter().all(|answer| {
        answer
            .header("cache-status")
            .unwrap()
            .starts_with("stampede; hit; ttl=")
    }));
    assert_one_load_each(&grown, "early");
    assert_eq!(
        grown.value("template_responses_total{source=\"stale\"}"),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_callers_wait_when_the_ttl_ends() {
    let service = warm(&[]).await;
    let (answers, grown) = ask_through(&service, 2.0).await;
    assert!(waited(&answers) >= 2);
    assert_eq!(grown.sum("refresh_total"), 0.0);
}

//! Redis breaks in every way there is: nobody sees an error, nobody waits for a dial, the database hardly notices, and
//! the first hit comes soon after the end.

use std::time::Duration;

use ::redis::Value;
use testkit::{Mode, Proxy, Redis, Scrape, Service, database, eventually};

use super::load::{Load, TEMPLATES};
use super::{ALL_WELL, NO_CACHE};

/// A busy machine may keep a healthy Redis from answering within the default.
const PATIENT: &str = "250ms";

/// The callers of the load and the heartbeat: calls that were under way when the connection was given up.
const ALREADY_WAITING: f64 = 17.0;

/// A service whose Redis is behind a proxy, with every template of the load in its caches.
struct Stage {
    redis: Redis,
    proxy: Proxy,
    service: Service,
    load: Load,
}

impl Stage {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let (database, redis) = (database::fresh().await, Redis::start().await);
        let proxy = Proxy::to(redis.port()).await;
        let cache = proxy.url(&redis.url());
        let mut all = vec![
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", cache.as_str()),
            ("REDIS_TIMEOUT", PATIENT),
        ];
        all.extend(settings);
        let service = Service::start(&all).await;
        service.until_ready_says(ALL_WELL).await;
        let load = Load::on(&service);
        load.go_on_for(500).await;
        Self {
            redis,
            proxy,
            service,
            load,
        }
    }

    /// What the counters grew by while so many requests were answered, none of them with an error.
    async fn during(&self, answers: usize) -> Scrape {
        let before = self.service.scrape().await;
        self.load.go_on_for(answers).await;
        &self.service.scrape().await - &before
    }

    /// Redis is away: what must be seen of it, from the outside and in the counters.
    async fn assert_spared(&self) {
        self.service.until_ready_says(NO_CACHE).await;
        let grown = self.during(1_000).await;
        let waited = grown.value("cache_errors_total{op=\"get\",reason=\"timeout\"}");
        assert!(waited <= ALREADY_WAITING, "{waited} waited for Redis");
        assert!(
            grown.value("db_hits_total") <= TEMPLATES as f64,
            "{} queries",
            grown.value("db_hits_total")
        );
        assert!(grown.value("template_responses_total{source=\"local\"}") >= 900.0);
        assert_eq!(self.service.scrape().await.value("cache_up"), 0.0);
    }

    /// Redis is back: hits again, with no burst on the database, and one connection.
    async fn assert_healed(&self) {
        self.service.until_ready_says(ALL_WELL).await;
        // On a busy machine Redis may look slow once more.
        eventually("answers are hits again", async || {
            let grown = self.during(1_000).await;
            assert!(
                grown.value("db_hits_total") <= TEMPLATES as f64,
                "{} queries",
                grown.value("db_hits_total")
            );
            grown.value("cache_hits_total") >= 900.0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_be_used_is_not_waited_for_and_spares_the_database() {
    let slow = Mode::Delay(Duration::from_secs(1));
    for mode in [Mode::Swallow, Mode::Refuse, Mode::Reset, Mode::Mute, slow] {
        let stage = Stage::set(&[]).await;
        stage.proxy.set(mode).await;
        stage.assert_spared().await;
        stage.proxy.set(Mode::Pass).await;
        stage.assert_healed().await;
        stage.load.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_found_out_within_a_few_waves_of_time_outs() {
    let stage = Stage::set(&[]).await;
    let before = stage.service.scrape().await;
    stage.redis.freeze().await;
    stage.assert_spared().await;
    let grown = &stage.service.scrape().await - &before;
    // Sixteen callers and the heartbeat wait in three waves; a caller may be in one more that has begun already.
    assert!(
        grown.value("cache_errors_total{op=\"get\",reason=\"timeout\"}") <= 4.0 * ALREADY_WAITING
    );
    stage.redis.thaw().await;
    stage.assert_healed().await;
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_silent_connection_to_a_healthy_redis_is_replaced() {
    let stage = Stage::set(&[]).await;
    let before = stage.proxy.accepted();
    stage.proxy.mute_current().await;
    eventually("another connection is in use", async || {
        stage.proxy.accepted() > before && stage.during(50).await.value("cache_hits_total") > 0.0
    })
    .await;
    assert_eq!(stage.proxy.accepted(), before + 1);
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_up_in_the_middle_of_a_reply_costs_one_connection() {
    let stage = Stage::set(&[]).await;
    for _ in 0..5 {
        let before = stage.proxy.accepted();
        stage.proxy.hang_up_mid_reply(10);
        eventually("another connection is in use", async || {
            stage.proxy.accepted() > before
        })
        .await;
        stage.assert_healed().await;
    }
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_an_error_while_redis_flaps() {
    let stage = Stage::set(&[]).await;
    for _ in 0..5 {
        stage.proxy.set(Mode::Refuse).await;
        stage.service.until_ready_says(NO_CACHE).await;
        stage.load.go_on_for(100).await;
        stage.proxy.set(Mode::Pass).await;
        stage.service.until_ready_says(ALL_WELL).await;
        stage.load.go_on_for(100).await;
    }
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_emptied_under_load_costs_one_query_per_template() {
    let stage = Stage::set(&[]).await;
    let before = stage.service.scrape().await;
    stage.redis.cli(&["FLUSHALL"]).await;
    stage.load.go_on_for(1_000).await;
    let grown = &stage.service.scrape().await - &before;
    assert_eq!(grown.value("db_hits_total"), TEMPLATES as f64);
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_still_serves_reads() {
    let full = [
        &["CONFIG", "SET", "maxmemory-policy", "noeviction"][..],
        &["CONFIG", "SET", "maxmemory", "1"],
    ];
    let read_only = [&["REPLICAOF", "127.0.0.1", "1"][..]];
    for commands in [&full[..], &read_only] {
        let stage = Stage::set(&[]).await;
        for command in commands {
            stage.redis.cli(command).await;
        }
        // One that is in no cache yet: it is loaded, and cannot be stored.
        let answer = stage.service.template(90).await;
        assert_eq!(answer.status, 200);
        let grown = stage.during(500).await;
        assert_eq!(
            (
                grown.value("cache_misses_total"),
                grown.value("db_hits_total")
            ),
            (0.0, 0.0)
        );
        let errors = stage
            .service
            .scrape()
            .await
            .value("cache_errors_total{op=\"set\",reason=\"error\"}");
        assert!(errors >= 1.0);
        assert_eq!(stage.service.get("/readyz").await.text(), ALL_WELL);
        stage.load.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_spares_the_database_past_the_ttl_as_well() {
    let stage = Stage::set(&[("CACHE_TTL", "2s"), ("CACHE_TTL_JITTER", "0%")]).await;
    stage.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    eventually(
        "what it had has expired, and could not be replaced",
        async || {
            let counters = stage.service.scrape().await;
            counters.value("cache_errors_total{op=\"set\",reason=\"error\"}") >= TEMPLATES as f64
        },
    )
    .await;
    let began = std::time::Instant::now();
    let grown = stage.during(2_000).await;
    let ttls = began.elapsed().as_secs_f64() / 2.0;
    let most = TEMPLATES as f64 * (ttls.ceil() + 1.0);
    assert!(
        grown.value("db_hits_total") <= most,
        "{} queries",
        grown.value("db_hits_total")
    );
    assert!(grown.value("template_responses_total{source=\"local\"}") >= 1_000.0);
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_the_credentials_is_away() {
    let stage = Stage::set(&[]).await;
    stage
        .redis
        .cli(&["CONFIG", "SET", "requirepass", "secret"])
        .await;
    stage.proxy.set(Mode::Reset).await;
    stage.service.until_ready_says(NO_CACHE).await;
    stage.proxy.set(Mode::Pass).await;
    let before = stage.proxy.accepted();
    eventually("the service has tried", async || {
        stage.proxy.accepted() > before + 1
    })
    .await;
    stage.assert_spared().await;
    let mut with_password = stage.redis.url();
    with_password.insert_str("redis://".len(), ":secret@");
    let allow = ["CONFIG", "SET", "requirepass", ""];
    assert!(matches!(
        testkit::redis::cli(&with_password, &allow).await,
        Ok(Value::Okay)
    ));
    stage.assert_healed().await;
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_prober_dials_while_redis_is_away() {
    let stage = Stage::set(&[]).await;
    stage.proxy.set(Mode::Reset).await;
    stage.service.until_ready_says(NO_CACHE).await;
    let (began, before) = (std::time::Instant::now(), stage.proxy.accepted());
    stage.load.go_on_for(3_000).await;
    eventually("some dials", async || stage.proxy.accepted() > before + 3).await;
    let dials = (stage.proxy.accepted() - before) as f64;
    // The shortest pause between two dials is three quarters of 100 ms.
    assert!(
        dials <= 1.0 + began.elapsed().as_secs_f64() / 0.075,
        "{dials} dials in {:?}",
        began.elapsed()
    );
    stage.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_that_were_stored_together_do_not_expire_together() {
    let stage = Stage::set(&[]).await;
    let mut left = Vec::new();
    for id in 1..=100 {
        stage.service.template(id).await;
        let Value::Int(milliseconds) = stage.redis.cli(&["PTTL", &format!("td:v1:{id}")]).await
        else {
            panic!("no TTL")
        };
        left.push(milliseconds);
    }
    let (first, last) = (left.iter().min().unwrap(), left.iter().max().unwrap());
    assert!(
        last - first >= 1_500,
        "all of them expire within {} ms",
        last - first
    );
    stage.load.end().await;
}

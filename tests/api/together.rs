//! Lookups at the same time ask Redis together: how often, and what each of them is told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use stampede::cache::{Lookup, RedisCache, RedisOptions, TemplateCache, WhoLoads};
use stampede::freshness::{Content, Entry, Moment, Rules};
use stampede::metrics::Metrics;
use stampede::outcomes::{LeaseOutcome, Operation, Reason};
use stampede::template::{State, Template, TemplateId, UpdatedAt};
use testkit::waiting::BACKSTOP;
use testkit::{Mode, Proxy, Redis, eventually, redis};
use tokio::task::JoinSet;
use tokio::time::timeout;

const MINUTE: Duration = Duration::from_secs(60);

/// A cache with nothing in front of it, and what it counts.
struct Asked {
    cache: TemplateCache,
    metrics: Metrics,
    /// Of the cache itself.
    errors: Arc<Metrics>,
}

impl Asked {
    async fn at(url: &str, timeout: Duration) -> Self {
        let rules = Rules {
            ttl: MINUTE,
            longest_load: MINUTE,
            ..Rules::default()
        };
        let options = RedisOptions::new(url, timeout, rules).unwrap();
        let options = options.with_leases(MINUTE);
        let errors = Arc::new(Metrics::new("test"));
        let cache = RedisCache::connect(options, Arc::clone(&errors)).await;
        Self {
            cache: TemplateCache::Redis(cache),
            metrics: Metrics::new("test"),
            errors,
        }
    }

    async fn store(&self, ids: impl Iterator<Item = i64>) {
        for id in ids {
            let row = Template {
                id: TemplateId::new(id).unwrap(),
                name: format!("Template {id}"),
                updated_at: UpdatedAt(0),
                version: id,
            };
            let entry = Entry::new(State::Present(row), Moment::now(), MINUTE, Duration::ZERO);
            self.cache.store(TemplateId::new(id).unwrap(), &entry).await;
        }
    }

    async fn lookup(&self, id: i64) -> Lookup {
        let id = TemplateId::new(id).unwrap();
        self.cache.lookup(id, Moment::now(), &self.metrics).await
    }

    /// Looks all of them up at the same time.
    async fn all(&self, ids: impl Iterator<Item = i64>) -> Vec<Lookup> {
        let all = join_all(ids.map(|id| self.lookup(id)));
        timeout(BACKSTOP, all).await.expect("an end of all lookups")
    }
}

/// Whether this is what was stored of this template.
fn is_of(id: i64, lookup: &Lookup) -> bool {
    let Lookup::Hit(entry) = lookup else {
        return false;
    };
    let Content::Template(json) = &entry.content else {
        return false;
    };
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    entry.version == id && json["id"] == id && json["name"] == format!("Template {id}")
}

/// What the server has counted, such as `cmdstat_get:calls=`, which is how often it was asked for one template.
async fn counted(redis: &Redis, what: &str) -> u64 {
    let info = redis.cli(&["INFO", "everything"]).await;
    let info: String = ::redis::from_redis_value(info).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(what));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

const FOR_ONE: &str = "cmdstat_get:calls=";
const FOR_SEVERAL: &str = "cmdstat_mget:calls=";

#[tokio::test]
async fn more_than_a_thousand_lookups_at_once_take_a_handful_of_commands() {
    let server = Redis::start().await;
    let asked = Asked::at(&server.url(), MINUTE).await;
    asked.store(1..=10).await;
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    let ids = || (0..1_500).map(|number| number % 10 + 1);
    let answers = asked.all(ids()).await;
    assert!(ids().zip(&answers).all(|(id, answer)| is_of(id, answer)));
    let [one, several, found] = [
        counted(&server, FOR_ONE).await,
        counted(&server, FOR_SEVERAL).await,
        counted(&server, "keyspace_hits:").await,
    ];
    assert!(several >= 1 && one + several < 10, "{one} and {several}");
    // Each template once per command, but for those who asked first.
    assert!(found < 50, "{found}");
    assert_eq!(asked.metrics.cache_hits.get(), 1_500);
}

#[tokio::test]
async fn each_of_those_who_ask_together_is_told_of_its_own_template() {
    let url = redis::shared().await.database();
    let asked = Asked::at(&url, MINUTE).await;
    asked.store((2..=100).step_by(2)).await;
    for (id, kind) in [(40, "SET"), (42, "RPUSH")] {
        let key = format!("td:v1:{id}");
        redis::cli(&url, &["DEL", &key]).await.unwrap();
        redis::cli(&url, &[kind, &key, "foreign"]).await.unwrap();
    }
    let answers = asked.all((1..=100).rev().chain(1..=100)).await;
    for (id, answer) in (1..=100).rev().chain(1..=100).zip(answers) {
        let stored = id % 2 == 0 && id != 40 && id != 42;
        assert_eq!(is_of(id, &answer), stored, "{id}");
        assert!(stored || matches!(answer, Lookup::Miss), "{id}: {answer:?}");
    }
    // Of those who were told of the same, one has removed it.
    let corrupt = asked
        .errors
        .cache_errors
        .of((Operation::Get, Reason::Corrupt));
    assert_eq!(corrupt.get(), 1);
    // What is not ours is removed, or replaced by what is stored.
    asked.store([40, 42].into_iter()).await;
    for id in [40, 42] {
        assert!(is_of(id, &asked.lookup(id).await), "{id}");
    }
}

#[tokio::test]
async fn a_lookup_does_not_wait_for_an_answer_to_somebody_else() {
    let server = Redis::start().await;
    let proxy = Proxy::to(server.port()).await;
    let asked = Arc::new(Asked::at(&proxy.url(&server.url()), MINUTE).await);
    asked.store(1..=40).await;
    proxy.set(Mode::Mute).await;
    let mut asking = JoinSet::new();
    for ids in [1..=20, 21..=40] {
        let before = counted(&server, FOR_SEVERAL).await;
        for id in ids {
            let asked = Arc::clone(&asked);
            asking.spawn(async move { is_of(id, &asked.lookup(id).await) });
        }
        eventually("those who ask later have been sent too", async || {
            counted(&server, FOR_SEVERAL).await > before
        })
        .await;
    }
    proxy.set(Mode::Pass).await;
    assert_eq!(asking.join_all().await, [true; 40]);
}

#[tokio::test]
async fn those_who_ask_a_silent_redis_together_give_up_and_are_answered_when_it_is_back() {
    let server = Redis::start().await;
    let proxy = Proxy::to(server.port()).await;
    let asked = Asked::at(&proxy.url(&server.url()), Duration::from_millis(50)).await;
    asked.store(1..=1).await;
    proxy.set(Mode::Swallow).await;
    let answers = asked.all((0..100).map(|_| 1)).await;
    let unanswered = |answer: &Lookup| matches!(answer, Lookup::Unanswered);
    assert!(answers.iter().all(unanswered));
    // One wave of time-outs is one.
    assert!(asked.cache.is_up());
    eventually("the connection is given up", async || {
        asked.all((0..100).map(|_| 1)).await;
        !asked.cache.is_up()
    })
    .await;
    proxy.set(Mode::Pass).await;
    eventually("all are answered", async || {
        let answers = asked.all((0..100).map(|_| 1)).await;
        answers.iter().all(|answer| is_of(1, answer))
    })
    .await;
}

#[tokio::test]
async fn who_has_gone_takes_nobodys_answer_along() {
    let server = Redis::start().await;
    let proxy = Proxy::to(server.port()).await;
    let asked = Arc::new(Asked::at(&proxy.url(&server.url()), MINUTE).await);
    asked.store(1..=1).await;
    proxy.set(Mode::Mute).await;
    let before = proxy.request_bytes();
    let mut asking = Vec::new();
    for _ in 0..50 {
        let asked = Arc::clone(&asked);
        asking.push(tokio::spawn(
            async move { is_of(1, &asked.lookup(1).await) },
        ));
    }
    eventually("they have asked", async || proxy.request_bytes() > before).await;
    let (gone, staying) = asking.split_at_mut(25);
    gone.iter().for_each(|task| task.abort());
    proxy.set(Mode::Pass).await;
    for task in staying {
        assert!(task.await.unwrap());
    }
}

#[tokio::test]
async fn something_of_another_type_keeps_nobody_from_the_lease() {
    let url = redis::shared().await.database();
    let asked = Asked::at(&url, MINUTE).await;
    redis::cli(&url, &["RPUSH", "td:v1:1", "foreign"])
        .await
        .unwrap();
    let turn = asked
        .cache
        .who_loads(TemplateId::new(1).unwrap(), |_| true)
        .await;
    assert!(matches!(turn, WhoLoads::ThisReplica(Some(_))));
    assert_eq!(asked.errors.leases.of(LeaseOutcome::Won).get(), 1);
}

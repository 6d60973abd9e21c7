//! Loads whose order callers cannot bring about from outside.

use tokio::sync::Notify;

use super::*;
use crate::cache::{MemoryCache, TemplateCache};
use crate::freshness::Rules;
use crate::store::{Change, Condition, StoreOptions, TemplateStore};

const LIMIT: Duration = Duration::from_secs(20);

async fn service(metrics: &Arc<Metrics>) -> TemplateService {
    let config = Config::from_variables(|_| None).unwrap();
    let options = StoreOptions::new(None, 1, LIMIT, LIMIT, Duration::ZERO, LIMIT).unwrap();
    let store = TemplateStore::open(options, Arc::clone(metrics)).await;
    let cache = TemplateCache::Memory(MemoryCache::new(Rules::of(&config)));
    TemplateService::new(&config, cache, store, Arc::clone(metrics), |_| {})
}

fn asked(at: Moment) -> Asked {
    Asked {
        at,
        took: Duration::ZERO,
        answered: true,
    }
}

fn id() -> TemplateId {
    TemplateId::new(1).unwrap()
}

fn new_name() -> Change {
    Change::Put {
        name: "New".into(),
        condition: Condition::None,
    }
}

#[tokio::test]
async fn a_caller_whose_lookup_raced_a_landing_gets_what_landed_and_makes_no_query() {
    let metrics = Arc::new(Metrics::new("test"));
    let service = service(&metrics).await;
    // Both missed before either load began. The second comes when the first has landed.
    let asked = asked(Moment::now());
    let first = service.load(id(), asked, LIMIT).await.unwrap();
    let second = service.load(id(), asked, LIMIT).await.unwrap();
    assert_eq!(
        (first.source, second.source),
        (Source::Loaded, Source::Shared)
    );
    assert_eq!(second.entry, first.entry);
    assert_eq!(metrics.db_hits.get(), 1);
}

#[tokio::test]
async fn a_flight_that_began_before_a_higher_version_was_known_is_not_enough() {
    let service = service(&Arc::new(Metrics::new("test"))).await;
    let old = service.query(id(), || false).await.unwrap();
    let landing = Arc::new(Notify::new());
    let may_land = Arc::clone(&landing);
    let flight = service.parts.flights.start(&id(), move |_| async move {
        may_land.notified().await;
        Ok(old)
    });
    let parts = &service.parts;
    let new = parts
        .store
        .change(id(), &new_name())
        .await
        .unwrap()
        .unwrap();
    parts
        .copies
        .store(id(), &parts.rules.entry(new, Moment::now(), Duration::ZERO));
    let joining = service.load(id(), asked(Moment(u64::MAX)), LIMIT);
    let (answer, ()) = tokio::join!(joining, async { landing.notify_one() });
    assert_eq!(answer.unwrap().entry.version, 2);
    drop(flight);
}

#[tokio::test]
async fn what_an_overtaken_load_has_shown_is_not_followed_by_something_older() {
    let service = service(&Arc::new(Metrics::new("test"))).await;
    let version = async || service.details(id()).await.unwrap().entry.version;
    assert_eq!(version().await, 1);
    // Another process has changed it, and no notice has come yet.
    service.parts.store.change(id(), &new_name()).await.unwrap();
    let shown = service.query(id(), || true).await.unwrap();
    assert_eq!((shown.entry.version, shown.is_stored), (2, false));
    assert_eq!(version().await, 2);
}

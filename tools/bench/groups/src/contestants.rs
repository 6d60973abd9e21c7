//! The implementations under one trait. Caches are made to forget each value after its load: their rows include that,
//! and stale counts of theirs may come from it.

use crate::cases::{self, Measure};
use crate::singleflight::{Call, Group, Landing};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One implementation.
pub trait Flights: Clone + Send + Sync + 'static {
    /// A fresh one.
    fn new() -> Self;

    /// One call; the loader cannot fail.
    fn call<F, Fut>(&self, key: &String, load: F) -> impl Future<Output = u64> + Send
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static;
}

macro_rules! contestants {
    ($($variant:ident = $name:literal, $flights:ty;)*) => {
        /// The implementations compared.
        #[derive(Clone, Copy, PartialEq)]
        pub enum Contestant {
            $($variant,)*
        }

        impl Contestant {
            /// All of them, ours first.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What it is called in tables.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Runs one case once.
            pub fn measure(self, case: &str) -> Measure {
                match self {
                    $(Self::$variant => cases::measure::<$flights>(case),)*
                }
            }
        }
    };
}

contestants! {
    Ours = "stampede", Ours;
    Production = "stampede, all asked", Production;
    Direct = "(no sharing)", Direct;
    Async = "async_singleflight", AsyncSingleflight;
    SingleflightAsync = "singleflight-async", SingleflightAsync;
    Rs = "rs-singleflight", RsSingleflight;
    Moka = "moka", Moka;
    QuickCache = "quick_cache", QuickCache;
    Foyer = "foyer-memory", Foyer;
}

/// This crate's group, with everything a group does by default: deadline, panics, re-entrancy.
#[derive(Clone)]
pub struct Ours(Group<String, u64, ()>);

impl Flights for Ours {
    fn new() -> Self {
        Self(Group::new())
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let value = self.0.work(key, || {
            let load = load();
            async move { Ok(load.await) }
        });
        *value.await.unwrap()
    }
}

/// The same as the service uses it: with a report and a limit for each caller, and a hook for each landing.
#[derive(Clone)]
pub struct Production(Group<String, u64, ()>);

impl Flights for Production {
    fn new() -> Self {
        let landed = AtomicU64::new(0);
        let count = move |landing: &Landing<'_, String>| {
            landed.fetch_add(u64::from(landing.callers), Ordering::Relaxed);
        };
        Self(Group::builder().on_landing(count).build())
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let call = self.0.report(key, |_| {
            let load = load();
            async move { Ok(load.await) }
        });
        let report = call.wait_limit(Duration::from_secs(5)).await;
        *report.result.unwrap()
    }
}

/// Every caller loads by itself: the floor.
#[derive(Clone)]
pub struct Direct;

impl Flights for Direct {
    fn new() -> Self {
        Self
    }

    async fn call<F, Fut>(&self, _: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        load().await
    }
}

#[derive(Clone)]
pub struct AsyncSingleflight(Arc<async_singleflight::Group<String, u64, ()>>);

impl Flights for AsyncSingleflight {
    fn new() -> Self {
        Self(Arc::new(async_singleflight::Group::new()))
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        self.0
            .work(key, async move { Ok(load().await) })
            .await
            .unwrap()
    }
}

#[derive(Clone)]
pub struct SingleflightAsync(Arc<singleflight_async::SingleFlight<String, u64>>);

impl Flights for SingleflightAsync {
    fn new() -> Self {
        Self(Arc::new(singleflight_async::SingleFlight::new()))
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        self.0.work(key.clone(), load).await
    }
}

#[derive(Clone)]
pub struct RsSingleflight(Arc<rs_singleflight::Group<String, u64, ()>>);

impl Flights for RsSingleflight {
    fn new() -> Self {
        Self(Arc::new(rs_singleflight::Group::new()))
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        *self
            .0
            .do_call_shared(key.clone(), || async move { Ok(load().await) })
            .await
            .unwrap()
    }
}

#[derive(Clone)]
pub struct Moka(moka::future::Cache<String, u64>);

impl Flights for Moka {
    fn new() -> Self {
        Self(moka::future::Cache::new(10_000))
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let entry = self
            .0
            .entry_by_ref(key)
            .or_try_insert_with(async move { Ok::<_, ()>(load().await) })
            .await
            .unwrap();
        if entry.is_fresh() {
            self.0.invalidate(key).await;
        }
        entry.into_value()
    }
}

#[derive(Clone)]
pub struct QuickCache(Arc<quick_cache::sync::Cache<String, u64>>);

impl Flights for QuickCache {
    fn new() -> Self {
        Self(Arc::new(quick_cache::sync::Cache::new(10_000)))
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        match self.0.get_value_or_guard_async(key).await {
            Ok(value) => value,
            Err(guard) => {
                let value = load().await;
                if guard.insert(value).is_ok() {
                    self.0.remove(key);
                }
                value
            }
        }
    }
}

#[derive(Clone)]
pub struct Foyer(foyer_memory::Cache<String, u64>);

impl Flights for Foyer {
    fn new() -> Self {
        Self(foyer_memory::CacheBuilder::new(10_000).build())
    }

    async fn call<F, Fut>(&self, key: &String, load: F) -> u64
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let entry = self
            .0
            .get_or_fetch(
                key,
                || async move { Ok::<u64, std::io::Error>(load().await) },
            )
            .await
            .unwrap();
        self.0.remove(key);
        *entry.value()
    }
}

//! Must anyone wait for a slow load while an old answer is at hand?

use std::time::Duration;

use futures_util::future::try_join_all;

use super::About;
use super::bench::{Bench, settings};
use super::result::{Case, Figure};
use crate::config::Config;
use crate::lab::stage::Ground;
use crate::lab::strategy::Strategy;

pub(super) const ABOUT: About = About {
    name: "soft-timeout",
    question: "Must anyone wait for a slow load while an old answer is at hand?",
    setup: "One key is cached for 500 ms and asked for 100 times/s during 2 s. When it expires, its query takes 1.5 s.",
    formula: "Without a limit all who come during the query wait for it: up to 1.5 s. With a soft time-out of 300 ms they wait \
              that long: rate x (1.5 s - 0.3 s) stale answers. With stale-while-revalidate nobody waits: rate x 1.5 s of them.",
    columns: ["queries", "stale answers", "slowest ms"],
    answer: "Singleflight makes it one query, and all callers wait for that one. A soft time-out bounds the wait: after it the \
             old answer is shown, marked as stale, and the load goes on for those who come later. With \
             stale-while-revalidate the wait is nothing at all. The price is the same both times: an answer older than its TTL.",
    takes: Duration::from_millis(2_300),
};

const TTL: Duration = Duration::from_millis(500);
const QUERY: Duration = Duration::from_millis(1_500);
const SOFT: Duration = Duration::from_millis(300);
const LASTS: Duration = Duration::from_secs(2);
const PER_SECOND: u64 = 100;

pub(super) async fn cases(ground: &Ground) -> Result<Vec<Case>, String> {
    let with_copies = Config {
        cache_ttl: TTL,
        local_entries: 1_000,
        stale_for: Duration::from_secs(60),
        ..settings(&ground.config)
    };
    let cases = [
        (
            "wait",
            "SOFT_TIMEOUT=0s",
            Duration::ZERO,
            Duration::ZERO,
            QUERY,
            Duration::ZERO,
        ),
        (
            "soft time-out",
            "SOFT_TIMEOUT=300ms",
            SOFT,
            Duration::ZERO,
            SOFT,
            QUERY - SOFT,
        ),
        (
            "stale while revalidate",
            "STALE_WHILE_REVALIDATE=10s",
            Duration::ZERO,
            QUERY * 7,
            Duration::ZERO,
            QUERY,
        ),
    ];
    let cases = cases.map(
        |(name, setting, soft_timeout, stale_while_revalidate, slowest, is_stale)| {
            let config = Config {
                soft_timeout,
                stale_while_revalidate,
                ..with_copies.clone()
            };
            async move {
                let mut bench = Bench::open(ground, &config, Strategy::Singleflight).await?;
                bench.fill(1).await;
                bench.slow_down(QUERY);
                let counted = bench.traffic(PER_SECOND, 1, LASTS).await;
                let (stale, slowest) = (
                    PER_SECOND as f64 * is_stale.as_secs_f64(),
                    slowest.as_millis() as f64,
                );
                Ok(Case {
                    case: name.into(),
                    settings: vec![setting.into()],
                    figures: [
                        Figure::only(counted.queries).predicted(1.0, 1.0, 2.0),
                        Figure::only(counted.stale).about(stale),
                        // Less than the load, however busy the machine.
                        Figure::only(counted.slowest_ms).predicted(
                            slowest,
                            slowest * 0.9,
                            slowest.max(700.0) * 2.0,
                        ),
                    ],
                })
            }
        },
    );
    try_join_all(cases).await
}

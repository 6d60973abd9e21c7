//! What the log says of trouble that lasts: refusals in sums, and an outage while it goes on and when it ends.
//!
//! Everything is read from the counters, so that no request pays for a log line and a thousand refusals make one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::metrics::labels::Route;
use crate::outcomes::{ShedReason, Source};

/// Between two looks at the counters.
const LOOK: Duration = Duration::from_secs(1);

/// Over which refusals are summed up.
const SUM: Duration = Duration::from_secs(10);

/// After which an outage that goes on is told again.
const REPEAT: Duration = Duration::from_secs(60);

/// Reads the counters each second and logs what they say, for ever.
pub async fn watch(metrics: Arc<Metrics>) {
    let mut watch = Watch::new(Instant::now(), Seen::of(&metrics));
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for line in watch.look(Instant::now(), Seen::of(&metrics)) {
            line.log();
        }
    }
}

/// Why requests were refused, in the words of the log: the limits, then the two errors.
const REASONS: [&str; 6] = [
    "in_flight",
    "waiters",
    "db_queue",
    "deadline",
    "unavailable",
    "internal",
];

/// What matters here, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    database_is_up: bool,
    cache_is_up: bool,
    counts: Counts,
    refused: [u64; REASONS.len()],
}

/// What an outage costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    queries: u64,
    local: u64,
    stale: u64,
    refused: u64,
}

impl Seen {
    fn of(metrics: &Metrics) -> Self {
        let answered = |status| metrics.http.answered(Route::TemplateDetails, status);
        // A request is counted as shed a little before it is counted as answered.
        let answered_503 = answered(503);
        let shed = |reason| metrics.requests_shed.of(reason).get();
        let sheds = [
            ShedReason::InFlight,
            ShedReason::Waiters,
            ShedReason::DbQueue,
            ShedReason::Deadline,
        ]
        .map(shed);
        let unavailable = answered_503.saturating_sub(sheds.iter().sum());
        let [in_flight, waiters, db_queue, deadline] = sheds;
        let refused = [
            in_flight,
            waiters,
            db_queue,
            deadline,
            unavailable,
            answered(500),
        ];
        Self {
            database_is_up: metrics.db_up.get() == 1,
            cache_is_up: metrics.cache_up.get() == 1,
            counts: Counts {
                queries: metrics.db_hits.get(),
                local: metrics.template_responses.of(Source::Local).get(),
                stale: metrics.template_responses.of(Source::Stale).get(),
                refused: refused.iter().sum(),
            },
            refused,
        }
    }
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            queries: self.queries.saturating_sub(before.queries),
            local: self.local.saturating_sub(before.local),
            stale: self.stale.saturating_sub(before.stale),
            refused: self.refused.saturating_sub(before.refused),
        }
    }
}

/// What was last logged, and which outages go on.
struct Watch {
    summed_at: Instant,
    summed: [u64; REASONS.len()],
    /// At the look before: an outage may have cost something since then.
    before: Counts,
    database: Option<Outage>,
    cache: Option<Outage>,
}

/// An outage that goes on.
struct Outage {
    since: Instant,
    told_at: Instant,
    before: Counts,
}

/// What is to be logged.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Refused(&'static str, u64),
    StillAway(&'static str, Duration, Counts),
    WasAway(&'static str, Duration, Counts),
}

impl Watch {
    fn new(now: Instant, seen: Seen) -> Self {
        Self {
            summed_at: now,
            summed: seen.refused,
            before: seen.counts,
            database: None,
            cache: None,
        }
    }

    fn look(&mut self, now: Instant, seen: Seen) -> Vec<Line> {
        let mut lines = Vec::new();
        let counts = [
            std::mem::replace(&mut self.before, seen.counts),
            seen.counts,
        ];
        lines.extend(follow(
            "the database",
            &mut self.database,
            seen.database_is_up,
            now,
            counts,
        ));
        lines.extend(follow(
            "the cache",
            &mut self.cache,
            seen.cache_is_up,
            now,
            counts,
        ));
        if now - self.summed_at >= SUM {
            self.summed_at = now;
            for ((reason, count), summed) in REASONS.iter().zip(seen.refused).zip(&mut self.summed)
            {
                if count > *summed {
                    lines.push(Line::Refused(reason, count - *summed));
                    *summed = count;
                }
            }
        }
        lines
    }
}

/// Follows one backend, and says what there is to log of it. The counts are those of the look before and of this one.
fn follow(
    backend: &'static str,
    outage: &mut Option<Outage>,
    is_up: bool,
    now: Instant,
    [before, counts]: [Counts; 2],
) -> Option<Line> {
    match (outage.as_mut(), is_up) {
        (None, true) => None,
        (None, false) => {
            *outage = Some(Outage {
                since: now,
                told_at: now,
                before,
            });
            None
        }
        (Some(known), true) => {
            let (lasted, cost) = (now - known.since, counts.since(known.before));
            *outage = None;
            Some(Line::WasAway(backend, lasted, cost))
        }
        (Some(known), false) if now - known.told_at >= REPEAT => {
            known.told_at = now;
            let (lasts, cost) = (now - known.since, counts.since(known.before));
            Some(Line::StillAway(backend, lasts, cost))
        }
        (Some(_), false) => None,
    }
}

impl Line {
    fn log(&self) {
        match self {
            Self::Refused(reason, requests) => {
                let seconds = SUM.as_secs();
                warn!(reason, requests, seconds, "requests were refused");
            }
            Self::StillAway(backend, lasts, cost) => {
                let Counts {
                    queries,
                    local,
                    stale,
                    refused,
                } = cost;
                let seconds = lasts.as_secs();
                warn!(
                    seconds,
                    queries, local, stale, refused, "{backend} is still away"
                );
            }
            Self::WasAway(backend, lasted, cost) => {
                let Counts {
                    queries,
                    local,
                    stale,
                    refused,
                } = cost;
                let seconds = lasted.as_secs();
                info!(
                    seconds,
                    queries, local, stale, refused, "{backend} was away"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Seen = Seen {
        database_is_up: true,
        cache_is_up: true,
        counts: Counts {
            queries: 100,
            local: 0,
            stale: 0,
            refused: 0,
        },
        refused: [0; REASONS.len()],
    };

    /// Looks each second, at what `seen` says of it, and returns every line with its second.
    fn lines(seconds: u64, seen: impl Fn(u64) -> Seen) -> Vec<(u64, Line)> {
        let start = Instant::now();
        let mut watch = Watch::new(start, seen(0));
        let look = |second| {
            let lines = watch.look(start + Duration::from_secs(second), seen(second));
            lines.into_iter().map(move |line| (second, line))
        };
        (0..=seconds).flat_map(look).collect()
    }

    #[test]
    fn a_service_that_is_well_says_nothing() {
        assert_eq!(lines(600, |_| WELL), []);
    }

    #[test]
    fn refusals_are_one_line_per_reason_and_ten_seconds() {
        let seen = |second: u64| Seen {
            refused: [0, 0, 1_000 * second.min(12), 0, 0, second.min(1)],
            ..WELL
        };
        let expected = [
            (10, Line::Refused("db_queue", 10_000)),
            (10, Line::Refused("internal", 1)),
            (20, Line::Refused("db_queue", 2_000)),
        ];
        assert_eq!(lines(60, seen), expected);
    }

    #[test]
    fn an_outage_is_told_each_minute_and_at_its_end() {
        let seen = |second: u64| Seen {
            database_is_up: !(5..135).contains(&second),
            counts: Counts {
                stale: 10 * second,
                ..WELL.counts
            },
            ..WELL
        };
        let cost = |stale| Counts {
            stale,
            ..Counts::default()
        };
        let minute = Duration::from_secs(60);
        let end = Duration::from_secs(130);
        let expected = [
            (65, Line::StillAway("the database", minute, cost(610))),
            (
                125,
                Line::StillAway("the database", 2 * minute, cost(1_210)),
            ),
            (135, Line::WasAway("the database", end, cost(1_310))),
        ];
        assert_eq!(lines(300, seen), expected);
    }

    #[test]
    fn the_two_backends_are_followed_apart() {
        let seen = |second: u64| Seen {
            database_is_up: second != 3,
            cache_is_up: second != 5,
            ..WELL
        };
        let second = Duration::from_secs(1);
        let expected = [
            (4, Line::WasAway("the database", second, Counts::default())),
            (6, Line::WasAway("the cache", second, Counts::default())),
        ];
        assert_eq!(lines(10, seen), expected);
    }

    #[test]
    fn refusals_and_errors_are_read_from_the_counters_that_have_them() {
        use crate::metrics::labels::Method;
        let metrics = Metrics::new("test");
        let answer = |status| {
            metrics
                .http
                .observe(Route::TemplateDetails, Method::Get, status, 0.0);
        };
        metrics.requests_shed.of(ShedReason::Waiters).inc();
        for status in [503, 503, 503, 500, 400, 200] {
            answer(status);
        }
        let seen = Seen::of(&metrics);
        assert_eq!(seen.refused, [0, 1, 0, 0, 2, 1]);
        assert_eq!(seen.counts.refused, 4);
    }
}

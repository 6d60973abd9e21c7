//! Requests that arrive at a rate, whether or not those before them have been answered.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::template::TemplateId;

/// Between two looks at the clock: several requests may be due at one.
const STEP: Duration = Duration::from_millis(4);

/// Begins requests at this rate for so long, and says when the last of them began: later on a busy machine. They end when
/// the set is dropped.
pub(super) async fn arrive<F>(
    requests: &mut JoinSet<()>,
    per_second: u64,
    longest: Duration,
    mut request: impl FnMut() -> F,
) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let (began, mut begun) = (Instant::now(), 0);
    loop {
        let elapsed = began.elapsed().min(longest);
        let due = (elapsed.as_secs_f64() * per_second as f64) as u64;
        for _ in begun..due {
            requests.spawn(request());
        }
        begun = begun.max(due);
        while requests.try_join_next().is_some() {}
        if elapsed == longest {
            return began.elapsed();
        }
        sleep(STEP).await;
    }
}

/// One of the seeded templates; some are asked for far more often than others, as everywhere.
pub(super) fn popular() -> TemplateId {
    popular_among(TEMPLATES)
}

/// As [`popular`], one of the first so many.
pub(super) fn popular_among(templates: u64) -> TemplateId {
    let share = fastrand::f64().powi(3);
    let number = 1 + (share * templates as f64) as i64;
    TemplateId::new(number).expect("a number from 1")
}

/// How many templates the migrations make.
pub(super) const TEMPLATES: u64 = 100;

//! [`Traffic`]: callers at a fixed rate, whether or not the earlier ones have been answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::http::Client;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::ask::ask;
use crate::judge::{Exchange, Judge};
use crate::ledger::TEMPLATES;
use crate::popularity::Popularity;
use crate::stage::Stage;

/// So many ids that do not exist are asked for, in so many of a hundred requests.
const ABSENT_IDS: i64 = 10;
const ABSENT_PERCENT: u32 = 3;

/// So many callers of a hundred hang up, after this at most.
const IMPATIENT_PERCENT: u32 = 1;
const IMPATIENCE: Duration = Duration::from_millis(20);

/// An open loop of callers.
pub(crate) struct Traffic {
    pub(crate) stage: Arc<Stage>,
    pub(crate) judge: Arc<Judge>,
    pub(crate) rate: f64,
    pub(crate) random: Rng,
}

impl Traffic {
    /// Sends requests until `end` completes, and returns when all of them are over.
    pub(crate) async fn flow_until(&mut self, end: impl Future<Output = ()>) {
        let (client, popularity) = (Client::new(), Popularity::new(TEMPLATES));
        let (began, mut callers) = (Instant::now(), JoinSet::new());
        let mut end = std::pin::pin!(end);
        for number in 0_u64.. {
            let intended = began + Duration::from_secs_f64(number as f64 / self.rate);
            tokio::select! {
                biased;
                () = &mut end => break,
                () = sleep_until(intended.into()) => {}
            }
            let id = self.draw(&popularity);
            let patience = (self.random.u32(0..100) < IMPATIENT_PERCENT)
                .then(|| IMPATIENCE.mul_f64(self.random.f64()));
            let call = call(
                Arc::clone(&self.stage),
                Arc::clone(&self.judge),
                client.clone(),
                id,
                intended,
                patience,
            );
            callers.spawn(call);
            while let Some(ended) = callers.try_join_next() {
                ended.expect("a caller does not panic");
            }
        }
        while let Some(ended) = callers.join_next().await {
            ended.expect("a caller does not panic");
        }
    }

    fn draw(&mut self, popularity: &Popularity) -> i64 {
        if self.random.u32(0..100) < ABSENT_PERCENT {
            return 1_000 + self.random.i64(1..=ABSENT_IDS);
        }
        popularity.draw(&mut self.random)
    }
}

async fn call(
    stage: Arc<Stage>,
    judge: Arc<Judge>,
    client: Client,
    id: i64,
    intended: Instant,
    patience: Option<Duration>,
) {
    let (url, sent) = (stage.url_of(id), Instant::now());
    let asking = ask(&client, &url);
    let outcome = match patience {
        None => asking.await,
        Some(patience) => match timeout(patience, asking).await {
            Ok(outcome) => outcome,
            Err(_) => return judge.tally.hung_up(),
        },
    };
    judge.hear(&Exchange {
        id,
        intended,
        sent,
        ended: Instant::now(),
        outcome,
    });
}

//! [`Watch`]: what must hold of `/readyz` and `/metrics` at any moment, and how much the process takes.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::Scrape;
use testkit::http::{Answer, Client};
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

use crate::ask::ask;
use crate::history::History;
use crate::stage::Stage;
use crate::tally::Tally;

const PERIOD: Duration = Duration::from_millis(250);

/// How long after a fault `/readyz` may still say that the database is down.
const RECOVERY: Duration = Duration::from_secs(5);

/// Looks at the service four times a second.
pub(crate) struct Watch {
    pub(crate) stage: Arc<Stage>,
    pub(crate) history: Arc<History>,
    pub(crate) tally: Arc<Tally>,
    /// Memory in use, in MiB, over time.
    pub(crate) memory: Mutex<Vec<u64>>,
}

impl Watch {
    /// Goes on until it is dropped.
    pub(crate) async fn look(&self) {
        let client = Client::new();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look_at_readiness(&client).await;
            self.look_at_counters(&client).await;
            self.memory
                .lock()
                .expect("nobody panics with it")
                .push(resident_mib());
        }
    }

    async fn look_at_readiness(&self, client: &Client) {
        let asked = Instant::now();
        let Some(answer) = self.answer(client, "/readyz").await else {
            return;
        };
        let well = self
            .history
            .database_was_well(asked, Instant::now(), RECOVERY);
        if well && !answer.text().contains("database: ok") {
            self.tally.violation(&format!(
                "/readyz says {:?}, although the database is well",
                answer.text()
            ));
        }
    }

    async fn look_at_counters(&self, client: &Client) {
        let Some(answer) = self.answer(client, "/metrics").await else {
            return;
        };
        let counters = Scrape::parse(answer.text());
        let (queries, slots) = (
            counters.value("db_queries_in_flight"),
            counters.value("db_slots"),
        );
        if queries > slots {
            self.tally
                .violation(&format!("{queries} queries in flight in {slots} slots"));
        }
    }

    async fn answer(&self, client: &Client, path: &str) -> Option<Answer> {
        let asked = Instant::now();
        let came = match ask(client, &self.stage.service.url(path)).await {
            Ok(answer) if answer.status == 200 => return Some(answer),
            Ok(answer) => answer.status.to_string(),
            Err(error) => error,
        };
        let faults = self.history.between(asked, Instant::now());
        self.tally
            .violation(&format!("{path} answered {came}; broken: {faults}"));
        None
    }
}

/// What is in use at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// Tasks of the service.
    pub(crate) tasks: usize,
    /// Open descriptors of the whole process.
    pub(crate) descriptors: usize,
    /// Memory of the whole process.
    pub(crate) mib: u64,
}

impl Level {
    /// At this moment; the service's runtime is the one given.
    pub(crate) fn now(service: &Handle) -> Self {
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            tasks: service.metrics().num_alive_tasks(),
            descriptors,
            mib: resident_mib(),
        }
    }
}

fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

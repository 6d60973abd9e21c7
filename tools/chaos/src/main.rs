//! A soak: the real service on real servers under load, while Redis, PostgreSQL and the network between break and mend
//! in every way there is, at random but from a seed. What must hold throughout stands in [`judge`], [`watch`] and
//! [`finale`]; a promise that is broken is shown at once, and ends the run with exit code 1.
//!
//! ```text
//! cargo run --release -p chaos -- --seed 7 --for 60s --rate 300
//! ```
//!
//! What several processes promise together is checked in another kind of run: see [`replicas`].

#![expect(
    clippy::print_stdout,
    reason = "progress and the report are what it is for"
)]

mod ask;
mod finale;
mod history;
mod judge;
mod ledger;
mod options;
mod popularity;
mod replicas;
mod report;
mod saboteur;
mod schedule;
mod stage;
mod tally;
mod traffic;
mod watch;
mod writer;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::sleep;

use crate::history::History;
use crate::judge::Judge;
use crate::ledger::Ledger;
use crate::options::{Options, Run};
use crate::replicas::ReplicasOptions;
use crate::report::Report;
use crate::saboteur::Saboteur;
use crate::schedule::Schedule;
use crate::stage::Stage;
use crate::tally::Tally;
use crate::traffic::Traffic;
use crate::watch::{Level, Watch};

const WARM_UP: Duration = Duration::from_secs(3);

/// After the traffic has ended: connections close, and loads without callers land.
const LULL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match Options::from_command_line() {
        Run::Soak(options) => soak(options),
        Run::Replicas(options) => check_replicas(&options),
    }
}

fn check_replicas(options: &ReplicasOptions) -> ExitCode {
    let violations = runtime().block_on(replicas::run(options));
    if violations == 0 {
        return ExitCode::SUCCESS;
    }
    println!("{violations} violations; again with: {}", options.line());
    ExitCode::FAILURE
}

fn soak(options: Options) -> ExitCode {
    println!(
        "chaos: seed {}, {} of faults",
        options.seed,
        humantime::format_duration(options.length)
    );
    let (service, ours) = (runtime(), runtime());
    let violations = ours.block_on(run(options, service.handle().clone()));
    service.shutdown_background();
    if violations == 0 {
        return ExitCode::SUCCESS;
    }
    println!(
        "{violations} violations; again with: --seed {} --for {:?}",
        options.seed, options.length
    );
    ExitCode::FAILURE
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads")
}

/// The whole run; returns the number of violations.
async fn run(options: Options, service: Handle) -> usize {
    let mut random = Rng::with_seed(options.seed);
    let stage = Arc::new(Stage::set(&service).await);
    let (ledger, history, tally) = (
        Arc::new(Ledger::new()),
        Arc::new(History::new()),
        Arc::new(Tally::new()),
    );
    let judge = Arc::new(Judge {
        ledger: Arc::clone(&ledger),
        history: Arc::clone(&history),
        tally: Arc::clone(&tally),
    });
    let mut traffic = Traffic {
        stage: Arc::clone(&stage),
        judge,
        rate: options.rate,
        random: random.fork(),
    };
    let saboteur = Saboteur::new(&stage, Arc::clone(&history), &mut random);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writer::write(
        stage.database_url.clone(),
        Arc::clone(&ledger),
        Arc::clone(&stop),
        random.fork(),
    );
    let writing = tokio::spawn(writing);
    traffic.flow_until(sleep(WARM_UP)).await;
    sleep(LULL).await;
    let before = Level::now(&service);

    let watch = Watch {
        stage: Arc::clone(&stage),
        history: Arc::clone(&history),
        tally: Arc::clone(&tally),
        memory: Mutex::default(),
    };
    let sabotage = saboteur.work(Schedule::new(options.seed, options.length));
    tokio::select! {
        () = traffic.flow_until(sabotage) => {}
        () = watch.look() => {}
        () = report::progress(&tally, &history) => {}
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("a writer does not panic");
    sleep(LULL).await;
    let after = finale::check(&stage, &tally, &service, before).await;
    let memory = watch.memory.into_inner().expect("nobody panics with it");
    let counts = tally.so_far();
    let report = Report {
        options,
        counts: counts.clone(),
        faults: history.names(),
        updates: ledger.updates(),
        before,
        after,
        memory: &memory,
    };
    report.show();
    counts.violations
}

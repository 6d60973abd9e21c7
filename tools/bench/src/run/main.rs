//! What requests cost, measured from outside: the service as a process of its own on a private PostgreSQL and Redis,
//! beside a server of the same axum that only says hello. All cases take turns in every round, so that they share
//! whatever else the machine does, and what counts is the ratio of one to another in the same round.

mod cold;
mod idle;
mod load;
mod measures;
mod options;
mod picture;
mod process;
mod report;
mod stage;
mod start;
mod targets;
mod wrk;

use std::process::ExitCode;

use measures::Measures;
use options::{Case, Options};
use stage::Stage;

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(done) => return done,
    };
    // One thread: what the callers take is taken from the service, on the same cores.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    match runtime.block_on(run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tools/bench/run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, shows and writes down; false if a target was missed.
async fn run(options: &Options) -> std::io::Result<bool> {
    let mut measures = Measures::default();
    let stage = Stage::set(options).await?;
    if options.includes(Case::Load) || options.includes(Case::Growth) {
        load::measure(&stage, options, &mut measures).await?;
    }
    if options.includes(Case::Cold) {
        cold::measure(&stage, options, &mut measures).await?;
    }
    if options.includes(Case::Idle) {
        idle::measure(&stage, &mut measures).await?;
    }
    if options.includes(Case::Start) {
        start::measure(&stage, options, &mut measures).await?;
    }
    let results = targets::judge(&measures);
    report::print(&measures, &results);
    if options.is_whole() {
        report::save(&measures, &results)?;
    }
    Ok(results.iter().all(|result| result.is_met()))
}

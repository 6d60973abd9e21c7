//! Load on warm services: what a request costs, how many are answered, and how long the slowest wait.

use std::io;
use std::time::Duration;

use crate::measures::Measures;
use crate::options::{Case, Options};
use crate::process::Process;
use crate::stage::{FEW, MANY, Stage, TEMPLATE};
use crate::wrk::{Answered, Load};

/// One of the things that take turns.
struct Turn<'a> {
    name: &'static str,
    process: &'a Process,
    load: Load,
}

/// Has all of them take turns, round by round.
pub(crate) async fn measure(
    stage: &Stage,
    options: &Options,
    measures: &mut Measures,
) -> io::Result<()> {
    let turns = turns(stage, options);
    for turn in &turns {
        run(turn, Duration::from_millis(300)).await?;
    }
    for round in 1..=options.rounds {
        for turn in &turns {
            eprint!("\rround {round} of {}: {:24}", options.rounds, turn.name);
            let before = turn.process.processor_time()?;
            let answered = run(turn, options.load).await?;
            let spent = turn.process.processor_time()? - before;
            let micros = spent.as_secs_f64() * 1e6 / answered.requests;
            measures.add(&format!("{} cpu", turn.name), micros);
            measures.add(&format!("{} rate", turn.name), answered.per_second);
            measures.add(&format!("{} p99", turn.name), answered.p99_micros);
        }
    }
    eprintln!("\r{:40}", "");
    Ok(())
}

async fn run(turn: &Turn<'_>, duration: Duration) -> io::Result<Answered> {
    let answered = turn.load.run(duration).await;
    answered.map_err(|error| io::Error::other(format!("{}: {error}", turn.name)))
}

fn turns<'a>(stage: &'a Stage, options: &Options) -> Vec<Turn<'a>> {
    let turn = |name, process: &'a Process, path| Turn {
        name,
        process,
        load: Load {
            url: process.url(path),
            connections: 64,
            header: None,
            templates: None,
        },
    };
    let mut turns = vec![turn("hello", &stage.hello, "/")];
    turns.push(turn("hit", &stage.few, TEMPLATE));
    if options.includes(Case::Load) {
        let mut not_modified = turn("304", &stage.few, TEMPLATE);
        not_modified.load.header = Some("If-None-Match: \"1-1\"");
        turns.push(not_modified);
        turns.push(turn("local", &stage.away, TEMPLATE));
    }
    if let Some(many) = stage
        .many
        .as_ref()
        .filter(|_| options.includes(Case::Growth))
    {
        let mut crowd = turn("hit by 4000", &stage.few, TEMPLATE);
        crowd.load.connections = 4_000;
        turns.push(crowd);
        let mut of_few = turn("hit of 100", &stage.few, TEMPLATE);
        of_few.load.templates = Some(FEW);
        turns.push(of_few);
        let mut of_many = turn("hit of 1000000", many, TEMPLATE);
        of_many.load.templates = Some(MANY);
        turns.push(of_many);
    }
    turns
}

//! Load on warm services: what a request costs, how many are answered, and how long the slowest wait.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

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
    /// What the process counts such requests by.
    counter: &'static str,
    /// How long until all connections are there, if that takes a while.
    settling: Option<Duration>,
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
    let lookups = stage.near.counter("cache_hits_total").await?;
    for round in 1..=options.rounds {
        for turn in &turns {
            eprint!("\rround {round} of {}: {:24}", options.rounds, turn.name);
            let (answered, micros) = match turn.settling {
                None => cost(turn, options.load).await?,
                Some(settling) => settled_cost(turn, settling, options.load).await?,
            };
            measures.add(&format!("{} cpu", turn.name), micros);
            measures.add(&format!("{} rate", turn.name), answered.per_second);
            measures.add(&format!("{} p99", turn.name), answered.p99_micros);
        }
    }
    let lookups = stage.near.counter("cache_hits_total").await? - lookups;
    measures.add("near lookups", lookups);
    eprintln!("\r{:40}", "");
    Ok(())
}

/// What was answered, and the microseconds of processor time for each.
async fn cost(turn: &Turn<'_>, load: Duration) -> io::Result<(Answered, f64)> {
    let before = turn.process.processor_time()?;
    let answered = run(turn, load).await?;
    let spent = turn.process.processor_time()? - before;
    let micros = spent.as_secs_f64() * 1e6 / answered.requests;
    Ok((answered, micros))
}

/// The same, once all connections are there: thousands of them cost more than what is asked on them in a short while.
async fn settled_cost(
    turn: &Turn<'_>,
    settling: Duration,
    load: Duration,
) -> io::Result<(Answered, f64)> {
    let count = async || {
        io::Result::Ok((
            turn.process.counter(turn.counter).await?,
            turn.process.processor_time()?,
        ))
    };
    let counted = async {
        sleep(settling).await;
        let before = count().await?;
        sleep(load).await;
        let after = count().await?;
        io::Result::Ok((after.1 - before.1).as_secs_f64() * 1e6 / (after.0 - before.0))
    };
    let (answered, micros) = tokio::join!(run(turn, settling + load * 2), counted);
    Ok((answered?, micros?))
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
        counter: "http_request_total{method=\"GET\",path=\"/template-details\"",
        settling: None,
    };
    let mut turns = vec![turn("hello", &stage.hello, "/")];
    turns.push(turn("hit", &stage.few, TEMPLATE));
    if options.includes(Case::Load) {
        let mut not_modified = turn("304", &stage.few, TEMPLATE);
        not_modified.load.header = Some("If-None-Match: \"1-1\"");
        turns.push(not_modified);
        turns.push(turn("local", &stage.away, TEMPLATE));
        turns.push(turn("near", &stage.near, TEMPLATE));
    }
    if let Some(many) = stage
        .many
        .as_ref()
        .filter(|_| options.includes(Case::Growth))
    {
        let crowd = |mut turn: Turn<'a>| {
            turn.load.connections = 4_000;
            turn.settling = Some(Duration::from_secs(1));
            turn
        };
        let mut hello = turn("hello by 4000", &stage.hello, "/");
        hello.counter = "hello_total";
        turns.push(crowd(hello));
        turns.push(crowd(turn("hit by 4000", &stage.few, TEMPLATE)));
        let mut of_few = turn("hit of 100", &stage.few, TEMPLATE);
        of_few.load.templates = Some(FEW);
        turns.push(of_few);
        let mut of_many = turn("hit of 1000000", many, TEMPLATE);
        of_many.load.templates = Some(MANY);
        turns.push(of_many);
    }
    turns
}

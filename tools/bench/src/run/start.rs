//! From the start of the process to its first answer from the database.

use std::io;
use std::time::{Duration, Instant};

use crate::measures::Measures;
use crate::options::Options;
use crate::process::{Process, ask};
use crate::stage::{Stage, TEMPLATE};

pub(crate) async fn measure(
    stage: &Stage,
    options: &Options,
    measures: &mut Measures,
) -> io::Result<()> {
    for round in 1..=options.rounds {
        eprint!("\rstart: {round}  ");
        let redis_url = stage.redis.database();
        let began = Instant::now();
        let service = Process::spawn_service(&[
            ("DATABASE_URL", &stage.database_url),
            ("REDIS_URL", &redis_url),
        ])?;
        while !is_answered(&service).await {
            if began.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::other("the service does not start"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        measures.add("start", began.elapsed().as_secs_f64() * 1e3);
    }
    eprintln!("\r{:40}", "");
    Ok(())
}

async fn is_answered(service: &Process) -> bool {
    let answer = ask(service.address, TEMPLATE, "").await;
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

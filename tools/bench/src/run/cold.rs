//! A thousand callers of a template that is not cached, at once.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::sleep;

use crate::measures::Measures;
use crate::options::Options;
use crate::process::Process;
use crate::stage::Stage;

const CALLERS: usize = 1_000;

/// How much earlier than the others the first caller asks.
const HEAD_START: Duration = Duration::from_millis(20);

/// Each round asks for another of the templates that the database has.
pub(crate) async fn measure(
    stage: &Stage,
    options: &Options,
    measures: &mut Measures,
) -> io::Result<()> {
    let redis_url = stage.redis.database();
    let service = Process::service(&[
        ("DATABASE_URL", &stage.database_url),
        ("REDIS_URL", &redis_url),
        // Long enough for everybody to come while the query runs.
        ("DB_DELAY", "300ms"),
    ])
    .await?;
    for id in 1..=options.rounds.max(9) {
        eprint!("\rcold: {id}  ");
        let before = service.counter("db_hits_total").await?;
        let last = stampede(&service, id).await?;
        let queries = service.counter("db_hits_total").await? - before;
        // The first has warmed everything up.
        if id > 1 {
            measures.add("cold last answer", last.as_secs_f64() * 1e3);
            measures.add("cold queries", queries);
        }
    }
    eprintln!("\r{:40}", "");
    Ok(())
}

/// How long after the end of the query the last caller had its answer.
async fn stampede(service: &Process, id: usize) -> io::Result<Duration> {
    let request = format!("GET /template-details?id={id} HTTP/1.1\r\nhost: bench\r\n\r\n");
    let request: Arc<[u8]> = request.into_bytes().into();
    let everybody = Arc::new(Barrier::new(CALLERS));
    let mut callers = Vec::with_capacity(CALLERS);
    for number in 0..CALLERS {
        let stream = TcpStream::connect(service.address).await?;
        stream.set_nodelay(true)?;
        let (request, everybody) = (Arc::clone(&request), Arc::clone(&everybody));
        callers.push(tokio::spawn(async move {
            everybody.wait().await;
            if number > 0 {
                sleep(HEAD_START).await;
            }
            call(stream, &request).await
        }));
    }
    let (mut ended, mut last, mut connections) = (None, None, Vec::with_capacity(CALLERS));
    for caller in callers {
        let Call {
            asked,
            answered,
            answer,
            connection,
        } = caller.await.map_err(io::Error::other)??;
        // Nobody hangs up while others wait: to close a connection costs the service as much as an answer does.
        connections.push(connection);
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("expected 200, got {answer}")));
        }
        if answer.contains("fwd=miss; stored") {
            // Before the service began to look, it was asked: the query may have ended a little later than this.
            ended = Some(asked + took(&answer, "cache;dur=") + took(&answer, "db;dur="));
        }
        last = last.max(Some(answered));
    }
    match (ended, last) {
        (Some(ended), Some(last)) => Ok(last.saturating_duration_since(ended)),
        _ => Err(io::Error::other("nobody's load was stored")),
    }
}

/// What one caller saw.
struct Call {
    asked: Instant,
    answered: Instant,
    answer: String,
    connection: TcpStream,
}

async fn call(mut connection: TcpStream, request: &[u8]) -> io::Result<Call> {
    let asked = Instant::now();
    connection.write_all(request).await?;
    let mut answer = vec![0; 2048];
    let length = connection.read(&mut answer).await?;
    let answered = Instant::now();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    Ok(Call {
        asked,
        answered,
        answer,
        connection,
    })
}

/// What `Server-Timing` says of a part.
fn took(answer: &str, part: &str) -> Duration {
    let text = answer.split_once(part).map_or("", |(_, rest)| rest);
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let milliseconds = text[..end.unwrap_or(text.len())].parse::<f64>();
    Duration::from_secs_f64(milliseconds.unwrap_or_default() / 1e3)
}

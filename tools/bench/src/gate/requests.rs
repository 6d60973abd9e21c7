//! What one request takes, through the service as it is in production: its accept loop, router and cache client. The
//! caller and the scripted Redis have threads of their own, so that only the service is counted.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use stampede::app::App;
use stampede::config::{Config, LogFormat};
use stampede::telemetry;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::scripted_collector;
use super::scripted_redis;
use super::{Allocated, allocations, counted, runtime};

const WARM_UP: usize = 100;
const COUNTED: u32 = 500;
/// Between two requests, so that the service has gone to sleep.
const PAUSE: Duration = Duration::from_millis(1);

/// A router with one route that says hello.
pub(crate) fn hello() -> io::Result<Allocated> {
    let runtime = runtime()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/", get(async || "hello"));
    runtime.spawn(async move { axum::serve(listener, router).await });
    count(
        &runtime,
        address,
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "200",
    )
}

/// Templates from Redis.
pub(crate) fn redis_hit() -> io::Result<Allocated> {
    let redis = format!("redis://{}", scripted_redis::start()?);
    template(&[("REDIS_URL", &redis)], "", "stampede; hit; ttl=")
}

/// "Not modified", after asking Redis.
pub(crate) fn redis_304() -> io::Result<Allocated> {
    let redis = format!("redis://{}", scripted_redis::start()?);
    template(
        &[("REDIS_URL", &redis)],
        "if-none-match: \"1-1\"\r\n",
        "304 ",
    )
}

/// Templates from the local copy: nothing listens where Redis should be.
pub(crate) fn local_hit() -> io::Result<Allocated> {
    template(&[("REDIS_URL", "redis://127.0.0.1:1")], "", "detail=local")
}

/// Templates from the cache that stands in for Redis.
pub(crate) fn embedded_hit() -> io::Result<Allocated> {
    template(&[], "", "stampede; hit; ttl=")
}

/// Templates from Redis for callers that are traced, while the service is not.
pub(crate) fn context_unread() -> io::Result<Allocated> {
    redis_hit_within("01", &[])
}

/// The same with traces, for callers that are not sampled.
pub(crate) fn unsampled() -> io::Result<Allocated> {
    traced_redis_hit("00")
}

/// The same with traces, for callers that are sampled; what is exported is counted too.
pub(crate) fn sampled() -> io::Result<Allocated> {
    traced_redis_hit("01")
}

fn traced_redis_hit(flags: &str) -> io::Result<Allocated> {
    let collector = format!("http://{}", scripted_collector::start()?);
    redis_hit_within(flags, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)])
}

fn redis_hit_within(flags: &str, settings: &[(&str, &str)]) -> io::Result<Allocated> {
    let redis = format!("redis://{}", scripted_redis::start()?);
    let settings = [settings, &[("REDIS_URL", &*redis)]].concat();
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    let header = format!("traceparent: {context}-{flags}\r\n");
    template(&settings, &header, "stampede; hit; ttl=")
}

fn template(
    settings: &[(&str, &str)],
    headers: &str,
    expected: &'static str,
) -> io::Result<Allocated> {
    telemetry::start(LogFormat::Text, "error");
    let mut settings: HashMap<_, _> = settings.iter().copied().collect();
    settings.insert("CACHE_TTL", "1h");
    // Under a profiler everything is slow.
    settings.extend([
        ("REDIS_TIMEOUT", "2s"),
        ("REQUEST_TIMEOUT", "1m"),
        ("DB_TIMEOUT", "10s"),
    ]);
    let config = Config::from_variables(|name| settings.get(name).map(|value| (*value).to_owned()));
    let config = config.map_err(io::Error::other)?;
    let runtime = runtime()?;
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = App::build(&config).await.map_err(io::Error::other)?;
        tokio::spawn(app.serve(listener, std::future::pending()));
        io::Result::Ok(address)
    })?;
    let request =
        format!("GET /template-details?id=1 HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    count(&runtime, address, &request, expected)
}

fn count(
    runtime: &Runtime,
    address: SocketAddr,
    request: &str,
    expected: &'static str,
) -> io::Result<Allocated> {
    let (warm, is_warm) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let (begin, may_begin) = mpsc::channel();
    let request = request.to_owned();
    let caller = thread::spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        for _ in 0..WARM_UP {
            ask(&mut stream, &request)?;
        }
        let _ = warm.send(());
        let _ = may_begin.recv();
        let answers = (0..COUNTED).map(|_| ask(&mut stream, &request));
        let answers: Vec<_> = answers.collect::<io::Result<_>>()?;
        let _ = done.send(());
        io::Result::Ok(answers)
    });
    let _ = runtime.block_on(is_warm);
    counted(
        runtime,
        Box::pin(async move {
            let _ = begin.send(());
            let _ = is_done.await;
        }),
    );
    let answers = caller
        .join()
        .map_err(|_| io::Error::other("the caller panicked"))??;
    if let Some((other, _)) = answers
        .iter()
        .find(|(answer, _)| !answer.contains(expected))
    {
        return Err(io::Error::other(format!(
            "expected {expected}, got {other}"
        )));
    }
    let before: Vec<_> = answers.iter().map(|(_, before)| *before).collect();
    let mut each: Vec<_> = before.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // What the service does now and then falls to a few of them: the middle one has nothing of it.
    let (_, middle, _) = each.select_nth_unstable(before.len() / 2);
    Ok(Allocated {
        each: *middle as f64,
        calls: COUNTED,
    })
}

/// The answer, and how much the service had allocated before, when it was at rest.
fn ask(stream: &mut TcpStream, request: &str) -> io::Result<(String, u64)> {
    thread::sleep(PAUSE);
    let before = allocations::so_far();
    stream.write_all(request.as_bytes())?;
    let mut answer = [0; 4096];
    // Small enough to come in one piece over the loopback.
    let length = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    Ok((answer, before))
}

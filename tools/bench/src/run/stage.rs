//! [`Stage`]: the servers that everything is measured on.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use testkit::port::ReservedPort;
use testkit::{Postgres, Redis};

use crate::options::{Case, Options};
use crate::process::{Process, ask};

/// Nothing expires while it is measured.
const TTL: &str = "1h";
const TTL_MILLISECONDS: u64 = 3_600_000;

/// How many templates the large Redis has.
pub(crate) const MANY: u32 = 1_000_000;
/// How many the other one has: what the database has too.
pub(crate) const FEW: u32 = 100;

pub(crate) struct Stage {
    pub(crate) hello: Process,
    /// On a Redis that has a few templates.
    pub(crate) few: Process,
    /// On a Redis that has many.
    pub(crate) many: Option<Process>,
    /// On no Redis: nothing listens where it should be.
    pub(crate) away: Process,
    /// Answers from near copies, on the same Redis as `few`.
    pub(crate) near: Process,
    pub(crate) redis: Redis,
    pub(crate) database_url: String,
    _postgres: Postgres,
    _nobody: ReservedPort,
}

impl Stage {
    pub(crate) async fn set(options: &Options) -> io::Result<Self> {
        eprintln!("starting PostgreSQL and Redis");
        let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
        let database_url = postgres.database().await;
        let nobody = ReservedPort::new();
        let closed = format!("redis://127.0.0.1:{}", nobody.number());
        let few_url = redis.database();
        let few = on_a_full_redis(&database_url, &few_url, FEW).await?;
        let many = if options.includes(Case::Growth) || options.includes(Case::Idle) {
            eprintln!("filling a Redis with {MANY} templates");
            Some(on_a_full_redis(&database_url, &redis.database(), MANY).await?)
        } else {
            None
        };
        let stage = Self {
            hello: Process::hello().await?,
            few,
            many,
            away: service(&database_url, &closed, &[]).await?,
            near: service(&database_url, &few_url, &[("NEAR_FOR", "1m")]).await?,
            redis,
            database_url,
            _postgres: postgres,
            _nobody: nobody,
        };
        stage.rehearse().await?;
        Ok(stage)
    }

    /// Each service answers from where it should.
    async fn rehearse(&self) -> io::Result<()> {
        let known = "if-none-match: \"1-1\"\r\n";
        for service in [&self.away, &self.near] {
            let _filled = ask(service.address, TEMPLATE, "").await?;
        }
        for (service, headers, expected) in [
            (&self.few, "", "stampede; hit; ttl="),
            (&self.few, known, "HTTP/1.1 304"),
            (&self.away, "", "detail=local"),
            (&self.near, "", "detail=near"),
        ] {
            let answer = ask(service.address, TEMPLATE, headers).await?;
            if !answer.contains(expected) {
                return Err(io::Error::other(format!(
                    "expected {expected}, got {answer}"
                )));
            }
        }
        Ok(())
    }
}

/// The template that load is put on.
pub(crate) const TEMPLATE: &str = "/template-details?id=1";

/// The service with the defaults, but for the time that templates are kept, and for 4,000 callers at once: they are
/// admitted, and wait for each other longer than `REDIS_TIMEOUT` is by default.
pub(crate) async fn service(
    database_url: &str,
    redis_url: &str,
    more: &[(&str, &str)],
) -> io::Result<Process> {
    let mut settings = vec![
        ("DATABASE_URL", database_url),
        ("REDIS_URL", redis_url),
        ("CACHE_TTL", TTL),
        ("MAX_IN_FLIGHT", "8000"),
        ("REDIS_TIMEOUT", "1s"),
    ];
    settings.extend(more);
    Process::service(&settings).await
}

/// A service whose Redis has these templates. They come after its start: what is older than that is not trusted to have
/// missed no change when Redis is slow to answer.
async fn on_a_full_redis(
    database_url: &str,
    redis_url: &str,
    templates: u32,
) -> io::Result<Process> {
    let service = service(database_url, redis_url, &[]).await?;
    ask(service.address, TEMPLATE, "").await?;
    fill(redis_url, templates).await?;
    Ok(service)
}

/// Puts templates into a Redis as the service itself would.
async fn fill(url: &str, templates: u32) -> io::Result<()> {
    const AT_ONCE: u32 = 10_000;
    let client = redis::Client::open(url).map_err(io::Error::other)?;
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection: MultiplexedConnection = connection.map_err(io::Error::other)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or_default();
    for first in (1..=templates).step_by(AT_ONCE as usize) {
        let mut commands = redis::pipe();
        for id in first..=templates.min(first + AT_ONCE - 1) {
            commands
                .set(format!("td:v1:{id}"), payload(id, now))
                .ignore();
        }
        let sent = commands.query_async::<()>(&mut connection).await;
        sent.map_err(io::Error::other)?;
    }
    Ok(())
}

fn payload(id: u32, now: u64) -> String {
    let expires_at = now + TTL_MILLISECONDS;
    let rest = format!(
        "{id} 1 t {now} {expires_at} 900\n\
         {{\"id\":{id},\"name\":\"Template {id}\",\"updated_at\":\"2026-01-01T00:00:00Z\",\"version\":1}}"
    );
    format!("td1 {:08x} {rest}", crc32fast::hash(rest.as_bytes()))
}

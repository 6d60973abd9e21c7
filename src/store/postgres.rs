//! What is particular to PostgreSQL: the session's settings, the migrations, and how it tells of changes.

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use sqlx::ConnectOptions as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions, PgSslMode};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::migrations::migrator;
use super::notices::{ANSWER_TIMEOUT, Notice, no_answer};
use crate::config::is_remote;
use crate::metrics::IntGauge;
use crate::template::TemplateId;

/// Reads the address, and adds the limits that the server enforces itself.
///
/// The server ends a query a little before this side gives it up. So the connection can be used again, as long as the
/// server answers at all.
pub(super) fn options(
    url: &str,
    query_timeout: Duration,
) -> Result<PgConnectOptions, &'static str> {
    let milliseconds =
        |share: f64| format!("{}ms", query_timeout.mul_f64(share).as_millis().max(1));
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| "PostgreSQL's client does not accept this address")?
        .options([
            ("statement_timeout", milliseconds(0.95)),
            ("lock_timeout", milliseconds(0.9)),
            ("idle_in_transaction_session_timeout", milliseconds(1.0)),
        ])
        .disable_statement_logging();
    let named = options.get_application_name().is_some();
    Ok(if named {
        options
    } else {
        options.application_name("stampede")
    })
}

/// Whether what is sent to it may pass between machines without TLS.
pub(super) fn may_be_read_by_others(options: &PgConnectOptions) -> bool {
    let requires_tls = matches!(
        options.get_ssl_mode(),
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
    );
    !requires_tls && options.get_socket().is_none() && is_remote(options.get_host())
}

/// The schema and the seed rows. Replicas that start together take turns, by an advisory lock.
pub(super) fn migrations() -> Migrator {
    migrator([
        (
            "templates",
            include_str!("../../migrations/postgres/0001_templates.sql"),
        ),
        (
            "changes",
            include_str!("../../migrations/postgres/0002_changes.sql"),
        ),
        (
            "put",
            include_str!("../../migrations/postgres/0003_put.sql"),
        ),
        (
            "change times",
            include_str!("../../migrations/postgres/0004_change_times.sql"),
        ),
    ])
}

const CHANNEL: &str = "stampede_changes";

/// After this long without a notice, the session is checked.
const QUIET: Duration = Duration::from_secs(5);

/// One session: it listens until it breaks, or the notices are read no more. The trigger that notifies is in
/// `migrations/postgres/0004_change_times.sql`.
pub(super) async fn hear(
    options: PgConnectOptions,
    notices: Sender<Notice>,
    hearing: IntGauge,
) -> Result<(), sqlx::Error> {
    let name = format!(
        "{} listener",
        options.get_application_name().unwrap_or_default()
    );
    let session = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER_TIMEOUT)
        .connect_lazy_with(options.application_name(name.trim_start()));
    let mut listener = PgListener::connect_with(&session).await?;
    timeout(ANSWER_TIMEOUT, listener.listen(CHANNEL))
        .await
        .map_err(no_answer)??;
    let mut clock = ServerClock::read(&mut listener).await?;
    hearing.set(1);
    let mut notice = Some(Notice::Gap);
    loop {
        if let Some(notice) = notice.take()
            && notices.send(notice).await.is_err()
        {
            return Ok(());
        }
        match timeout(QUIET, listener.try_recv()).await {
            Ok(heard) => match heard? {
                Some(heard) => notice = understand(&heard, &clock),
                None => return Ok(()),
            },
            Err(_) => clock = ServerClock::read(&mut listener).await?,
        }
    }
}

/// How far the server's clock is ahead of this process's. Half the time of the reading is its error, so that a lag does
/// not depend on how well two machines keep time.
struct ServerClock {
    ahead_micros: i64,
}

impl ServerClock {
    /// Reads the server's clock, which also shows that the session is there.
    async fn read(listener: &mut PgListener) -> Result<Self, sqlx::Error> {
        const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let before = micros_now();
        let reading = sqlx::query_scalar::<_, i64>(CLOCK).fetch_one(listener);
        let theirs = timeout(ANSWER_TIMEOUT, reading)
            .await
            .map_err(no_answer)??;
        let ours = before + (micros_now() - before) / 2;
        Ok(Self {
            ahead_micros: theirs - ours,
        })
    }

    /// How long ago it was this time by the server's clock.
    fn since(&self, micros: i64) -> Duration {
        let ago = micros_now() + self.ahead_micros - micros;
        Duration::from_micros(u64::try_from(ago).unwrap_or(0))
    }
}

fn micros_now() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// `<id> <version> <time>`, or `*` for all templates. Other payloads are not this service's.
fn understand(heard: &PgNotification, clock: &ServerClock) -> Option<Notice> {
    if heard.payload() == "*" {
        return Some(Notice::AllChanged);
    }
    let mut fields = heard.payload().split(' ');
    Some(Notice::Changed {
        id: TemplateId::parse(fields.next()?)?,
        version: fields.next()?.parse().ok()?,
        lag: fields
            .next()
            .and_then(|at| Some(clock.since(at.parse().ok()?))),
    })
}

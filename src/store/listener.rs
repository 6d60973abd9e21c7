//! What PostgreSQL says of changes: a session of its own that listens, and begins again when it breaks.
//!
//! The trigger that speaks is in `migrations/postgres/0002_changes.sql`. While nobody listens, changes are not heard of;
//! so each beginning is announced as a [`Notice::Gap`].

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::change::Notice;
use super::connection::Engine;
use crate::template::TemplateId;

const CHANNEL: &str = "stampede_templates";

/// Between two beginnings.
const PAUSE: Duration = Duration::from_secs(1);

/// After this long without a word, the session is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(5);

/// Longest a connection, or the answer to that question, may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many notices may wait to be read; behind them, the database keeps them.
const NOTICES: usize = 1024;

/// Starts to listen, where there is something to listen to, and waits for the first attempt. If that succeeds, nothing
/// was missed: nothing has been loaded yet.
pub(super) async fn start(engine: &Engine) -> (Option<AbortHandle>, Option<Receiver<Notice>>) {
    let Engine::Postgres(options) = engine else {
        return (None, None);
    };
    let (sender, mut notices) = mpsc::channel(NOTICES);
    let task = tokio::spawn(listen((**options).clone(), sender));
    let _ = timeout(PATIENCE, notices.recv()).await;
    (Some(task.abort_handle()), Some(notices))
}

/// Listens until nobody reads the notices any more. The first attempt is followed by a [`Notice::Gap`] in any case.
async fn listen(options: PgConnectOptions, notices: Sender<Notice>) {
    let mut first_attempt = true;
    while !notices.is_closed() {
        // Why it ended is in the log already: what ends this session ends the others as well.
        let outcome = hear(&options, &notices).await;
        if std::mem::take(&mut first_attempt) && outcome.is_err() {
            let _ = notices.send(Notice::Gap).await;
        }
        sleep(PAUSE).await;
    }
}

async fn hear(options: &PgConnectOptions, notices: &Sender<Notice>) -> Result<(), sqlx::Error> {
    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let name = format!(
        "{} listener",
        options.get_application_name().unwrap_or_default()
    );
    let session = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options.clone().application_name(name.trim_start()));
    let mut listener = PgListener::connect_with(&session).await?;
    timeout(PATIENCE, listener.listen(CHANNEL))
        .await
        .map_err(silent)??;
    let mut notice = Some(Notice::Gap);
    loop {
        if let Some(notice) = notice.take()
            && notices.send(notice).await.is_err()
        {
            return Ok(());
        }
        match timeout(QUIET, listener.try_recv()).await {
            Ok(heard) => match heard? {
                Some(heard) => notice = understand(&heard),
                None => return Ok(()),
            },
            Err(_) => {
                timeout(PATIENCE, listener.execute("SELECT 1"))
                    .await
                    .map_err(silent)??;
            }
        }
    }
}

/// `<id> <version>`, or `*`; anything else is none of ours.
fn understand(heard: &PgNotification) -> Option<Notice> {
    let text = heard.payload();
    if text == "*" {
        return Some(Notice::AllChanged);
    }
    let (id, version) = text.split_once(' ')?;
    Some(Notice::Changed {
        id: TemplateId::parse(id)?,
        version: version.parse().ok()?,
    })
}

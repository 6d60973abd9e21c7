//! What PostgreSQL says of changes: a session of its own that listens, and begins again when it breaks.
//!
//! The trigger that speaks is in `migrations/postgres/0002_changes.sql`. While nobody listens, changes are not heard of;
//! so each beginning is announced as a [`Notice::Gap`].

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::change::Notice;
use crate::template::TemplateId;

const CHANNEL: &str = "stampede_templates";

/// Between two beginnings.
const PAUSE: Duration = Duration::from_secs(1);

/// After this long without a word, the session is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(5);

/// Longest a connection, or the answer to that question, may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Listens until nobody reads the notices any more.
pub(super) async fn listen(options: PgConnectOptions, notices: Sender<Notice>) {
    while !notices.is_closed() {
        // Why it ended is in the log already: what ends this session ends the others as well.
        let _ = hear(&options, &notices).await;
        sleep(PAUSE).await;
    }
}

async fn hear(options: &PgConnectOptions, notices: &Sender<Notice>) -> Result<(), sqlx::Error> {
    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let session = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options.clone());
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

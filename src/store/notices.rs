//! [`Notice`]: what the database tells of changes. And the task that hears it, in one session after the other; what a
//! session does is its engine's.

use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::IntGauge;
use crate::template::TemplateId;

/// What the database tells of changes, whether this process or another one made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This template has changed to this version, or to a later one.
    Changed {
        /// Which template.
        id: TemplateId,
        /// To which version.
        version: i64,
        /// How long ago its statement ran, if the database says so.
        lag: Option<Duration>,
    },
    /// Every template may have changed.
    AllChanged,
    /// Notices may have been lost up to now.
    Gap,
}

/// Longest that connecting, or one answer of a session, may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Before the next session.
const PAUSE: Duration = Duration::from_secs(1);

/// How many notices may wait to be read. Further ones wait in the database.
const NOTICES: usize = 1024;

/// The task that hears notices, which ends when this is dropped; and what it hears.
pub(super) type Listener = (AbortOnDropHandle<()>, Receiver<Notice>);

/// Starts to listen, and waits for the first notice, a [`Notice::Gap`], which it drops: nothing has been loaded yet.
///
/// Changes are missed between two sessions. So `session` sends a [`Notice::Gap`] and sets `hearing` to 1 as soon as it can
/// miss nothing more, and then sends each change until it breaks. Here `hearing` is set to 0, and the next one begins.
pub(super) async fn listen<S>(
    hearing: IntGauge,
    session: impl Fn(Sender<Notice>, IntGauge) -> S + Send + 'static,
) -> Listener
where
    S: Future<Output = Result<(), sqlx::Error>> + Send,
{
    let (sender, mut notices) = mpsc::channel(NOTICES);
    let task = tokio::spawn(async move {
        let mut is_first = true;
        while !sender.is_closed() {
            // The log says why already: what ends this session ends the others as well.
            let outcome = session(sender.clone(), hearing.clone()).await;
            hearing.set(0);
            if std::mem::take(&mut is_first) && outcome.is_err() {
                let _ = sender.send(Notice::Gap).await;
            }
            sleep(PAUSE).await;
        }
    });
    // The first notice is the first session's gap, or that of its failure. No change can be missed before the first load,
    // so it is dropped. One that comes later than this is heard like any other.
    let _ = timeout(ANSWER_TIMEOUT, notices.recv()).await;
    (AbortOnDropHandle::new(task), notices)
}

/// The error of a session that does not answer in time.
pub(super) fn no_answer(_: tokio::time::error::Elapsed) -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

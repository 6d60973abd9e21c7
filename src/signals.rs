//! SIGTERM, SIGINT and SIGHUP: the first asks for a drain, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// The exit code after a second signal.
const ENDED_AT_ONCE: i32 = 1;

/// The signals. None is missed after this was made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to listen.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Completes with the first signal.
    pub async fn shutdown(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            warn!("a second signal: ending at once");
            std::process::exit(ENDED_AT_ONCE);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

//! The background task that fills a [`Slot`](super::slot::Slot), and fills it again whenever it is emptied.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::line::{Line, reason};
use super::server::Server;
use super::slot::{NO_ANSWER, Shared};

/// How long a connection must have lived for its loss not to look like flapping.
const STABLE: Duration = Duration::from_secs(5);

/// Fills the slot, and fills it again whenever it is emptied, for as long as the service lives.
pub(super) async fn keep(shared: Arc<Shared>, server: Server) {
    let mut pause = Pause::default();
    let mut away = false;
    loop {
        let installed = match dial(&shared, &server).await {
            Ok(line) => shared.install(line).await,
            Err(reason) => Err(reason),
        };
        match installed {
            Ok(()) => {
                shared.tried.notify_waiters();
                let installed_at = Instant::now();
                shared.watch().await;
                away = true;
                if installed_at.elapsed() >= STABLE {
                    pause = Pause::default();
                    continue;
                }
            }
            Err(reason) => {
                if !away {
                    warn!(
                        reason,
                        "redis is away: answers come from the local copy and the database"
                    );
                }
                away = true;
                shared.tried.notify_waiters();
            }
        }
        sleep(pause.next()).await;
    }
}

/// As [`prove`], unless the lab is in the way.
async fn dial(shared: &Shared, server: &Server) -> Result<Line, &'static str> {
    match timeout(server.longest_dial(), shared.faults.pass()).await {
        Ok(Ok(())) => prove(server, shared.timeout).await,
        Ok(Err(_)) => Err("no connection"),
        Err(_) => Err("no connection in time"),
    }
}

/// A line that has just proved itself in time, or why there is none. The reason never holds an address.
async fn prove(server: &Server, patience: Duration) -> Result<Line, &'static str> {
    let mut line = match timeout(server.longest_dial(), server.dial()).await {
        Ok(dialled) => dialled.map_err(|error| reason(&error))?,
        Err(_) => return Err("no connection in time"),
    };
    match timeout(patience, line.prove()).await {
        Ok(Ok(())) => Ok(line),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err(NO_ANSWER),
    }
}

/// Pauses between dials: growing, so that a flapping server is left in peace, jittered, so that replicas spread, and
/// short enough that the first hit comes within a second of the server's return.
#[derive(Default)]
pub(super) struct Pause {
    attempts: u32,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_millis(700);

    pub(super) fn next(&mut self) -> Duration {
        let full = Self::FIRST
            .saturating_mul(1 << self.attempts.min(8))
            .min(Self::LONGEST);
        self.attempts += 1;
        full.mul_f64(0.75 + 0.25 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_under_a_second() {
        let mut pause = Pause::default();
        let pauses: Vec<_> = (0..10).map(|_| pause.next()).collect();
        assert!(pauses[0] <= Pause::FIRST && pauses[1] > pauses[0] && pauses[9] > pauses[0]);
        assert!(pauses.iter().all(|pause| *pause <= Pause::LONGEST));
    }
}

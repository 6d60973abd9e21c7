//! The one writer: updates a row every 100 ms, straight in PostgreSQL, and keeps the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use crate::ledger::{self, Ledger, TEMPLATES};
use crate::popularity::Popularity;

const PAUSE: Duration = Duration::from_millis(100);

/// The version is named, not counted up, so that an update whose outcome is in doubt can be sent again.
const UPDATE: &str = "UPDATE templates SET version = $2, name = $3, updated_at = updated_at + 1 \
                      WHERE id = $1 AND version = $2 - 1";

/// Writes until it is told to stop, and past that until no commit is in doubt.
pub(crate) async fn write(
    url: String,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    mut random: Rng,
) {
    let popularity = Popularity::new(TEMPLATES);
    let mut session = None;
    while !stop.load(Ordering::Relaxed) {
        // As often the popular ones as any, so that the tail changes too.
        let id = if random.bool() {
            popularity.draw(&mut random)
        } else {
            random.i64(1..=TEMPLATES)
        };
        let version = ledger.begin(id);
        while update(&mut session, &url, id, version).await.is_err() {
            session = None;
            sleep(PAUSE).await;
        }
        ledger.committed(id);
        sleep(PAUSE).await;
    }
}

async fn update(
    session: &mut Option<PgConnection>,
    url: &str,
    id: i64,
    version: i64,
) -> Result<(), sqlx::Error> {
    let session = match session {
        Some(session) => session,
        none => none.insert(PgConnection::connect(url).await?),
    };
    let update = sqlx::query(UPDATE)
        .bind(id)
        .bind(version)
        .bind(ledger::name(id, version));
    update.execute(session).await.map(drop)
}

//! What is particular to PostgreSQL: the session's settings and the migrations.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

use super::connection::migrator;

/// Reads the address and adds what the server itself shall enforce.
///
/// The server ends a query a little before this side gives it up, so that as long as it answers at all, the
/// connection ends the query in order and can be used again.
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
    ])
}

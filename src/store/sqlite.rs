//! What is particular to SQLite: how several connections share one database safely, and the migrations.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::migrations::migrator;

/// A file. With a write-ahead log readers and a writer do not wait for each other; two writers do.
pub(super) fn options(
    url: &str,
    query_timeout: Duration,
) -> Result<SqliteConnectOptions, &'static str> {
    Ok(SqliteConnectOptions::from_str(url)
        .map_err(|_| "SQLite does not accept this address")?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(query_timeout / 2)
        .disable_statement_logging())
}

/// Tries to write to the file. An error that another process or another attempt may undo is none here.
pub(super) async fn check_file(options: &SqliteConnectOptions) -> Result<(), String> {
    let tried = async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK")
            .execute(&mut connection)
            .await?;
        connection.close().await
    };
    let Err(sqlx::Error::Database(error)) = tried.await else {
        return Ok(());
    };
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    // The lower byte says what it is, the others in which way.
    match code.map(|code| code & 0xff) {
        Some(READ_ONLY | CANNOT_OPEN | NOT_A_DATABASE) => Err(format!(
            "the file {} cannot be used: {}",
            options.get_filename().display(),
            error.message()
        )),
        _ => Ok(()),
    }
}

/// SQLite's primary result codes.
const READ_ONLY: i32 = 8;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

/// A database in memory. The address gives it a name of its own in this process and a shared cache, so that all its
/// connections see the same rows and two services in one process do not.
pub(super) fn embedded() -> Result<SqliteConnectOptions, &'static str> {
    let options = SqliteConnectOptions::from_str("sqlite::memory:")
        .map_err(|_| "SQLite cannot run in memory")?;
    Ok(options.disable_statement_logging())
}

/// The schema and the seed rows.
pub(super) fn migrations() -> Migrator {
    migrator([
        (
            "templates",
            include_str!("../../migrations/sqlite/0001_templates.sql"),
        ),
        (
            "changes",
            include_str!("../../migrations/sqlite/0002_changes.sql"),
        ),
    ])
}

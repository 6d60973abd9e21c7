//! [`Connection`]: one connection to one of the two databases, and the one query. The same rows, the same query.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{postgres, sqlite};
use crate::template::{Template, TemplateId, UpdatedAt};

const FIND: &str = "SELECT id, name, version, updated_at FROM templates WHERE id = $1";

type Row = (i64, String, i64, i64);

/// Which database, and how to connect to it.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
    /// SQLite in memory: it lasts as long as one connection does.
    Embedded(Box<SqliteConnectOptions>),
}

/// One connection. Dropping it closes it at once.
#[derive(Debug)]
pub(super) enum Connection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Engine {
    pub(super) fn new(url: Option<&str>, query_timeout: Duration) -> Result<Self, &'static str> {
        match url {
            None => sqlite::embedded().map(Box::new).map(Self::Embedded),
            Some(url) if url.starts_with("sqlite:") => sqlite::options(url, query_timeout)
                .map(Box::new)
                .map(Self::Sqlite),
            Some(url) => postgres::options(url, query_timeout)
                .map(Box::new)
                .map(Self::Postgres),
        }
    }

    /// Dials once. The caller bounds it.
    pub(super) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Postgres(options) => options.connect().await.map(Connection::Postgres),
            Self::Sqlite(options) | Self::Embedded(options) => {
                options.connect().await.map(Connection::Sqlite)
            }
        }
    }
}

impl Connection {
    /// The row of a template.
    pub(super) async fn find(&mut self, id: TemplateId) -> Result<Option<Template>, sqlx::Error> {
        let row: Option<Row> = match self {
            Self::Postgres(connection) => {
                sqlx::query_as(FIND)
                    .bind(id.number())
                    .fetch_optional(connection)
                    .await?
            }
            Self::Sqlite(connection) => {
                sqlx::query_as(FIND)
                    .bind(id.number())
                    .fetch_optional(connection)
                    .await?
            }
        };
        Ok(row.map(|(_, name, version, updated_at)| Template {
            id,
            name,
            updated_at: UpdatedAt(updated_at),
            version,
        }))
    }

    /// Asks whether the other end is there.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.ping().await,
            Self::Sqlite(connection) => connection.ping().await,
        }
    }

    /// Brings the schema and the seed rows up to date.
    pub(super) async fn migrate(&mut self) -> Result<(), sqlx::Error> {
        let outcome = match self {
            Self::Postgres(connection) => {
                postgres::migrations()
                    .run_direct(None, connection, false)
                    .await
            }
            Self::Sqlite(connection) => {
                sqlite::migrations()
                    .run_direct(None, connection, false)
                    .await
            }
        };
        outcome.map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) => error,
            other => sqlx::Error::Migrate(Box::new(other)),
        })
    }
}

/// Whether the connection, and not just the query, came to its end with this error.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        // Class 57P: the server shuts down, crashed, or was told to end this session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            false
        }
        _ => true,
    }
}

/// Whether the server has as many sessions as it can have (SQLSTATE 53300), or all but those kept for its owner.
pub(super) fn has_no_room(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "53300")
}

//! [`Engine`]: which database it is. [`Connection`]: one connection to it, and the query and the changes that all
//! engines share.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::changes::{ANY_VERSION, Change, Row};
use super::mysql::MySql;
use super::notices::{self, Listener};
use super::{mysql, postgres, sqlite};
use crate::metrics::IntGauge;
use crate::template::{State, Template, TemplateId, UpdatedAt};

const FIND: &str = "SELECT name, version, updated_at FROM templates WHERE id = $1 \
     UNION ALL SELECT NULL, version, 0 FROM deleted_templates WHERE id = $1";

/// The function is in `migrations/postgres/0003_put.sql`.
const PUT: &str = "SELECT * FROM put_template($1, $2, $3)";

const PUT_IN_SQLITE: &str = "INSERT INTO templates (id, name, version, updated_at) \
     VALUES ($1, $2, 1 + coalesce((SELECT version FROM deleted_templates WHERE id = $1), 0), $3) \
     ON CONFLICT (id) DO UPDATE \
     SET name = excluded.name, version = templates.version + 1, updated_at = excluded.updated_at \
     RETURNING name, version, updated_at";

/// Version 0 stands for any.
const REPLACE: &str = "UPDATE templates SET name = $2, version = version + 1, updated_at = $3 \
     WHERE id = $1 AND ($4 = 0 OR version = $4) RETURNING name, version, updated_at";

/// As [`REPLACE`]. The version is the one at which the template is gone.
const DELETE: &str = "DELETE FROM templates WHERE id = $1 AND ($2 = 0 OR version = $2) \
     RETURNING NULL, version + 1, updated_at";

/// Which database, and how to connect to it.
#[derive(Clone)]
pub(super) enum Engine {
    Postgres(Box<PgConnectOptions>),
    MySql(Box<MySql>),
    Sqlite(Box<SqliteConnectOptions>),
    /// SQLite in memory. It lasts as long as one connection does.
    Embedded(Box<SqliteConnectOptions>),
}

/// One connection. Dropping it closes it at once.
#[derive(Debug)]
pub(super) enum Connection {
    Postgres(PgConnection),
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl fmt::Debug for Engine {
    /// Without the options, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "Postgres",
            Self::MySql(_) => "MySql",
            Self::Sqlite(_) => "Sqlite",
            Self::Embedded(_) => "Embedded",
        })
    }
}

impl Engine {
    pub(super) fn new(
        url: Option<&str>,
        query_timeout: Duration,
        change_poll: Duration,
    ) -> Result<Self, &'static str> {
        match url {
            None => sqlite::embedded().map(Box::new).map(Self::Embedded),
            Some(url) if url.starts_with("sqlite:") && lives_in_memory(url) => {
                Err("a database in memory has no address: leave it out")
            }
            Some(url) if url.starts_with("sqlite:") => sqlite::options(url, query_timeout)
                .map(Box::new)
                .map(Self::Sqlite),
            Some(url) if url.starts_with("mysql:") => MySql::new(url, query_timeout, change_poll)
                .map(Box::new)
                .map(Self::MySql),
            Some(url) => postgres::options(url, query_timeout)
                .map(Box::new)
                .map(Self::Postgres),
        }
    }

    /// Opens one connection. The caller bounds it.
    pub(super) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Postgres(options) => options.connect().await.map(Connection::Postgres),
            Self::MySql(database) => database.connect().await.map(Connection::MySql),
            Self::Sqlite(options) | Self::Embedded(options) => {
                options.connect().await.map(Connection::Sqlite)
            }
        }
    }

    /// Starts to listen for changes, if the database tells of any.
    pub(super) async fn listen(&self, hearing: IntGauge) -> Option<Listener> {
        match self.clone() {
            Self::Postgres(options) => {
                let session =
                    move |notices, hearing| postgres::hear((*options).clone(), notices, hearing);
                Some(notices::listen(hearing, session).await)
            }
            Self::MySql(database) => {
                let session =
                    move |notices, hearing| mysql::poll((*database).clone(), notices, hearing);
                Some(notices::listen(hearing, session).await)
            }
            Self::Sqlite(_) | Self::Embedded(_) => {
                hearing.set(1);
                None
            }
        }
    }

    /// Why the file that it is in cannot be used, if it is in one and that will not pass.
    pub(super) async fn check_file(&self) -> Result<(), String> {
        match self {
            Self::Sqlite(options) => sqlite::check_file(options).await,
            Self::Postgres(_) | Self::MySql(_) | Self::Embedded(_) => Ok(()),
        }
    }

    /// Whether what is sent to it may pass between machines without TLS.
    pub(super) fn may_be_read_by_others(&self) -> bool {
        match self {
            Self::Postgres(options) => postgres::may_be_read_by_others(options),
            Self::MySql(database) => database.may_be_read_by_others(),
            Self::Sqlite(_) | Self::Embedded(_) => false,
        }
    }
}

/// The statements, for engines whose types differ.
macro_rules! change_query {
    ($put:expr, $id:expr, $change:expr, $version:expr) => {
        match ($change, $version) {
            (Change::Put { name, .. }, None) => sqlx::query_as($put)
                .bind($id.number())
                .bind(name.clone())
                .bind(UpdatedAt::now().0),
            (Change::Put { name, .. }, Some(version)) => sqlx::query_as(REPLACE)
                .bind($id.number())
                .bind(name.clone())
                .bind(UpdatedAt::now().0)
                .bind(version),
            (Change::Delete { .. }, version) => sqlx::query_as(DELETE)
                .bind($id.number())
                .bind(version.unwrap_or(ANY_VERSION)),
        }
    };
}

impl Connection {
    /// The state of this template.
    pub(super) async fn find(&mut self, id: TemplateId) -> Result<State, sqlx::Error> {
        let row: Option<Row> = match self {
            Self::Postgres(connection) => {
                sqlx::query_as(FIND)
                    .bind(id.number())
                    .fetch_optional(connection)
                    .await?
            }
            Self::MySql(connection) => mysql::find(connection, id).await?,
            Self::Sqlite(connection) => {
                sqlx::query_as(FIND)
                    .bind(id.number())
                    .fetch_optional(connection)
                    .await?
            }
        };
        Ok(row.map_or(State::Absent { version: 0 }, |row| state(id, row)))
    }

    /// Makes one change, and returns the state after it; none if its condition did not hold.
    pub(super) async fn change(
        &mut self,
        id: TemplateId,
        change: &Change,
    ) -> Result<Option<State>, sqlx::Error> {
        for version in change.versions() {
            let row: Option<Row> = match self {
                Self::Postgres(connection) => {
                    change_query!(PUT, id, change, version)
                        .fetch_optional(connection)
                        .await?
                }
                Self::MySql(connection) => mysql::change(connection, id, change, version).await?,
                Self::Sqlite(connection) => {
                    change_query!(PUT_IN_SQLITE, id, change, version)
                        .fetch_optional(connection)
                        .await?
                }
            };
            if let Some(row) = row {
                return Ok(Some(state(id, row)));
            }
        }
        Ok(None)
    }

    /// Asks whether the server answers.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.ping().await,
            Self::MySql(connection) => connection.ping().await,
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
            Self::MySql(connection) => mysql::migrate(connection).await,
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

fn lives_in_memory(url: &str) -> bool {
    url.contains(":memory:")
        || url.contains("mode=memory")
        || url == "sqlite://"
        || url == "sqlite:"
}

fn state(id: TemplateId, (name, version, updated_at): Row) -> State {
    match name {
        Some(name) => State::Present(Template {
            id,
            name,
            updated_at: UpdatedAt(updated_at),
            version,
        }),
        None => State::Absent { version },
    }
}

/// Whether the connection has ended with this error, and not just the query.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    if let Some(number) = mysql::number(error) {
        return mysql::ends_the_session(number);
    }
    match error {
        // Class 57P: the server shuts down, crashed, or was told to end this session.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            false
        }
        _ => true,
    }
}

/// Whether the server has as many sessions as it can have (SQLSTATE 53300 of PostgreSQL), or all but those reserved for
/// its owner.
pub(super) fn has_no_room(error: &sqlx::Error) -> bool {
    match mysql::number(error) {
        Some(number) => mysql::lacks_room(number),
        None => sqlstate(error).is_some_and(|code| code == "53300"),
    }
}

/// Whether the server refuses this user or this host (class 28). What it says names the user, the host and the database.
pub(super) fn refuses_the_caller(error: &sqlx::Error) -> bool {
    match mysql::number(error) {
        Some(number) => mysql::refuses_the_caller(number),
        None => sqlstate(error).is_some_and(|code| code.starts_with("28")),
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(|error| error.code())
}

//! [`Sql`]: changes made in the database itself, past every replica, as with `psql` or `mariadb`.

use std::time::Duration;

use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tokio::time::sleep;

use super::caller::HOT;
use super::database::Kind;
use super::operation::What;

/// A change, in the words of each kind of server.
pub(crate) struct Statement {
    /// On PostgreSQL. It returns what it has changed.
    postgres: &'static str,
    /// On MySQL, with the placeholders for a name and a template in this order.
    mysql: &'static str,
    /// What it has changed, to be asked in the same transaction; of a deletion, before it.
    rows: &'static str,
    does: Does,
}

/// What a change is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Write,
    /// A write whose transaction stays open for [`LATE`].
    WriteLate,
    Remove,
    RemoveAll,
}

/// How long a transaction is held open, after which others must hear of it all the same.
const LATE: Duration = Duration::from_secs(5);

const ONE: &str = "SELECT id, name, version FROM templates WHERE id = ? FOR UPDATE";

/// A session, opened when it is needed.
pub(crate) struct Sql {
    url: String,
    session: Option<Session>,
}

enum Session {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

type Row = (i64, String, i64);

impl Sql {
    pub(crate) const UPDATE: &Statement = &Statement {
        postgres: "UPDATE templates SET name = $2 WHERE id = $1 RETURNING id, name, version",
        mysql: "UPDATE templates SET name = ? WHERE id = ?",
        rows: ONE,
        does: Does::Write,
    };
    pub(crate) const LATE_UPDATE: &Statement = &Statement {
        does: Does::WriteLate,
        ..*Self::UPDATE
    };
    pub(crate) const INSERT: &Statement = &Statement {
        postgres: "INSERT INTO templates (id, name, updated_at) \
             VALUES ($1, $2, 0) ON CONFLICT DO NOTHING RETURNING id, name, version",
        mysql: "INSERT IGNORE INTO templates (name, id, updated_at) VALUES (?, ?, 0)",
        rows: ONE,
        does: Does::Write,
    };
    pub(crate) const DELETE: &Statement = &Statement {
        postgres: "DELETE FROM templates WHERE id = $1 AND $2 <> '' RETURNING id, '', version",
        mysql: "DELETE FROM templates WHERE ? <> '' AND id = ?",
        rows: ONE,
        does: Does::Remove,
    };
    /// Every one that callers ask for, in one transaction.
    pub(crate) const UPDATE_ALL: &Statement = &Statement {
        postgres: "UPDATE templates SET name = id || ' with ' || $2 \
             WHERE id <= 20 AND $1 > 0 RETURNING id, name, version",
        mysql: "UPDATE templates SET name = CONCAT(id, ' with ', ?) WHERE id <= 20 AND ? > 0",
        rows: "SELECT id, name, version FROM templates WHERE id <= 20 AND ? > 0",
        does: Does::Write,
    };
    /// MySQL refuses to truncate this table.
    pub(crate) const TRUNCATE: &Statement = &Statement {
        postgres: "TRUNCATE templates",
        mysql: "DELETE FROM templates WHERE ? <> '' AND ? > 0",
        rows: "SELECT id, name, version FROM templates WHERE ? > 0 FOR UPDATE",
        does: Does::RemoveAll,
    };

    pub(crate) fn new(url: String) -> Self {
        Self { url, session: None }
    }

    /// Runs a statement, and says what it did to which templates.
    pub(crate) async fn run(
        &mut self,
        statement: &Statement,
        id: i64,
        name: &str,
    ) -> Vec<(i64, What)> {
        match self.send(statement, id, name).await {
            Ok(_) if statement.does == Does::RemoveAll => {
                let removed = |id| (id, What::Removed { replacing: None });
                (1..=HOT).map(removed).collect()
            }
            Ok(rows) if rows.is_empty() => vec![(id, What::Open("no row".into()))],
            Ok(rows) => rows
                .into_iter()
                .map(|row| Self::made(statement, row))
                .collect(),
            Err(error) => {
                self.session = None;
                vec![(id, What::Open(format!("{name:?}: {error}")))]
            }
        }
    }

    fn made(statement: &Statement, (id, name, said): Row) -> (i64, What) {
        let replacing = None;
        let what = if statement.does == Does::Remove {
            What::Removed { replacing }
        } else {
            What::Wrote {
                name,
                said,
                replacing,
            }
        };
        (id, what)
    }

    async fn send(
        &mut self,
        statement: &Statement,
        id: i64,
        name: &str,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::open(&self.url).await?),
        };
        match session {
            Session::Postgres(session) => in_postgres(session, statement, id, name).await,
            Session::MySql(session) => in_mysql(session, statement, id, name).await,
        }
    }
}

impl Session {
    async fn open(url: &str) -> Result<Self, sqlx::Error> {
        match Kind::at(url) {
            Kind::Postgres => PgConnection::connect(url).await.map(Self::Postgres),
            Kind::MySql => MySqlConnection::connect(url).await.map(Self::MySql),
        }
    }
}

async fn in_postgres(
    session: &mut PgConnection,
    statement: &Statement,
    id: i64,
    name: &str,
) -> Result<Vec<Row>, sqlx::Error> {
    if statement.does == Does::RemoveAll {
        sqlx::query(statement.postgres).execute(session).await?;
        return Ok(Vec::new());
    }
    let mut transaction = session.begin().await?;
    let query = sqlx::query_as(statement.postgres).bind(id).bind(name);
    let rows = query.fetch_all(&mut *transaction).await?;
    hold(statement).await;
    transaction.commit().await?;
    Ok(rows)
}

async fn in_mysql(
    session: &mut MySqlConnection,
    statement: &Statement,
    id: i64,
    name: &str,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut transaction = session.begin().await?;
    let rows = sqlx::query_as(statement.rows).bind(id);
    let change = sqlx::query(statement.mysql).bind(name).bind(id);
    let removes = matches!(statement.does, Does::Remove | Does::RemoveAll);
    let rows = if removes {
        let rows = rows.fetch_all(&mut *transaction).await?;
        change.execute(&mut *transaction).await?;
        rows
    } else if change.execute(&mut *transaction).await?.rows_affected() == 0 {
        Vec::new()
    } else {
        rows.fetch_all(&mut *transaction).await?
    };
    hold(statement).await;
    transaction.commit().await?;
    Ok(rows)
}

async fn hold(statement: &Statement) {
    if statement.does == Does::WriteLate {
        sleep(LATE).await;
    }
}

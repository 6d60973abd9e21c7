//! [`Sql`]: changes made in the database itself, past every replica, as with `psql`.

use sqlx::{Connection as _, PgConnection};

use super::caller::HOT;
use super::operation::What;

/// A session, opened when it is needed.
pub(crate) struct Sql {
    url: String,
    session: Option<PgConnection>,
}

impl Sql {
    pub(crate) const UPDATE: &str =
        "UPDATE templates SET name = $2 WHERE id = $1 RETURNING id, name, version";
    pub(crate) const INSERT: &str = "INSERT INTO templates (id, name, updated_at) \
         VALUES ($1, $2, 0) ON CONFLICT DO NOTHING RETURNING id, name, version";
    pub(crate) const DELETE: &str = "DELETE FROM templates WHERE id = $1 AND $2 <> '' \
         RETURNING id, '', version";
    /// Every one that callers ask for, in one transaction.
    pub(crate) const UPDATE_ALL: &str = "UPDATE templates SET name = id || ' with ' || $2 \
         WHERE id <= 20 AND $1 > 0 RETURNING id, name, version";
    pub(crate) const TRUNCATE: &str = "TRUNCATE templates";

    pub(crate) fn new(url: String) -> Self {
        Self { url, session: None }
    }

    /// Runs a statement, and says what it did to which templates.
    pub(crate) async fn run(
        &mut self,
        statement: &'static str,
        id: i64,
        name: &str,
    ) -> Vec<(i64, What)> {
        match self.send(statement, id, name).await {
            Ok(_) if statement == Self::TRUNCATE => {
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

    fn made(statement: &str, (id, name, said): (i64, String, i64)) -> (i64, What) {
        let replacing = None;
        let what = if statement == Self::DELETE {
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
        statement: &'static str,
        id: i64,
        name: &str,
    ) -> Result<Vec<(i64, String, i64)>, sqlx::Error> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(PgConnection::connect(&self.url).await?),
        };
        if statement == Self::TRUNCATE {
            sqlx::query(statement).execute(session).await?;
            return Ok(Vec::new());
        }
        let query = sqlx::query_as(statement).bind(id).bind(name);
        query.fetch_all(session).await
    }
}

//! What is particular to MySQL and MariaDB: the session's settings, the migrations and their lock, changes in a
//! transaction, error numbers, and how changes are heard.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::mpsc::Sender;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::changes::{ANY_VERSION, Change, Row};
use super::migrations::migrator;
use super::notices::{ANSWER_TIMEOUT, Notice, no_answer};
use crate::config::is_remote;
use crate::metrics::IntGauge;
use crate::template::{TemplateId, UpdatedAt};

/// How to connect, and what each session is told first.
#[derive(Clone)]
pub(super) struct MySql {
    options: MySqlConnectOptions,
    limits: String,
    change_poll: Duration,
}

impl MySql {
    /// Reads the address, and adds the limits that the server enforces itself.
    ///
    /// As on PostgreSQL, the server ends a query a little before this side gives it up.
    pub(super) fn new(
        url: &str,
        query_timeout: Duration,
        change_poll: Duration,
    ) -> Result<Self, &'static str> {
        let options = MySqlConnectOptions::from_str(url)
            .map_err(|_| "MySQL's client does not accept this address")?
            .disable_statement_logging();
        if options.get_database().is_none() {
            return Err("the address names no database");
        }
        Ok(Self {
            options,
            limits: limits(query_timeout),
            change_poll,
        })
    }

    /// Whether what is sent to it may pass between machines without TLS.
    pub(super) fn may_be_read_by_others(&self) -> bool {
        let requires_tls = matches!(
            self.options.get_ssl_mode(),
            MySqlSslMode::Required | MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity
        );
        let is_here = self.options.get_socket().is_some();
        !requires_tls && !is_here && is_remote(self.options.get_host())
    }

    /// Opens one session. The caller bounds it.
    pub(super) async fn connect(&self) -> Result<MySqlConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        connection
            .execute(AssertSqlSafe(self.limits.as_str()))
            .await?;
        Ok(connection)
    }
}

/// The session's settings, as one message. Each kind of server runs the comment that is written for it. With READ
/// COMMITTED a write does not lock the gaps between rows.
fn limits(query_timeout: Duration) -> String {
    let share = query_timeout.mul_f64(0.95);
    let (seconds, milliseconds) = (share.as_secs_f64(), share.as_millis().max(1));
    let whole_seconds = query_timeout.as_secs_f64().ceil();
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION \
         /*!50708 max_execution_time = {milliseconds}, */ /*M! max_statement_time = {seconds:.3}, */ \
         innodb_lock_wait_timeout = {whole_seconds}, lock_wait_timeout = {whole_seconds}"
    )
}

const FIND: &str = "SELECT name, version, updated_at FROM templates WHERE id = ? \
     UNION ALL SELECT NULL, version, 0 FROM template_changes WHERE id = ? AND deleted";

/// Version 0 stands for any.
const REPLACE: &str = "UPDATE templates SET name = ?, version = version + 1, updated_at = ? \
     WHERE id = ? AND (? = 0 OR version = ?)";

const INSERT: &str = "INSERT INTO templates (id, name, updated_at) VALUES (?, ?, ?)";

/// As [`REPLACE`].
const DELETE: &str = "DELETE FROM templates WHERE id = ? AND (? = 0 OR version = ?)";

pub(super) async fn find(
    connection: &mut MySqlConnection,
    id: TemplateId,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as(FIND)
        .bind(id.number())
        .bind(id.number())
        .fetch_optional(connection)
        .await
}

/// How often a change is tried while the server answers that it has undone it.
const ATTEMPTS: usize = 5;

/// Makes one change, and returns the state after it; none if its condition did not hold. Neither server has an UPDATE that
/// returns its row, so a transaction writes and reads.
pub(super) async fn change(
    connection: &mut MySqlConnection,
    id: TemplateId,
    change: &Change,
    version: Option<i64>,
) -> Result<Option<Row>, sqlx::Error> {
    let mut attempt = 1;
    loop {
        let mut transaction = connection.begin().await?;
        let written = match write(&mut transaction, id, change, version).await {
            Ok(true) => find(&mut transaction, id).await,
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        match written {
            Ok(Some(row)) => return transaction.commit().await.map(|()| Some(row)),
            Ok(None) => return transaction.rollback().await.map(|()| None),
            Err(error) => {
                // The session goes back to the pool: it must hold no lock there.
                let is_undone = transaction.rollback().await.is_ok();
                let is_worth_another = matches!(number(&error), Some(DEADLOCK | DUPLICATE));
                if !is_undone || !is_worth_another || attempt == ATTEMPTS {
                    return Err(error);
                }
                attempt += 1;
            }
        }
    }
}

/// Writes, if the condition holds.
async fn write(
    connection: &mut MySqlConnection,
    id: TemplateId,
    change: &Change,
    version: Option<i64>,
) -> Result<bool, sqlx::Error> {
    let expected = version.unwrap_or(ANY_VERSION);
    let Change::Put { name, .. } = change else {
        let delete = sqlx::query(DELETE)
            .bind(id.number())
            .bind(expected)
            .bind(expected);
        return Ok(delete.execute(connection).await?.rows_affected() > 0);
    };
    let now = UpdatedAt::now().0;
    let replace = sqlx::query(REPLACE)
        .bind(name.as_str())
        .bind(now)
        .bind(id.number())
        .bind(expected)
        .bind(expected);
    // sqlx asks for the rows that were found, changed or not.
    if replace.execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(true);
    }
    if version.is_some() {
        return Ok(false);
    }
    // If another inserts the same row first, this fails as a duplicate, and the next attempt replaces that row.
    let insert = sqlx::query(INSERT)
        .bind(id.number())
        .bind(name.as_str())
        .bind(now);
    insert.execute(connection).await.map(|_| true)
}

/// The lock's name is the database's own: locks belong to the whole server. A name has at most 64 characters, as many as
/// MD5 and this word need.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('stampede_', MD5(DATABASE())), 0)";
const UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('stampede_', MD5(DATABASE())))";

/// Between attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Brings the schema and the seed rows up to date. Replicas that start together take turns. sqlx's own lock waits without
/// end, which MariaDB refuses with NULL. So this one asks again until it is granted.
pub(super) async fn migrate(connection: &mut MySqlConnection) -> Result<(), MigrateError> {
    while sqlx::query_scalar::<_, Option<i64>>(LOCK)
        .fetch_one(&mut *connection)
        .await?
        != Some(1)
    {
        sleep(LOCK_PAUSE).await;
    }
    let outcome = run_migrations(connection).await;
    sqlx::query(UNLOCK).execute(connection).await?;
    outcome
}

async fn run_migrations(connection: &mut MySqlConnection) -> Result<(), MigrateError> {
    // A migration that was cut short is marked, and would stop all others. Ours can run again.
    let forget = "DELETE FROM _sqlx_migrations WHERE NOT success";
    match connection.execute(forget).await {
        Err(error) if number(&error) != Some(NO_SUCH_TABLE) => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    let mut migrations = migrations();
    migrations.set_locking(false);
    migrations.run_direct(None, connection, false).await
}

/// The schema and the seed rows.
fn migrations() -> Migrator {
    migrator([
        (
            "templates",
            include_str!("../../migrations/mysql/0001_templates.sql"),
        ),
        (
            "changes",
            include_str!("../../migrations/mysql/0002_changes.sql"),
        ),
    ])
}

const DUPLICATE: u16 = 1062;
const NO_SUCH_TABLE: u16 = 1146;
const DEADLOCK: u16 = 1213;

/// The server's own number of an error. Its SQLSTATE says less.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()?
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// The server shuts down (1053, 1077 to 1079), gave the session up (1152, 1158 to 1161, 1184), or was told to end it
/// (1927 of MariaDB; 3169 and 4031 of MySQL).
pub(super) fn ends_the_session(number: u16) -> bool {
    matches!(number, 1053 | 1077..=1079 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 | 4031)
}

/// Whether the server has as many sessions as it can have (1040), or as many as this user may have (1203, 1226).
pub(super) fn lacks_room(number: u16) -> bool {
    matches!(number, 1040 | 1203 | 1226)
}

/// Whether the server refuses this user (1044, 1045, 1698) or this host (1129, 1130). What it says names them.
pub(super) fn refuses_the_caller(number: u16) -> bool {
    matches!(number, 1044 | 1045 | 1129 | 1130 | 1698)
}

/// The most changes that one poll reads.
const MOST_CHANGES: usize = 10_000;

/// A change bears the time at which it was made, and becomes visible when its transaction commits. So each poll reads
/// what was made in the last minute, and knows from the poll before what is new. A transaction may take as long.
const POLL: &str = "SELECT id, version, TIMESTAMPDIFF(MICROSECOND, changed_at, UTC_TIMESTAMP(6)) FROM template_changes \
     WHERE changed_at > UTC_TIMESTAMP(6) - INTERVAL 60 SECOND ORDER BY changed_at DESC, id LIMIT 10000";

/// A change as [`POLL`] reads it: the template, its version, and how many microseconds ago by the server's clock.
type Read = (i64, i64, i64);

/// One session: it polls until it breaks, or the notices are read no more.
pub(super) async fn poll(
    database: MySql,
    notices: Sender<Notice>,
    hearing: IntGauge,
) -> Result<(), sqlx::Error> {
    let mut session = timeout(ANSWER_TIMEOUT, database.connect())
        .await
        .map_err(no_answer)??;
    let mut window = Window::default();
    let mut ticks = interval(database.change_poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut begun = false;
    loop {
        ticks.tick().await;
        let reading = sqlx::query_as::<_, Read>(POLL).fetch_all(&mut session);
        let changes = match timeout(ANSWER_TIMEOUT, reading).await.map_err(no_answer)? {
            // The migrations have not created the table yet.
            Err(error) if !begun && number(&error) == Some(NO_SUCH_TABLE) => continue,
            changes => changes?,
        };
        let mut news = window.advance(&changes, MOST_CHANGES);
        if !std::mem::replace(&mut begun, true) {
            news = vec![Notice::Gap];
            hearing.set(1);
        }
        for notice in news {
            if notices.send(notice).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// What the last poll has read, by which the next one knows what is new.
#[derive(Default)]
struct Window {
    versions: HashMap<i64, i64>,
    is_full: bool,
}

impl Window {
    /// What is new in these changes, the latest of which come first. If `most` of them were read, there may be older ones
    /// that were not: then every template may have changed, once at the beginning, and once when all can be read again.
    fn advance(&mut self, changes: &[Read], most: usize) -> Vec<Notice> {
        let is_new = |(id, version, _): &Read| self.versions.get(id) != Some(version);
        let is_full = changes.len() >= most;
        let hides_news = is_full && changes.last().is_some_and(is_new);
        let news = if hides_news || (self.is_full && !is_full) {
            vec![Notice::AllChanged]
        } else {
            // In the order in which they were made.
            let news = changes.iter().rev().filter(|change| is_new(change));
            news.filter_map(|&(id, version, micros)| {
                Some(Notice::Changed {
                    id: TemplateId::new(id)?,
                    version,
                    lag: micros.try_into().ok().map(Duration::from_micros),
                })
            })
            .collect()
        };
        self.is_full = is_full;
        self.versions = changes
            .iter()
            .map(|&(id, version, _)| (id, version))
            .collect();
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(id: i64, version: i64) -> Notice {
        let id = TemplateId::new(id).unwrap();
        Notice::Changed {
            id,
            version,
            lag: Some(Duration::from_micros(5)),
        }
    }

    #[test]
    fn a_change_is_news_once_however_often_it_is_read() {
        let mut window = Window::default();
        assert_eq!(window.advance(&[(1, 2, 5)], 10), [changed(1, 2)]);
        assert_eq!(window.advance(&[(1, 2, 5)], 10), []);
        assert_eq!(
            window.advance(&[(1, 3, 5), (2, 5, 5)], 10),
            [changed(2, 5), changed(1, 3)],
            "in the order in which they were made"
        );
        // One that was made first and committed last.
        assert_eq!(
            window.advance(&[(1, 3, 5), (2, 5, 5), (7, 9, 5)], 10),
            [changed(7, 9)]
        );
        // An id that no template can have.
        assert_eq!(window.advance(&[(0, 1, 5)], 10), []);
        assert_eq!(window.advance(&[], 10), []);
    }

    #[test]
    fn more_changes_than_one_poll_reads_count_as_a_change_of_all() {
        let mut window = Window::default();
        let all = [Notice::AllChanged];
        assert_eq!(window.advance(&[(3, 1, 5), (2, 1, 5), (1, 1, 5)], 3), all);
        assert_eq!(window.advance(&[(3, 1, 5), (2, 1, 5), (1, 1, 5)], 3), []);
        // What was last before is last no more, but is among them: nothing can hide behind it but what commits late.
        assert_eq!(
            window.advance(&[(4, 1, 5), (3, 1, 5), (2, 1, 5)], 3),
            [changed(4, 1)]
        );
        assert_eq!(window.advance(&[(7, 1, 5), (6, 1, 5), (5, 1, 5)], 3), all);
        // All can be read again: what was hidden may have left the window meanwhile.
        assert_eq!(window.advance(&[(7, 1, 5)], 3), all);
        assert_eq!(window.advance(&[(7, 1, 5)], 3), []);
    }

    #[test]
    fn the_limits_are_within_the_time_out_and_never_none() {
        let text = limits(Duration::from_secs(2));
        assert!(text.contains("max_execution_time = 1900,"), "{text}");
        assert!(text.contains("max_statement_time = 1.900,"), "{text}");
        assert!(
            text.ends_with("innodb_lock_wait_timeout = 2, lock_wait_timeout = 2"),
            "{text}"
        );
        let text = limits(Duration::from_millis(10));
        assert!(text.contains("max_execution_time = 9,"), "{text}");
        assert!(text.contains("max_statement_time = 0.009,"), "{text}");
    }

    #[test]
    fn an_address_names_a_database() {
        let second = Duration::from_secs(1);
        let new = |url| MySql::new(url, second, second).map(drop);
        assert!(new("mysql://app:secret@localhost/app").is_ok());
        assert_eq!(
            new("mysql://app:secret@localhost"),
            Err("the address names no database")
        );
    }
}

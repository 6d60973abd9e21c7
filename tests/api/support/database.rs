//! A database of whichever kind is being tried: `TEST_DATABASE` is `postgres` (without it), `mysql` or `sqlite`. For tests
//! of which the kind makes no difference.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::{mysql, postgres};

/// Creates an empty database and returns its URL.
pub(crate) async fn fresh() -> String {
    match std::env::var("TEST_DATABASE").as_deref() {
        Ok("mysql") => mysql::shared().await.database().await,
        Ok("sqlite") => {
            let name = format!(
                "stampede-test-{}-{:08x}.db",
                std::process::id(),
                fastrand::u32(..)
            );
            format!("sqlite://{}", std::env::temp_dir().join(name).display())
        }
        Ok("postgres") | Err(_) => postgres::shared().await.database().await,
        Ok(other) => panic!("TEST_DATABASE={other}: neither postgres, mysql nor sqlite"),
    }
}

/// Runs one or several statements in the database at `url`.
pub(crate) async fn execute(url: &str, sql: &str) {
    if url.starts_with("mysql:") {
        mysql::execute(url, sql).await;
    } else if url.starts_with("sqlite:") {
        let mut session = SqliteConnection::connect(url).await.expect("a session");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut session)
            .await
            .expect(sql);
    } else {
        postgres::execute(url, sql).await;
    }
}

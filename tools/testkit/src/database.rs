//! A database of whichever kind is being tried: `TEST_DATABASE` is `postgres` (without it), `mysql` or `sqlite`. For tests
//! of which the kind makes no difference.

use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::guarded::{Guarded, Program, create_folder, off_runtime};
use super::{mysql, postgres};

/// Of all databases in files. It goes away with the tests, as the folders of servers do, but its server does nothing.
static FOLDER: LazyLock<Arc<Guarded>> = LazyLock::new(|| {
    let idle = Program {
        command: ["sh", "-c", "echo idle; exec sleep 1000000"]
            .map(String::from)
            .into(),
        ready: "idle",
        last_signal: "KILL",
    };
    Guarded::launch(create_folder(), idle)
});

/// Creates an empty database and returns its URL.
pub async fn fresh() -> String {
    match std::env::var("TEST_DATABASE").as_deref() {
        Ok("mysql") => mysql::shared().await.database().await,
        Ok("sqlite") => {
            let folder = off_runtime(|| FOLDER.folder()).await;
            let file = folder.join(format!("{:08x}.db", fastrand::u32(..)));
            format!("sqlite://{}", file.display())
        }
        Ok("postgres") | Err(_) => postgres::shared().await.database().await,
        Ok(other) => panic!("TEST_DATABASE={other}: neither postgres, mysql nor sqlite"),
    }
}

/// Runs one or several statements in the database at `url`.
pub async fn execute(url: &str, sql: &str) {
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

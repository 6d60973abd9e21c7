//! Private PostgreSQL servers, made from the installed binaries.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::guarded::{Guarded, Program, create_folder, find_binary, off_runtime, text_of};
use super::port::ReservedPort;
use super::server::Server;

/// Trades durability, of which a test has no need, for speed, and keeps everything inside the folder.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "dynamic_shared_memory_type=mmap",
    "shared_buffers=16MB",
    "fsync=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
];

/// One PostgreSQL server on a port of its own.
pub struct Postgres(Server);

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The server of all tests that harm none; each asks it for a [`Postgres::database`].
pub async fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    off_runtime(|| SHARED.get_or_init(|| Postgres::launch(&[]))).await
}

impl Postgres {
    /// Starts a server that this test may harm.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further settings, such as `max_connections=8`.
    pub async fn start_with(settings: &'static [&'static str]) -> Self {
        off_runtime(|| Self::launch(settings)).await
    }

    fn launch(settings: &[&str]) -> Self {
        let port = ReservedPort::new();
        // The second run of this command (see `Guarded::start_again`) finds the copy made by the first.
        let script = r#"[ -d data ] || cp -R "$0" data; exec "$@""#;
        let mut command: Vec<String> = ["sh", "-c", script]
            .map(String::from)
            .into_iter()
            .chain([text_of(template())])
            .collect();
        command.extend([binary("postgres"), "-D".into(), "data".into()]);
        command.extend(["-p".into(), port.number().to_string()]);
        for setting in SETTINGS.iter().chain(settings) {
            command.extend(["-c".into(), setting.to_string()]);
        }
        let ready = "database system is ready to accept connections";
        let program = Program {
            command,
            ready,
            last_signal: "QUIT",
        };
        Self(Server::launch(port, program))
    }

    /// The server's own database, from which the others can be seen and shut out.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// Creates an empty database and returns its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.next_database());
        self.execute(&format!("CREATE DATABASE {name}")).await;
        self.url_of(&name)
    }

    /// Runs statements in the server's own database.
    pub async fn execute(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }

    /// Asks the server's own database for one number.
    pub async fn fetch_i64(&self, sql: &str) -> i64 {
        fetch_i64(&self.url(), sql).await
    }
}

/// Opens a session, for a test that holds a lock or a transaction.
pub async fn session(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("a session")
}

/// Runs one or several statements in the database at `url`.
pub async fn execute(url: &str, sql: &str) {
    let mut session = session(url).await;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut session)
        .await
        .expect(sql);
    session.close().await.expect("a goodbye");
}

/// Asks the database at `url` for one number; what is not a `bigint` is made one by the query.
pub async fn fetch_i64(url: &str, sql: &str) -> i64 {
    let mut session = session(url).await;
    let number = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut session)
        .await
        .expect(sql);
    session.close().await.expect("a goodbye");
    number
}

/// An initialised data folder, made once per process and copied by every server.
fn template() -> &'static Path {
    static TEMPLATE: LazyLock<(Arc<Guarded>, PathBuf)> = LazyLock::new(|| {
        let mut command = vec![binary("initdb")];
        let options =
            "--no-sync --auth=trust -U postgres --encoding=UTF8 --locale=C --wal-segsize=4 -D data";
        command.extend(options.split(' ').map(String::from));
        let made = Program {
            command,
            ready: "Success.",
            last_signal: "TERM",
        };
        let template = Guarded::launch(create_folder(), made);
        let folder = template.folder().join("data");
        (template, folder)
    });
    &TEMPLATE.1
}

fn binary(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort_by_key(|folder| {
        let version = folder
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    find_binary(name, &folders, "postgresql")
}

//! Private MariaDB servers, made from the installed binaries: MySQL's protocol, and the server that Debian has.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use super::guarded::{Guarded, Program, create_folder, find_binary, off_runtime, text_of};
use super::port::ReservedPort;
use super::server::Server;

/// Trades durability, of which a test has no need, for speed, and keeps everything inside the folder.
const SETTINGS: [&str; 9] = [
    "--bind-address=127.0.0.1",
    "--socket=socket",
    "--pid-file=pid",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-use-native-aio=OFF",
    "--skip-log-bin",
];

/// One MariaDB server on a port of its own.
pub struct MySql(Server);

impl Deref for MySql {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The server of all tests that harm none; each asks it for a [`MySql::database`].
pub async fn shared() -> &'static MySql {
    static SHARED: OnceLock<MySql> = OnceLock::new();
    off_runtime(|| SHARED.get_or_init(|| MySql::launch(&["--max-connections=1000"]))).await
}

impl MySql {
    /// Starts a server that this test may harm.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further settings, such as `--max-connections=10`.
    pub async fn start_with(settings: &'static [&'static str]) -> Self {
        off_runtime(|| Self::launch(settings)).await
    }

    fn launch(settings: &[&str]) -> Self {
        let port = ReservedPort::new();
        // The second run of this command (see `Guarded::start_again`) finds the copy made by the first.
        let script = r#"[ -d data ] || cp -R "$0" data; exec "$@" --datadir="$PWD/data""#;
        let mut command: Vec<String> = ["sh", "-c", script].map(String::from).into();
        command.extend([
            text_of(template()),
            binary("mariadbd"),
            "--no-defaults".into(),
        ]);
        command.push(format!("--port={}", port.number()));
        command.extend(SETTINGS.iter().chain(settings).map(|&text| text.to_owned()));
        let program = Program {
            command,
            ready: "ready for connections",
            last_signal: "KILL",
        };
        Self(Server::launch(port, program))
    }

    /// The server's own database, from which the others can be seen.
    pub fn url(&self) -> String {
        self.url_of("mysql")
    }

    fn url_of(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port())
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
pub async fn session(url: &str) -> MySqlConnection {
    MySqlConnection::connect(url).await.expect("a session")
}

/// Runs one or several statements in a session.
pub async fn run(session: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(session)
        .await
        .expect(sql);
}

/// Runs one or several statements in the database at `url`.
pub async fn execute(url: &str, sql: &str) {
    let mut session = session(url).await;
    run(&mut session, sql).await;
    session.close().await.expect("a goodbye");
}

/// Asks the database at `url` for one number.
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
        let install = binary("mariadb-install-db");
        let options = "--no-defaults --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
                       --innodb-log-file-size=4M";
        let script = format!(r#"exec {install} {options} --datadir="$PWD/data""#);
        let made = Program {
            command: ["sh", "-c", &script].map(String::from).into(),
            ready: "OK",
            last_signal: "TERM",
        };
        let template = Guarded::launch(create_folder(), made);
        template.wait_for_end();
        let folder = template.folder().join("data");
        (template, folder)
    });
    &TEMPLATE.1
}

fn binary(name: &str) -> String {
    find_binary(name, &["/usr/sbin".into()], "mariadb-server")
}

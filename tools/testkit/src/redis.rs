//! Private Redis servers, made from the installed binary.

use std::ops::Deref;
use std::sync::OnceLock;

use redis::{AsyncConnectionConfig, Client, RedisResult, Value};

use super::guarded::{Program, find_binary, off_runtime};
use super::port::ReservedPort;
use super::server::Server;

const DATABASES: u32 = 4096;

/// One Redis server on a port of its own, which keeps nothing when it ends.
pub struct Redis(Server);

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The server of all tests that harm none; each asks it for a [`Redis::database`]. Its channels are everyone's.
pub async fn shared() -> &'static Redis {
    static SHARED: OnceLock<Redis> = OnceLock::new();
    off_runtime(|| SHARED.get_or_init(|| Redis::launch(Vec::new()))).await
}

impl Redis {
    /// Starts a server that this test may harm.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server that this test may harm, with more options, such as `["--replicaof", "127.0.0.1 6379"]`.
    pub async fn start_with(options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|option| option.to_string()).collect();
        off_runtime(move || Self::launch(options)).await
    }

    fn launch(more: Vec<String>) -> Self {
        let port = ReservedPort::new();
        let binary = find_binary("redis-server", &[], "redis-server");
        let options = format!(
            "--bind 127.0.0.1 --port {} --databases {DATABASES}",
            port.number()
        );
        let mut command = vec![binary];
        command.extend(options.split(' ').map(String::from));
        command.extend(["--save", "", "--appendonly", "no"].map(String::from));
        command.extend(more);
        let ready = "eady to accept connections";
        let program = Program {
            command,
            ready,
            last_signal: "KILL",
        };
        Self(Server::launch(port, program))
    }

    /// Logical database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port())
    }

    /// The URL of a logical database that nobody else uses.
    pub fn database(&self) -> String {
        // Number 0 is that of `Redis::url`.
        let number = 1 + self.next_database();
        assert!(number < DATABASES, "more databases than the server has");
        format!("redis://127.0.0.1:{}/{number}", self.port())
    }

    /// Runs one command, such as `["CONFIG", "SET", "maxmemory", "1"]`, in logical database 0.
    pub async fn cli(&self, command: &[&str]) -> Value {
        cli(&self.url(), command).await.expect("an answer")
    }
}

/// Runs one command in the logical database at `url`, over a connection of its own that waits as long as it takes.
pub async fn cli(url: &str, command: &[&str]) -> RedisResult<Value> {
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let client = Client::open(url)?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&patient)
        .await?;
    let mut words = redis::Cmd::new();
    for word in command {
        words.arg(*word);
    }
    words.query_async(&mut connection).await
}

//! A private Redis master with a replica, and a sentinel that puts one in the place of the other.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::sync::Arc;

use redis::Value;

use super::guarded::{Guarded, Program, create_folder, find_binary, off_runtime, text_of};
use super::port::ReservedPort;
use super::redis::cli;
use super::redis_cluster::text;
use super::{Redis, eventually};

/// What the sentinel calls the master.
const NAME: &str = "templates";

/// Two servers and who watches them.
pub struct RedisSentinel {
    first: Redis,
    second: Redis,
    port: ReservedPort,
    _sentinel: Arc<Guarded>,
}

impl RedisSentinel {
    /// Starts a master, its replica and a sentinel that knows both.
    pub async fn start() -> Self {
        let first = Redis::start_with(&["--repl-diskless-sync-delay", "0"]).await;
        let master = format!("127.0.0.1 {}", first.port());
        let second = Redis::start_with(&["--replicaof", &master]).await;
        eventually("the replica follows", async || {
            let info = text(first.cli(&["INFO", "replication"]).await);
            info.contains("state=online")
        })
        .await;
        let port = ReservedPort::new();
        let number = port.number();
        let sentinel = off_runtime(move || watch(&master, number)).await;
        let it = Self {
            first,
            second,
            port,
            _sentinel: sentinel,
        };
        eventually("the sentinel knows the replica", async || {
            let reply = it.ask(&["SENTINEL", "REPLICAS", NAME]).await;
            format!("{reply:?}").contains(&it.second.port().to_string())
        })
        .await;
        it
    }

    /// The address of the master.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/{NAME}", self.port.number())
    }

    /// The master to begin with.
    pub fn first(&self) -> &Redis {
        &self.first
    }

    /// The replica to begin with.
    pub fn second(&self) -> &Redis {
        &self.second
    }

    /// Has it put the replica in the master's place, which it refuses while the replica has not answered it for a moment.
    pub async fn fail_over(&self) {
        let url = format!("redis://127.0.0.1:{}", self.port.number());
        eventually("the sentinel begins a failover", async || {
            cli(&url, &["SENTINEL", "FAILOVER", NAME]).await.is_ok()
        })
        .await;
    }

    /// Runs one command on the sentinel.
    pub async fn ask(&self, command: &[&str]) -> Value {
        let url = format!("redis://127.0.0.1:{}", self.port.number());
        cli(&url, command).await.expect("an answer")
    }
}

fn watch(master: &str, port: u16) -> Arc<Guarded> {
    let folder = create_folder();
    let file = folder.join("sentinel.conf");
    let settings = format!(
        "bind 127.0.0.1\nport {port}\nsentinel monitor {NAME} {master} 1\n\
         sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 2000\n"
    );
    fs::write(&file, settings).expect("a file");
    // It rewrites the file, as the folder's owner.
    let owner = fs::metadata(&folder).expect("a folder");
    chown(&file, Some(owner.uid()), Some(owner.gid())).expect("a file of ours");
    let binary = find_binary("redis-server", &[], "redis-server");
    let program = Program {
        command: vec![binary, text_of(&file), "--sentinel".into()],
        ready: "+monitor master",
        last_signal: "KILL",
    };
    Guarded::launch(folder, program)
}

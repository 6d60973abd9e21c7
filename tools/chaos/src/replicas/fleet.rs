//! [`Fleet`]: the processes, the servers they share, and a network of its own between each process and each server.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use testkit::guarded::{Guarded, Program, off_runtime};
use testkit::http::Client;
use testkit::port::ReservedPort;
use testkit::{Proxy, Redis, eventually};

use super::database::Database;
use super::options::ReplicasOptions;
use crate::ask::ask;
use crate::stage::ALL_WELL;

/// The bearer token of all replicas.
pub(crate) const TOKEN: &str = "chaos";

/// Everything that runs.
pub(crate) struct Fleet {
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    /// The database, past every proxy: what a person at a prompt would be given.
    pub(crate) database_url: String,
    pub(crate) replicas: Vec<Replica>,
}

/// One process.
pub(crate) struct Replica {
    pub(crate) process: Arc<Guarded>,
    pub(crate) to_redis: Proxy,
    pub(crate) to_database: Proxy,
    port: ReservedPort,
}

impl Fleet {
    /// Starts everything, and returns once every replica says that all is well.
    pub(crate) async fn launch(options: &ReplicasOptions) -> Self {
        let binary = binary();
        let (database, redis) = tokio::join!(Database::start(options.database), Redis::start());
        let database_url = database.database().await;
        let mut replicas = Vec::new();
        for number in 0..options.replicas {
            let to_redis = Proxy::to(redis.port()).await;
            let to_database = Proxy::to(database.port()).await;
            let address = database
                .address_for(number, &to_database, &database_url)
                .await;
            let port = ReservedPort::new();
            let settings = [
                ("HTTP_ADDR", format!("127.0.0.1:{}", port.number())),
                ("REDIS_URL", to_redis.url(&redis.url())),
                ("DATABASE_URL", address),
                ("ADMIN_TOKEN", TOKEN.into()),
            ];
            let program = program(&binary, &settings, &options.settings);
            let process = off_runtime(move || Guarded::launch(folder(number), program)).await;
            replicas.push(Replica {
                process,
                to_redis,
                to_database,
                port,
            });
        }
        let client = Client::new();
        for replica in &replicas {
            eventually("a replica says that all is well", async || {
                let answer = ask(&client, &replica.url("/readyz")).await;
                answer.is_ok_and(|answer| answer.text() == ALL_WELL)
            })
            .await;
        }
        Self {
            database,
            redis,
            database_url,
            replicas,
        }
    }
}

impl Replica {
    /// Where it answers for a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port.number())
    }
}

fn program(binary: &str, own: &[(&str, String)], common: &[(String, String)]) -> Program {
    let own = own.iter().map(|(name, value)| format!("{name}={value}"));
    let common = common.iter().map(|(name, value)| format!("{name}={value}"));
    let mut command: Vec<String> = vec!["env".into(), "-i".into()];
    command.extend(own.chain(common).chain([binary.to_owned()]));
    Program {
        command,
        ready: "listening on",
        last_signal: "KILL",
    }
}

/// A folder of this user, who may run what was built here.
fn folder(number: usize) -> PathBuf {
    let name = format!(
        "stampede-chaos-{}-{number}-{:08x}",
        std::process::id(),
        fastrand::u32(..)
    );
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).expect("a temporary folder");
    folder
}

/// The service's binary beside this one.
fn binary() -> String {
    let ours = std::env::current_exe().expect("this binary's path");
    let binary = ours.with_file_name("stampede");
    assert!(
        binary.is_file(),
        "no {}: cargo build --package stampede --package chaos",
        binary.display()
    );
    binary.to_str().expect("a path in UTF-8").to_owned()
}

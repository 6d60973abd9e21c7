//! [`RedisCache`]: answers in Redis, under `td:v1:<id>`, written as [`super::payload`] says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, IntoConnectionInfo, Value};

use super::Lookup;
use super::entry::{Entry, Moment};
use super::payload;
use super::slot::{Failure, Slot};
use crate::metrics::Metrics;
use crate::metrics::labels::{Operation, Reason};
use crate::template::TemplateId;

/// Where Redis is and how it is used.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    client: Client,
    timeout: Duration,
    longest_ttl: Duration,
}

impl RedisOptions {
    /// Checks the address. `timeout` is the whole of one call; no entry is believed to hold for longer than
    /// `longest_ttl`, whatever another process's clock made it say.
    pub fn new(url: &str, timeout: Duration, longest_ttl: Duration) -> Result<Self, &'static str> {
        let refused = |_| "the Redis client does not accept this address";
        // The client's own default waits for more to send before it sends.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url
            .into_connection_info()
            .map_err(refused)?
            .set_tcp_settings(tcp);
        let client = Client::open(info).map_err(refused)?;
        Ok(Self {
            client,
            timeout,
            longest_ttl,
        })
    }
}

/// Answers in Redis.
#[derive(Debug)]
pub struct RedisCache {
    slot: Slot,
    longest_ttl: Duration,
}

impl RedisCache {
    /// Begins to connect. Redis may be away: then lookups are unanswered until it is there.
    pub async fn connect(options: RedisOptions, metrics: Arc<Metrics>) -> Self {
        let RedisOptions {
            client,
            timeout,
            longest_ttl,
        } = options;
        Self {
            slot: Slot::open(client, timeout, metrics).await,
            longest_ttl,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.slot.is_installed()
    }

    pub(super) async fn lookup(&self, id: TemplateId, now: Moment, metrics: &Metrics) -> Lookup {
        let mut get = Cmd::with_capacity(2, 32);
        get.arg("GET").arg(key(id));
        match self.slot.call(&get).await {
            Ok(Value::Nil) => Lookup::Miss,
            Ok(Value::BulkString(bytes)) => self.read(id, bytes.into(), now, metrics),
            // Something of another type is stored there: an answer, and none of ours.
            Ok(_) => corrupt(metrics),
            Err(Failure::Server(error)) if error.code() == Some("WRONGTYPE") => corrupt(metrics),
            Err(failure) => {
                metrics
                    .cache_errors
                    .of((Operation::Get, failure.reason()))
                    .inc();
                Lookup::Unanswered
            }
        }
    }

    fn read(&self, id: TemplateId, bytes: Bytes, now: Moment, metrics: &Metrics) -> Lookup {
        let Some(mut entry) = payload::decode(id, &bytes) else {
            return corrupt(metrics);
        };
        entry.expires_at = entry.expires_at.min(now.after(self.longest_ttl));
        if entry.is_fresh(now) {
            Lookup::Hit(entry)
        } else {
            Lookup::Miss
        }
    }

    pub(super) async fn store(&self, id: TemplateId, entry: &Entry, metrics: &Metrics) -> bool {
        let left = entry.expires_at.since(Moment::now()).as_millis().max(1);
        let mut set = Cmd::with_capacity(5, 256);
        set.arg("SET")
            .arg(key(id))
            .arg(payload::encode(id, entry))
            .arg("PX")
            .arg(left as u64);
        match self.slot.call(&set).await {
            Ok(_) => true,
            Err(failure) => {
                metrics
                    .cache_errors
                    .of((Operation::Set, failure.reason()))
                    .inc();
                false
            }
        }
    }
}

fn corrupt(metrics: &Metrics) -> Lookup {
    metrics
        .cache_errors
        .of((Operation::Get, Reason::Corrupt))
        .inc();
    Lookup::Miss
}

fn key(id: TemplateId) -> String {
    format!("td:v1:{id}")
}

impl Failure {
    fn reason(&self) -> Reason {
        match self {
            Self::Timeout => Reason::Timeout,
            Self::Unavailable => Reason::Unavailable,
            Self::Server(_) => Reason::Error,
        }
    }
}

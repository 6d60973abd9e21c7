//! [`Garbage`]: values under the service's keys that it has not written there, or not of late.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use redis::Value;
use testkit::redis::cli;

use super::repeat;
use crate::ledger::TEMPLATES;
use crate::popularity::Popularity;

/// More than any answer has.
const OVERSIZED: usize = 256 * 1024;

/// A key that the service does not know.
const SPARE: &str = "spare";

pub(super) struct Garbage {
    url: String,
    random: Rng,
    popularity: Popularity,
    /// What once was right.
    outdated: HashMap<i64, String>,
}

impl Garbage {
    pub(super) fn new(url: String, random: Rng) -> Self {
        let popularity = Popularity::new(TEMPLATES);
        Self {
            url,
            random,
            popularity,
            outdated: HashMap::new(),
        }
    }

    /// Writes garbage for so long.
    pub(super) async fn strew(&mut self, length: Duration) {
        let pause = Duration::from_millis(20);
        repeat(length, pause, async || {
            let (id, other) = (
                self.popularity.draw(&mut self.random),
                self.popularity.draw(&mut self.random),
            );
            self.spoil(id, other).await;
        })
        .await;
    }

    async fn spoil(&mut self, id: i64, other: i64) {
        let (present, key) = (self.value_of(id).await, key(id));
        match self.random.u8(0..7) {
            0 => {
                if let Some(value) = self.value_of(other).await {
                    self.run(&["SET", &key, &value]).await;
                }
            }
            1 => {
                if let Some(present) = present {
                    let end = self.random.usize(0..present.len());
                    self.run(&["SET", &key, &present[..end]]).await;
                }
            }
            2 => {
                if let Some(present) = present {
                    let altered = present.replacen(",\"version\":", ",\"version\":9", 1);
                    self.run(&["SET", &key, &altered]).await;
                }
            }
            3 => {
                // In one step, because the service may fill the key at any moment.
                self.run(&["RPUSH", SPARE, "a", "list"]).await;
                self.run(&["RENAME", SPARE, &key]).await;
            }
            4 => self.run(&["SET", &key, &"x".repeat(OVERSIZED)]).await,
            5 => {
                let foreign = format!(r#"{{"id":{id},"name":"Template {id}","version":1}}"#);
                self.run(&["SET", &key, &foreign]).await;
            }
            _ => match (self.outdated.get(&id).cloned(), present) {
                (Some(outdated), _) => self.run(&["SET", &key, &outdated]).await,
                (None, Some(present)) => drop(self.outdated.insert(id, present)),
                (None, None) => {}
            },
        }
    }

    /// What is there, if it is text in ASCII, which all of the service's own values here are.
    async fn value_of(&self, id: i64) -> Option<String> {
        match cli(&self.url, &["GET", &key(id)]).await {
            Ok(Value::BulkString(bytes)) if bytes.is_ascii() && !bytes.is_empty() => {
                String::from_utf8(bytes).ok()
            }
            _ => None,
        }
    }

    async fn run(&self, command: &[&str]) {
        cli(&self.url, command)
            .await
            .expect("Redis is well while garbage is strewn");
    }
}

fn key(id: i64) -> String {
    format!("td:v1:{id}")
}

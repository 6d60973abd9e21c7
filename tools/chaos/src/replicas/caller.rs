//! [`Caller`]: reads and writes the same few templates as everybody else, in waves, and keeps a journal of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hyper::Request;
use testkit::http::{Answer, Client};
use tokio::time::sleep_until;

use super::clock::Clock;
use super::fleet::{Fleet, TOKEN};
use super::operation::{Operation, What};
use super::sql::{Sql, Statement};
use crate::ask::send;
use crate::judge::source;
use crate::popularity::Popularity;
use crate::tally::Tally;

/// The ids that are read and written are 1 to this: few, so that they meet.
pub(crate) const HOT: i64 = 20;

/// So many callers, each with so many operations in each wave.
pub(crate) const CALLERS: usize = 24;
const VOLLEY: usize = 4;

/// What all callers share.
pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) clock: Clock,
    pub(crate) tally: Arc<Tally>,
    pub(crate) seed: u64,
    /// Between the beginnings of two waves.
    pub(crate) interval: Duration,
    /// Operations that are still to be made.
    pub(crate) left: AtomicUsize,
}

impl Scene {
    /// Between two waves, so that there are so many operations per second.
    pub(crate) fn interval(rate: f64) -> Duration {
        Duration::from_secs_f64((CALLERS * VOLLEY) as f64 / rate)
    }

    fn takes_one(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }
}

/// One of many.
pub(crate) struct Caller {
    scene: Arc<Scene>,
    number: usize,
    random: Rng,
    client: Client,
    sql: Sql,
    /// The versions seen last: what a conditional write expects.
    seen: HashMap<i64, i64>,
    counter: u32,
    pub(crate) journal: Vec<Operation>,
}

impl Caller {
    /// One that has not done anything yet.
    pub(crate) fn new(scene: Arc<Scene>, number: usize, client: Client, random: Rng) -> Self {
        let sql = Sql::new(scene.fleet.database_url.clone());
        Self {
            scene,
            number,
            random,
            client,
            sql,
            seen: HashMap::new(),
            counter: 0,
            journal: Vec::new(),
        }
    }

    /// Goes on until there is nothing left to do, and returns what was done.
    pub(crate) async fn work(mut self) -> Vec<Operation> {
        let popularity = Popularity::new(HOT);
        let began = Instant::now();
        for wave in 0_u32.. {
            sleep_until((began + self.scene.interval * wave).into()).await;
            // Everybody draws the same one.
            let mut common = Rng::with_seed(self.scene.seed ^ u64::from(wave) << 20);
            let focus = popularity.draw(&mut common);
            for _ in 0..VOLLEY {
                if !self.scene.takes_one() {
                    return self.journal;
                }
                let id = if self.random.u32(0..100) < 60 {
                    focus
                } else {
                    popularity.draw(&mut self.random)
                };
                self.operate(id).await;
            }
        }
        self.journal
    }

    async fn operate(&mut self, id: i64) {
        let replica = self.random.usize(..self.scene.fleet.replicas.len());
        match self.random.u32(0..10_000) {
            0..1_000 => self.put(replica, id).await,
            1_000..1_250 => self.delete(replica, id).await,
            1_250..1_500 => self.in_sql(id, Sql::UPDATE).await,
            1_500..1_600 => self.in_sql(id, Sql::INSERT).await,
            1_600..1_650 => self.in_sql(id, Sql::DELETE).await,
            1_650..1_658 => self.in_sql(id, Sql::UPDATE_ALL).await,
            1_658..1_660 => self.in_sql(id, Sql::TRUNCATE).await,
            1_660..1_662 => self.in_sql(id, Sql::LATE_UPDATE).await,
            _ => self.read(replica, id).await,
        }
    }

    /// Reads a template through a replica.
    pub(crate) async fn read(&mut self, replica: usize, id: i64) {
        let (began, outcome) = self.request(replica, id, "GET", None, String::new()).await;
        let what = What::read(id, &outcome);
        if let What::Saw { version, .. } = what {
            self.seen.insert(id, version);
        }
        self.note(Some(replica), id, began, source(&outcome), what);
    }

    async fn put(&mut self, replica: usize, id: i64) {
        let name = self.name(id);
        let expected = self.expected(id);
        let body = serde_json::json!({ "name": name }).to_string();
        let (began, outcome) = self.request(replica, id, "PUT", expected, body).await;
        let what = What::put(id, name, expected, &outcome);
        self.note(Some(replica), id, began, "PUT", what);
    }

    async fn delete(&mut self, replica: usize, id: i64) {
        let expected = self.expected(id);
        let (began, outcome) = self
            .request(replica, id, "DELETE", expected, String::new())
            .await;
        let what = What::delete(expected, &outcome);
        self.note(Some(replica), id, began, "DELETE", what);
    }

    async fn in_sql(&mut self, id: i64, statement: &Statement) {
        let (name, began) = (self.name(id), self.scene.clock.now());
        for (id, what) in self.sql.run(statement, id, &name).await {
            self.note(None, id, began, "SQL", what);
        }
    }

    /// Names the template, the writer and the write, so that no two states of anything have the same name.
    fn name(&mut self, id: i64) -> String {
        self.counter += 1;
        format!("{id} by {}, {}", self.number, self.counter)
    }

    /// A version for every fourth write to expect.
    fn expected(&mut self, id: i64) -> Option<i64> {
        let expects = self.random.u32(0..4) == 0;
        self.seen.get(&id).copied().filter(|_| expects)
    }

    async fn request(
        &self,
        replica: usize,
        id: i64,
        method: &str,
        expected: Option<i64>,
        body: String,
    ) -> (u64, Result<Answer, String>) {
        let path = format!("/template-details?id={id}");
        let mut request = Request::builder()
            .method(method)
            .uri(self.scene.fleet.replicas[replica].url(&path));
        if method != "GET" {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        if let Some(version) = expected {
            request = request.header("if-match", format!("\"{id}-{version}\""));
        }
        let request = request
            .body(body.into())
            .expect("made of digits and ASCII literals");
        let began = self.scene.clock.now();
        (began, send(&self.client, request).await)
    }

    fn note(
        &mut self,
        replica: Option<usize>,
        id: i64,
        began: u64,
        source: &'static str,
        what: What,
    ) {
        let ended = self.scene.clock.now();
        let took = Duration::from_micros(ended - began);
        self.scene.tally.count(source, true, took);
        self.journal.push(Operation {
            replica,
            id,
            began,
            ended,
            what,
        });
    }
}

//! [`RedisConnection`]: at most one connection to Redis, and only one that has proved itself.
//!
//! A connection is used after a health check was answered in time. It is dropped on any error of the connection, or when
//! its breaker opens. One background task connects again, with growing, jittered pauses. No call waits for that: while
//! there is no connection, a call fails at once.
//!
//! So this is a circuit breaker as well: closed, open and half-open are "connected", "not connected" and "being checked".
//! While it is connected, the same task repeats the health check each second, so that a dead connection is found, and
//! `cache_up` is true, without traffic too.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Arg, Cmd, RedisError, RedisResult, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::outbox::{Kept, Outbox};
use super::topology::{Link, LinkState, NO_ANSWER, Server, reason};
use crate::cache::breaker::{Backoff, Breaker, Verdict};
use crate::fault::Switch;
use crate::freshness::{Entry, IgnoreBefore, Rank};
use crate::metrics::Metrics;
use crate::outcomes::Reason;
use crate::telemetry::traces::{self, Span, SpanRef};
use crate::template::TemplateId;

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// No answer in time.
    Timeout,
    /// There is no connection, or it broke.
    Unavailable,
    /// The server answered with an error.
    Server(RedisError),
}

impl Failure {
    /// As `cache_errors_total` counts it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Timeout => Reason::Timeout,
            Self::Unavailable => Reason::Unavailable,
            Self::Server(_) => Reason::Error,
        }
    }

    /// As `error.type` of a span says it.
    pub(super) fn as_str(&self) -> &'static str {
        self.reason().as_str()
    }
}

/// Begins the span of a command.
pub(super) fn begin_span(caller: &SpanRef, command: &Cmd) -> Span {
    let name = match command.args_iter().next() {
        Some(Arg::Simple(b"GET")) => "GET",
        Some(Arg::Simple(b"MGET")) => "MGET",
        Some(Arg::Simple(b"EVAL")) => "EVAL",
        Some(Arg::Simple(b"DEL")) => "DEL",
        _ => "command",
    };
    caller.ask(name, "redis", name)
}

/// What a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// There is no connection.
    Nothing,
    /// One server.
    OneNode,
    /// The nodes of a cluster.
    SeveralNodes,
}

/// The connection. Clones share it, and the last one to be dropped ends the background task.
#[derive(Clone)]
pub(super) struct RedisConnection {
    shared: Arc<SharedConnection>,
    _reconnecting: Arc<AbortOnDropHandle<()>>,
}

struct SharedConnection {
    server: Server,
    connected: ArcSwapOption<Connected>,
    timeout: Duration,
    faults: Switch,
    disconnected: Notify,
    outbox: Outbox,
    ignored: IgnoreBefore,
    metrics: Arc<Metrics>,
}

struct Connected {
    link: Link,
    breaker: Breaker,
}

/// How long a connection must last for its loss not to look like flapping.
const STABLE: Duration = Duration::from_secs(5);

/// Between two health checks.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Missed heartbeats after which a cluster connection is replaced. The answers of its other nodes say nothing of a silent
/// one, and a new connection goes around it.
const MOST_MISSED: u32 = 3;

impl RedisConnection {
    /// Begins to connect, and waits for the first attempt to end, well or not. `timeout` bounds one call.
    pub(super) async fn open(
        server: Server,
        timeout: Duration,
        faults: Switch,
        metrics: Arc<Metrics>,
    ) -> Self {
        let shared = Arc::new(SharedConnection {
            server,
            connected: ArcSwapOption::empty(),
            timeout,
            faults,
            disconnected: Notify::new(),
            outbox: Outbox::new(timeout, Arc::clone(&metrics)),
            ignored: IgnoreBefore::default(),
            metrics,
        });
        let tried = Arc::new(Notify::new());
        let task = Arc::clone(&shared).stay_connected(Arc::clone(&tried));
        let reconnecting = AbortOnDropHandle::new(tokio::spawn(task));
        tried.notified().await;
        Self {
            shared,
            _reconnecting: Arc::new(reconnecting),
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        self.shared.connected.load().is_some()
    }

    /// What the connection leads to at the moment.
    pub(super) fn reach(&self) -> Reach {
        match &*self.shared.connected.load() {
            None => Reach::Nothing,
            Some(connected) if connected.link.has_several_nodes() => Reach::SeveralNodes,
            Some(_) => Reach::OneNode,
        }
    }

    /// The longest that one call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// What stored entries have to be later than.
    pub(super) fn ignored(&self) -> &IgnoreBefore {
        &self.shared.ignored
    }

    /// Sends a command and waits for its reply, at most the time-out.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        self.call_since(Instant::now(), command).await
    }

    /// The same for a caller that has waited since `began`.
    pub(super) async fn call_since(&self, began: Instant, command: &Cmd) -> Result<Value, Failure> {
        let shared = &*self.shared;
        let Some(connected) = shared.connected.load_full() else {
            return Err(Failure::Unavailable);
        };
        let span = traces::current().map(|caller| begin_span(&caller, command));
        let mut link = connected.link.clone();
        let reply = pin!(async {
            shared.pass_fault().await?;
            command.query_async(&mut link).await
        });
        let answered = shared.wait_and_judge(&connected, began, reply).await;
        traces::finish(span, answered.as_ref().err().map(Failure::as_str));
        answered
    }

    /// Keeps an invalidation that could not reach Redis, to be sent before Redis is asked again. A single server is
    /// disconnected, and connected again once it has been told. A cluster stays connected, because its other nodes have
    /// missed nothing. It is not asked for this template meanwhile.
    pub(super) fn tell_later(&self, id: TemplateId, entry: Option<&Entry>, command: Cmd) -> Kept {
        let says = entry.map_or(Rank::UNKNOWN, Rank::of);
        let kept = self.shared.outbox.keep(id, says, command);
        match self.shared.connected.load_full() {
            Some(connected) if !connected.link.has_several_nodes() => {
                self.shared.disconnect(&connected, "it missed a change");
            }
            _ => {}
        }
        kept
    }

    /// Whether Redis has still to be told of this template, and so must not be asked for it.
    pub(super) fn has_to_be_told(&self, id: TemplateId) -> bool {
        self.shared.outbox.has(id)
    }
}

impl SharedConnection {
    /// Connects, and connects again whenever the connection is lost. `tried`: an attempt has ended.
    async fn stay_connected(self: Arc<Self>, tried: Arc<Notify>) {
        let mut backoff = Backoff::default();
        let mut is_away = false;
        loop {
            let connected = match self.connect().await {
                Ok(link) => self.establish(link).await,
                Err(reason) => Err(reason),
            };
            // If `open` does not wait yet, the notice is kept for it.
            tried.notify_one();
            match connected {
                Ok(()) => {
                    let since = Instant::now();
                    self.check_until_lost().await;
                    is_away = true;
                    if since.elapsed() >= STABLE {
                        backoff = Backoff::default();
                        continue;
                    }
                }
                Err(reason) => {
                    if !std::mem::replace(&mut is_away, true) {
                        warn!(
                            reason,
                            "redis is away: answers come from the local copy and the database"
                        );
                    }
                }
            }
            sleep(backoff.next()).await;
        }
    }

    /// A link whose first health check was answered in time, or why there is none.
    async fn connect(&self) -> Result<Link, &'static str> {
        let longest = self.server.longest_connect();
        match timeout(longest, self.faults.pass()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err("no connection"),
            Err(_) => return Err("no connection in time"),
        }
        let mut link = match timeout(longest, self.server.connect()).await {
            Ok(connected) => connected.map_err(|error| reason(&error))?,
            Err(_) => return Err("no connection in time"),
        };
        match timeout(self.timeout, link.check()).await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err(NO_ANSWER),
        }
    }

    /// Lets calls use a link, once the server has been told everything that it missed.
    async fn establish(&self, mut link: Link) -> Result<(), &'static str> {
        loop {
            self.outbox.send(&mut link, &self.ignored).await?;
            let connected = Arc::new(Connected {
                link: link.clone(),
                breaker: Breaker::default(),
            });
            let establish = || {
                self.metrics.cache_up.set(1);
                self.connected.store(Some(connected));
            };
            // The nodes of a cluster need not wait for one that could not be told.
            let is_established = if link.has_several_nodes() {
                establish();
                true
            } else {
                self.outbox.if_empty(establish).is_some()
            };
            if is_established {
                info!("redis is there");
                return Ok(());
            }
        }
    }

    /// Repeats the health check each second until the connection is lost.
    async fn check_until_lost(&self) {
        let mut missed = 0;
        while timeout(HEARTBEAT, self.disconnected.notified())
            .await
            .is_err()
        {
            let Some(connected) = self.connected.load_full() else {
                continue;
            };
            let mut link = connected.link.clone();
            // A failure shows in the check that follows.
            let _ = self.outbox.send(&mut link, &self.ignored).await;
            let check = pin!(async {
                self.pass_fault().await?;
                link.check().await
            });
            // Of a single server the time-outs are counted already. Only a cluster's missed heartbeats are counted here.
            missed = match self.wait_and_judge(&connected, Instant::now(), check).await {
                Err(_) if connected.link.has_several_nodes() => missed + 1,
                _ => 0,
            };
            if missed == MOST_MISSED {
                self.disconnect(&connected, "some of its nodes do not answer");
            }
        }
    }

    /// Waits for a reply, at most the time-out from `began`. Records what it says of the connection, and drops the
    /// connection if it is lost or given up.
    async fn wait_and_judge<T>(
        &self,
        connected: &Arc<Connected>,
        began: Instant,
        reply: Pin<&mut impl Future<Output = RedisResult<T>>>,
    ) -> Result<T, Failure> {
        match timeout_at(began + self.timeout, reply).await {
            Ok(Ok(value)) => {
                connected.breaker.record_answer();
                Ok(value)
            }
            Ok(Err(error)) => match connected.link.state_after(&error) {
                LinkState::Well => {
                    connected.breaker.record_answer();
                    Err(Failure::Server(error))
                }
                LinkState::NodeAway => Err(Failure::Unavailable),
                LinkState::Lost(reason) => {
                    self.disconnect(connected, reason);
                    Err(Failure::Unavailable)
                }
            },
            Err(_) => {
                if connected.breaker.record_timeout(began) == Verdict::GiveUp {
                    self.disconnect(connected, "it does not answer in time");
                }
                Err(Failure::Timeout)
            }
        }
    }

    /// Waits for the fault that the lab has set, if any.
    async fn pass_fault(&self) -> RedisResult<()> {
        let passed = self.faults.pass().await;
        passed.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe).into())
    }

    /// Drops this connection, unless another one has replaced it.
    fn disconnect(&self, connected: &Arc<Connected>, reason: &str) {
        let before = self.connected.compare_and_swap(connected, None);
        if before
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, connected))
        {
            self.metrics.cache_up.set(0);
            self.disconnected.notify_one();
            warn!(
                reason,
                "redis is lost: answers come from the local copy and the database"
            );
        }
    }
}

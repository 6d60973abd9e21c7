//! [`Connections`]: the open connections, their time-outs, and a way to close them.
//!
//! hyper has one time-out for an idle connection and for a request's head. They differ: a load balancer keeps idle
//! connections for a minute and expects an answer on them, while a slow head must be cut soon. So a connection records
//! what it reads and writes, and its timer decides from that which of the two time-outs applies.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time;
use std::{collections::HashMap, io};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

/// The longest waits for a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For the next request on a connection that has had one.
    pub(super) idle: Duration,
    /// For a whole head: from its first byte or, on a new connection, from the accept.
    pub(super) head: Duration,
}

/// The open connections.
pub(super) struct Connections {
    timeouts: Timeouts,
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    opened: u64,
}

impl Connections {
    pub(super) fn new(timeouts: Timeouts) -> Arc<Self> {
        Arc::new(Self {
            timeouts,
            began: Instant::now(),
            open: Mutex::default(),
        })
    }

    /// Registers a connection that was just accepted.
    pub(super) fn open(self: &Arc<Self>) -> OpenConnection {
        let connection = Arc::new(Connection {
            timeouts: self.timeouts,
            began: self.began,
            activity: AtomicU64::new(micros_since(self.began, Instant::now())),
            is_new: AtomicBool::new(true),
            sleep: Mutex::default(),
            close: Notify::new(),
        });
        let mut open = self.open.lock();
        open.opened += 1;
        let number = open.opened;
        open.connections.insert(number, Arc::clone(&connection));
        OpenConnection {
            connections: Arc::clone(self),
            connection,
            number,
        }
    }

    /// Asks the connection that has been idle longest to close, if one is idle.
    pub(super) fn close_longest_idle(&self) {
        let open = self.open.lock();
        let idle = open.connections.values().filter_map(|connection| {
            let activity = connection.activity.load(Ordering::Relaxed);
            (activity < READING).then_some((activity, connection))
        });
        if let Some((_, connection)) = idle.min_by_key(|(since, _)| *since) {
            // No longer idle, so that the next call finds another connection.
            connection.activity.store(ANSWERING, Ordering::Relaxed);
            connection.close.notify_one();
        }
    }

    /// Asks every connection to close: an idle one at once, others after the answer that is under way.
    pub(super) fn close_all(&self) {
        for connection in self.open.lock().connections.values() {
            connection.close.notify_one();
        }
    }
}

/// A connection that is registered as open until this is dropped.
pub(super) struct OpenConnection {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    number: u64,
}

impl OpenConnection {
    /// Completes when the connection is asked to close.
    pub(super) async fn asked_to_close(&self) {
        self.connection.close.notified().await;
    }

    /// Records what is read from the stream and written to it.
    pub(super) fn recorded<S>(&self, stream: S) -> RecordedStream<S> {
        RecordedStream {
            stream,
            connection: Arc::clone(&self.connection),
        }
    }

    /// A timer for hyper, whose time-out for heads has to be [`Timeouts::idle`].
    pub(super) fn timer(&self) -> ConnectionTimer {
        ConnectionTimer(Arc::clone(&self.connection))
    }

    /// To be called when a request is whole: it may have been read together with an earlier one.
    pub(super) fn record_request(&self) -> impl Fn() + use<> {
        let connection = Arc::clone(&self.connection);
        move || connection.activity.store(ANSWERING, Ordering::Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections
            .open
            .lock()
            .connections
            .remove(&self.number);
    }
}

/// What one connection is doing.
struct Connection {
    timeouts: Timeouts,
    began: Instant,
    /// [`READING`], [`ANSWERING`], or the microseconds after `began` at which it became idle.
    activity: AtomicU64,
    /// Whether hyper has not waited for a head yet.
    is_new: AtomicBool,
    /// The one sleep of this connection, moved from wait to wait. A new one for each request would cost a Redis hit 3 % of
    /// its instructions and an allocation (`redis-hit` of `tools/bench/gate`).
    sleep: Mutex<Option<Pin<Box<tokio::time::Sleep>>>>,
    close: Notify,
}

/// A head has begun: bytes were read after the last answer.
const READING: u64 = u64::MAX - 1;

/// A request is being answered.
const ANSWERING: u64 = u64::MAX;

fn micros_since(began: Instant, now: Instant) -> u64 {
    let micros = now.saturating_duration_since(began).as_micros();
    u64::try_from(micros).unwrap_or(0).min(READING - 1)
}

impl Connection {
    fn is_reading(&self) -> bool {
        self.activity.load(Ordering::Relaxed) == READING
    }
}

/// A stream whose connection records what is read and written.
pub(super) struct RecordedStream<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.connection.activity.store(READING, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RecordedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.activity.store(ANSWERING, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The timer of one connection, which chooses the time-out of each wait.
pub(super) struct ConnectionTimer(Arc<Connection>);

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    /// Called when hyper begins to wait for a head. The deadline is that of an idle connection.
    fn sleep_until(&self, deadline: time::Instant) -> Pin<Box<dyn Sleep>> {
        let Self(connection) = self;
        let began = Instant::from(deadline) - connection.timeouts.idle;
        let is_new = connection.is_new.load(Ordering::Relaxed);
        if is_new {
            connection.is_new.store(false, Ordering::Relaxed);
        }
        // hyper may have read the beginning of the next head with the last request.
        if !connection.is_reading() {
            let idle = micros_since(connection.began, began);
            connection.activity.store(idle, Ordering::Relaxed);
        }
        Box::pin(HeadWait {
            connection: Arc::clone(connection),
            began,
            head_began: is_new.then_some(began),
        })
    }

    fn now(&self) -> time::Instant {
        Instant::now().into()
    }
}

/// One wait for a head.
struct HeadWait {
    connection: Arc<Connection>,
    began: Instant,
    /// None while the connection is idle.
    head_began: Option<Instant>,
}

impl Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    /// hyper polls this only while no whole head has arrived.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.head_began.is_none() && self.connection.is_reading() {
            self.head_began = Some(Instant::now());
        }
        let timeouts = self.connection.timeouts;
        let deadline = match self.head_began {
            Some(began) => began + timeouts.head,
            None => self.began + timeouts.idle,
        };
        let mut sleep = self.connection.sleep.lock();
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // It was set while the connection was idle, and a head has begun since.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            // It was set for an earlier wait.
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

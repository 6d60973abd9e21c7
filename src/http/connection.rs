//! [`Connections`]: the connections that are open, how long each may wait for its peer, and a way to close it.
//!
//! hyper has one time-out for the wait between two requests and for a request's head. These are two waits: a load
//! balancer keeps idle connections for a minute and expects the next request on them to be answered, while a head that
//! trickles in has to be cut soon. So a connection notes what it hears and says, and its timer asks which wait this is.

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

/// The longest that a peer may take for what the server waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The next request on a connection that has had one.
    pub(super) idle: Duration,
    /// A head, from its first byte; on a new connection, from when it was accepted.
    pub(super) head: Duration,
}

/// The open connections.
pub(super) struct Connections {
    patience: Patience,
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    opened: u64,
}

impl Connections {
    pub(super) fn new(patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            patience,
            began: Instant::now(),
            open: Mutex::default(),
        })
    }

    /// Adds a connection that was just accepted.
    pub(super) fn open(self: &Arc<Self>) -> Place {
        let connection = Arc::new(Connection {
            patience: self.patience,
            began: self.began,
            activity: AtomicU64::new(since(self.began, Instant::now())),
            is_new: AtomicBool::new(true),
            sleep: Mutex::default(),
            close: Notify::new(),
        });
        let mut open = self.open.lock();
        open.opened += 1;
        let number = open.opened;
        open.connections.insert(number, Arc::clone(&connection));
        Place {
            connections: Arc::clone(self),
            connection,
            number,
        }
    }

    /// Asks the connection that has been idle longest to close; false if none is idle.
    pub(super) fn close_longest_idle(&self) -> bool {
        let open = self.open.lock();
        let idle = open.connections.values().filter_map(|connection| {
            let activity = connection.activity.load(Ordering::Relaxed);
            (activity < READING).then_some((activity, connection))
        });
        let longest = idle.min_by_key(|(since, _)| *since);
        if let Some((_, connection)) = longest {
            // It is busy with closing, so that the next call finds another one.
            connection.activity.store(ANSWERING, Ordering::Relaxed);
            connection.close.notify_one();
        }
        longest.is_some()
    }

    /// Asks every connection to close: an idle one at once, others after the answer that is under way.
    pub(super) fn close_all(&self) {
        for connection in self.open.lock().connections.values() {
            connection.close.notify_one();
        }
    }
}

/// A connection's place among the open ones, until it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    number: u64,
}

impl Place {
    /// Completes when the connection is asked to close.
    pub(super) async fn asked_to_close(&self) {
        self.connection.close.notified().await;
    }

    /// A stream of which the connection notes what it hears and says.
    pub(super) fn noted<S>(&self, stream: S) -> Noted<S> {
        Noted {
            stream,
            connection: Arc::clone(&self.connection),
        }
    }

    /// A timer for hyper, which has to set it to [`Patience::idle`].
    pub(super) fn timer(&self) -> HeadTimer {
        HeadTimer(Arc::clone(&self.connection))
    }

    /// A mark to be set when a request is whole: it may have been read together with an earlier one.
    pub(super) fn mark(&self) -> Mark {
        Mark(Arc::clone(&self.connection))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections
            .open
            .lock()
            .connections
            .remove(&self.number);
    }
}

/// Notes that a connection is answering.
pub(super) struct Mark(Arc<Connection>);

impl Mark {
    pub(super) fn answering(&self) {
        self.0.activity.store(ANSWERING, Ordering::Relaxed);
    }
}

/// What a connection is doing.
struct Connection {
    patience: Patience,
    began: Instant,
    /// [`READING`], [`ANSWERING`], or idle since so many microseconds after `began`.
    activity: AtomicU64,
    /// Whether it has not had a request yet.
    is_new: AtomicBool,
    /// The one sleep of this connection, moved from wait to wait. A new sleep for each request would be entered among
    /// all sleeps of the runtime and taken out again, under a lock.
    sleep: Mutex<Option<Pin<Box<tokio::time::Sleep>>>>,
    close: Notify,
}

/// Bytes have come since the last answer.
const READING: u64 = u64::MAX - 1;

/// A request is being answered.
const ANSWERING: u64 = u64::MAX;

fn since(began: Instant, now: Instant) -> u64 {
    let micros = now.saturating_duration_since(began).as_micros();
    u64::try_from(micros).unwrap_or(0).min(READING - 1)
}

impl Connection {
    fn is_reading(&self) -> bool {
        self.activity.load(Ordering::Relaxed) == READING
    }
}

/// A stream whose connection notes what it hears and says.
pub(super) struct Noted<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
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

/// The timer of one connection: gives each wait its own deadline.
pub(super) struct HeadTimer(Arc<Connection>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    /// hyper begins to wait for a head, for as long as a connection may be idle.
    fn sleep_until(&self, deadline: time::Instant) -> Pin<Box<dyn Sleep>> {
        let Self(connection) = self;
        let began = Instant::from(deadline) - connection.patience.idle;
        let is_new = connection.is_new.load(Ordering::Relaxed);
        if is_new {
            connection.is_new.store(false, Ordering::Relaxed);
        }
        // hyper may have read the beginning of the next head already, behind the answer to the last one.
        if !connection.is_reading() {
            let idle = since(connection.began, began);
            connection.activity.store(idle, Ordering::Relaxed);
        }
        Box::pin(Wait {
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
struct Wait {
    connection: Arc<Connection>,
    began: Instant,
    /// None while the connection is idle.
    head_began: Option<Instant>,
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    /// hyper polls it only when what has come is not a whole head.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.head_began.is_none() && self.connection.is_reading() {
            self.head_began = Some(Instant::now());
        }
        let patience = self.connection.patience;
        let deadline = match self.head_began {
            Some(began) => began + patience.head,
            None => self.began + patience.idle,
        };
        let mut sleep = self.connection.sleep.lock();
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // It was set for an idle connection, on which a head has begun now.
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

//! The accept loop, the limits of a connection, and the drain.
//!
//! axum's own loop has neither a time-out for a request's head nor a deadline for the drain.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Front;
use super::head_timer::HeadTimer;

/// Longest wait for a request's head, and for the next request on a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// Most connections at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 8_000;

/// How many connections may wait to be accepted: more than `MAX_IN_FLIGHT` by default, so that a wave of new ones is
/// not turned into retries a second later.
const BACKLOG: u32 = 4_096;

/// After an accept that failed for want of a file descriptor, say: the next would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two log lines about accepts that fail.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// Starts to listen.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A service that was just ended may leave connections behind on the same address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers on this listener until `shutdown` completes, then drains, for at most `grace`; what is left then is cut.
/// Calls `draining` in between.
///
/// While requests of before the signal are under way, callers that come later are answered as well: a load balancer
/// learns from an answer that it should send no more, and what it has sent already is not lost.
pub async fn serve(
    listener: TcpListener,
    front: Front,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
    draining: impl FnOnce(),
) {
    let server = Server {
        listener,
        front: Arc::new(front),
        room: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        complained_at: Mutex::default(),
    };
    let mut connections = JoinSet::new();
    let early = GracefulShutdown::new();
    server
        .accept_until(shutdown, &early, &mut connections)
        .await;
    draining();
    let drain = async {
        let late = GracefulShutdown::new();
        server
            .accept_until(early.shutdown(), &late, &mut connections)
            .await;
        drop(server);
        late.shutdown().await;
    };
    if timeout(grace, drain).await.is_err() {
        warn!("the grace is over: connections that are still busy are cut");
    }
}

struct Server {
    listener: TcpListener,
    front: Arc<Front>,
    room: Arc<Semaphore>,
    complained_at: Mutex<Option<Instant>>,
}

impl Server {
    /// Accepts connections until `end` completes and nobody is left who has knocked already.
    async fn accept_until(
        &self,
        end: impl Future<Output = ()>,
        graceful: &GracefulShutdown,
        connections: &mut JoinSet<()>,
    ) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                (stream, place) = self.accept() => {
                    connections.spawn(serve_connection(stream, place, Arc::clone(&self.front), graceful));
                }
                () = &mut end => return,
                Some(_ended) = connections.join_next() => {}
            }
        }
    }

    fn may_complain(&self) -> bool {
        let mut complained_at = self.complained_at.lock();
        let may = complained_at.is_none_or(|at| at.elapsed() >= COMPLAINT_PAUSE);
        if may {
            *complained_at = Some(Instant::now());
        }
        may
    }

    async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        let place = Arc::clone(&self.room).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, place),
                // The peer was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if self.may_complain() {
                        warn!(%error, "cannot accept connections");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn serve_connection(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    front: Arc<Front>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Without it, small answers may wait for the peer's acknowledgement. A socket that refuses is closed already.
    let _ = stream.set_nodelay(true);
    // The most headers are hyper's own limit, 100: to have another costs each request a loop over all places for one.
    let connection = http1::Builder::new()
        .timer(HeadTimer::default())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MOST_HEAD_BYTES)
        // An answer is small: copied into one piece it costs less than a list of two pieces does.
        .writev(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| Arc::clone(&front).answer(request)),
        );
    let connection = graceful.watch(connection);
    async move {
        let _place = place;
        if let Err(error) = connection.await {
            debug!(%error, "a connection ended early");
        }
    }
}

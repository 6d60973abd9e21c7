//! The accept loop, the limits of a connection, and the drain.
//!
//! It is not axum's loop, which has neither a time-out for a request's head nor a deadline for the drain.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::connection::{Connections, Timeouts};

/// Longest wait for a request's head once it has begun, and for the first head of a new connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// Most connections at once. A further one replaces the connection that has been idle longest.
const MOST_CONNECTIONS: usize = 8_000;

/// How many connections may wait to be accepted. It is more than `MAX_IN_FLIGHT` by default: connections beyond it would
/// be tried again only a second later.
const BACKLOG: u32 = 4_096;

/// Pause after an accept that failed, for lack of a file descriptor, for example: the next would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Least time between two log lines about accepts that fail.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// The settings of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Longest time between two requests on a connection.
    pub idle_timeout: Duration,
    /// How long everything is still accepted and answered after the signal to end.
    pub drain_delay: Duration,
    /// The longest drain after that.
    pub shutdown_grace: Duration,
}

/// Starts to listen.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Connections of a service that ended just now may still hold the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers on this listener until `shutdown` completes, then calls `ending` and ends:
///
/// 1. For the delay everything is accepted and answered: a load balancer may not have asked `/readyz` yet.
/// 2. The drain closes idle connections and answers what is under way. It accepts connections until no earlier one is
///    left. After the grace it cuts those that are still busy.
pub async fn serve<A, F, B>(
    listener: TcpListener,
    answer: A,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
    ending: impl FnOnce(),
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut server = Server::new(listener, answer, options.idle_timeout, MOST_CONNECTIONS);
    let mut early = JoinSet::new();
    server.accept_until(shutdown, &mut early).await;
    ending();
    if !options.drain_delay.is_zero() {
        info!(
            "stopping: /readyz says so, and requests are answered for {} more",
            humantime::format_duration(options.drain_delay)
        );
        server
            .accept_until(sleep(options.drain_delay), &mut early)
            .await;
    }
    info!("draining");
    let drain = async {
        server.connections.close_all();
        let mut late = JoinSet::new();
        let early_end = async { while early.join_next().await.is_some() {} };
        server.accept_until(early_end, &mut late).await;
        let connections = Arc::clone(&server.connections);
        // Closes the listener: nothing is accepted any more.
        drop(server);
        connections.close_all();
        while late.join_next().await.is_some() {}
    };
    if timeout(options.shutdown_grace, drain).await.is_err() {
        warn!("the grace is over: connections that are still busy are cut");
    }
}

struct Server<A> {
    listener: TcpListener,
    answer: A,
    connections: Arc<Connections>,
    idle_timeout: Duration,
    places: Arc<Semaphore>,
    /// A connection that was accepted and waits for a place.
    waiting: Option<TcpStream>,
    warned_at: Option<Instant>,
}

impl<A, F, B> Server<A>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    fn new(listener: TcpListener, answer: A, idle_timeout: Duration, places: usize) -> Self {
        let timeouts = Timeouts {
            idle: idle_timeout,
            head: HEAD_TIMEOUT,
        };
        Self {
            listener,
            answer,
            connections: Connections::new(timeouts),
            idle_timeout,
            places: Arc::new(Semaphore::new(places)),
            waiting: None,
            warned_at: None,
        }
    }

    /// Accepts connections until `end` completes. Those that already wait in the backlog then are accepted first.
    async fn accept_until(&mut self, end: impl Future<Output = ()>, served: &mut JoinSet<()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                (stream, place) = self.accept() => {
                    served.spawn(self.serve_connection(stream, place));
                }
                () = &mut end => return,
                Some(_ended) = served.join_next() => {}
            }
        }
    }

    /// The next connection and its place. No connection is lost when this future is dropped.
    async fn accept(&mut self) -> (TcpStream, OwnedSemaphorePermit) {
        while self.waiting.is_none() {
            match self.listener.accept().await {
                Ok((stream, _)) => self.waiting = Some(stream),
                // The peer left before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.warn(&error);
                    // An idle connection may have what this one lacks: a file descriptor.
                    self.connections.close_longest_idle();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let places = Arc::clone(&self.places);
        if places.available_permits() == 0 {
            self.connections.close_longest_idle();
        }
        let place = places.acquire_owned().await;
        let stream = self.waiting.take().expect("it was accepted above");
        (stream, place.expect("the semaphore is never closed"))
    }

    fn warn(&mut self, error: &io::Error) {
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() >= WARNING_PAUSE)
        {
            self.warned_at = Some(Instant::now());
            warn!(%error, "cannot accept connections");
        }
    }

    fn serve_connection(
        &self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<A, F, B> {
        // Otherwise small answers may wait for the peer's acknowledgement. A socket that refuses this is closed already.
        let _ = stream.set_nodelay(true);
        let open = self.connections.open();
        let (answer, record_request) = (self.answer.clone(), open.record_request());
        let answer = move |request| {
            record_request();
            answer(request)
        };
        // At most 100 headers, hyper's default: with another limit hyper fills an array of that length for each request.
        let connection = http1::Builder::new()
            .timer(open.timer())
            // hyper counts this from when it begins to wait for a request's head: on a kept connection, from the end of
            // the request before. So it is the time-out of an idle connection, and of a slow head.
            .header_read_timeout(self.idle_timeout)
            .max_buf_size(MOST_HEAD_BYTES)
            // An answer is small. Copied into one piece it saves 5 to 10 % of a whole request.
            .writev(false)
            .serve_connection(TokioIo::new(open.recorded(stream)), service_fn(answer));
        async move {
            let _place = place;
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = open.asked_to_close() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, "a connection ended early");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const IDLE: Duration = Duration::from_secs(75);
    const SECOND: Duration = Duration::from_secs(1);

    async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
    }

    fn listen_here() -> (TcpListener, SocketAddr) {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        // A paused clock goes to the next timer whenever all wait, also for a socket: never far.
        tokio::spawn(async {
            loop {
                sleep(Duration::from_millis(5)).await;
            }
        });
        (listener, address)
    }

    /// A server that says hello, with places for so many connections.
    async fn start(places: usize) -> SocketAddr {
        let (listener, address) = listen_here();
        let mut server = Server::new(listener, hello, IDLE, places);
        tokio::spawn(async move { server.accept_until(pending(), &mut JoinSet::new()).await });
        address
    }

    struct Peer(TcpStream);

    impl Peer {
        async fn connect(address: SocketAddr) -> Self {
            let stream = TcpStream::connect(address).await.unwrap();
            // The paused clock would not wait for the acknowledgement that the next bytes would wait for.
            stream.set_nodelay(true).unwrap();
            Self(stream)
        }

        async fn send(&mut self, text: &str) {
            self.0.write_all(text.as_bytes()).await.unwrap();
        }

        /// Whether something is answered before the connection closes.
        async fn is_answered(&mut self) -> bool {
            let mut answer = [0; 1024];
            let read = self.0.read(&mut answer).await.unwrap_or(0);
            answer[..read].starts_with(b"HTTP/1.1 200")
        }

        async fn ask(&mut self) -> bool {
            // It may be closed, which is seen when the answer is read.
            let _ = self.0.write_all(HEAD.as_bytes()).await;
            self.is_answered().await
        }

        /// Sends one more byte of a head each second until the connection closes.
        async fn trickle(&mut self) -> Duration {
            let began = Instant::now();
            while self.0.write_all(b"x").await.is_ok() {
                let closed = timeout(SECOND, self.is_answered()).await;
                if closed.is_ok() {
                    break;
                }
            }
            began.elapsed()
        }
    }

    const HEAD: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_idle_for_nearly_as_long_as_it_may_gets_its_answer() {
        let mut peer = Peer::connect(start(10).await).await;
        for _ in 0..3 {
            assert!(peer.ask().await);
            sleep(IDLE - SECOND).await;
        }
        assert!(peer.ask().await);
        sleep(IDLE + SECOND).await;
        assert!(!peer.ask().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_from_the_start_is_closed_as_one_with_a_slow_head() {
        let mut peer = Peer::connect(start(10).await).await;
        let began = Instant::now();
        assert!(!peer.is_answered().await);
        assert_eq!(began.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_is_cut_after_its_own_limit() {
        let mut peer = Peer::connect(start(10).await).await;
        sleep(SECOND * 4).await;
        assert_eq!(peer.trickle().await.as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_on_a_connection_that_was_idle_has_its_own_limit_from_its_first_byte() {
        let address = start(10).await;
        for idle in [0, 30, 74] {
            let mut peer = Peer::connect(address).await;
            assert!(peer.ask().await);
            sleep(SECOND * idle).await;
            assert_eq!(peer.trickle().await.as_secs(), HEAD_TIMEOUT.as_secs());
        }
        let mut peer = Peer::connect(address).await;
        assert!(peer.ask().await);
        sleep(SECOND * 74).await;
        peer.send("GET / HTTP/1.1\r\n").await;
        sleep(SECOND * 9).await;
        peer.send("host: a\r\n\r\n").await;
        assert!(peer.is_answered().await);
    }

    #[tokio::test(start_paused = true)]
    async fn for_a_connection_too_many_the_one_that_was_idle_longest_is_closed() {
        let address = start(3).await;
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = Peer::connect(address).await;
            assert!(peer.ask().await);
            peers.push(peer);
            sleep(SECOND).await;
        }
        assert!(peers[0].ask().await);
        let mut another = Peer::connect(address).await;
        assert!(timeout(SECOND, another.ask()).await.unwrap());
        let mut answered = Vec::new();
        for peer in &mut peers {
            answered.push(peer.ask().await);
        }
        assert_eq!(answered, [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_is_closed_in_the_middle_of_a_head_for_another_one() {
        let address = start(1).await;
        let mut peer = Peer::connect(address).await;
        assert!(peer.ask().await);
        peer.send("GET / HTTP/1.1\r\n").await;
        let mut another = Peer::connect(address).await;
        another.send(HEAD).await;
        sleep(SECOND * 9).await;
        peer.send("host: a\r\n\r\n").await;
        assert!(peer.is_answered().await);
        assert!(!peer.is_answered().await, "idle now, and in the way");
        assert!(another.is_answered().await);
    }

    #[tokio::test(start_paused = true)]
    async fn until_the_delay_is_over_everything_is_accepted_and_answered() {
        let (listener, address) = listen_here();
        let options = ServerOptions {
            idle_timeout: IDLE,
            drain_delay: SECOND * 3,
            shutdown_grace: SECOND * 10,
        };
        let (signal, shutdown) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async { shutdown.await.unwrap_or(()) };
        let serving = tokio::spawn(serve(listener, hello, options, shutdown, || {}));
        let (mut kept, mut idle) = (Peer::connect(address).await, Peer::connect(address).await);
        assert!(kept.ask().await && kept.ask().await && idle.ask().await);
        let signalled = Instant::now();
        drop(signal);
        sleep(SECOND * 2).await;
        for peer in [&mut kept, &mut Peer::connect(address).await] {
            assert!(peer.ask().await && peer.ask().await);
        }
        assert!(signalled.elapsed() < SECOND * 3);
        assert!(!idle.is_answered().await, "it is closed by the drain");
        serving.await.unwrap();
        assert_eq!(signalled.elapsed().as_secs(), 3);
        assert!(TcpStream::connect(address).await.is_err());
    }
}

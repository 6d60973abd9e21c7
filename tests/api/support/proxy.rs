//! A network between the service and a server, which a test breaks and mends.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::port::ReservedPort;

/// How the network behaves, towards the flows already open as towards new ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Everything passes.
    Pass,
    /// Nobody listens: connections are refused, and those that were open are closed.
    Refuse,
    /// Connections are accepted and reset, and so are those that were open.
    Reset,
    /// A black hole: connections open and stay open, and no byte or close gets through in either direction. As in a
    /// real one, what was sent meanwhile arrives when it ends.
    Swallow,
    /// Requests arrive, replies do not, until it ends.
    Mute,
    /// Every chunk of a reply waits its turn for this long.
    Delay(Duration),
}

/// The network's present state; its number tells whether the listener and the flows have followed.
#[derive(Clone, Copy)]
struct Weather {
    number: u64,
    mode: Mode,
    /// Flows numbered below this get no more replies, ever.
    muted_below: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Reply,
}

struct Network {
    weather: watch::Sender<Weather>,
    followed: watch::Sender<u64>,
    cut: Mutex<Option<usize>>,
    accepted: AtomicU64,
    open: AtomicU64,
    request_bytes: AtomicU64,
    reply_bytes: AtomicU64,
}

/// A proxy on a port of its own in front of another port of this machine; lives as long as the test that made it.
pub(crate) struct Proxy {
    network: Arc<Network>,
    port: ReservedPort,
    upstream: u16,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `upstream`, which passes everything.
    pub(crate) async fn to(upstream: u16) -> Self {
        let port = ReservedPort::new();
        let network = Arc::new(Network {
            weather: watch::Sender::new(Weather {
                number: 0,
                mode: Mode::Pass,
                muted_below: 0,
            }),
            followed: watch::Sender::new(0),
            cut: Mutex::default(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            reply_bytes: AtomicU64::new(0),
        });
        let listening = tokio::spawn(listen(Arc::clone(&network), port.number(), upstream));
        let proxy = Self {
            network,
            port,
            upstream,
            listening,
        };
        proxy.set(Mode::Pass).await;
        proxy
    }

    /// Where the proxy listens.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port behind.
    pub(crate) fn upstream(&self) -> u16 {
        self.upstream
    }

    /// A URL of the server behind, led through this proxy.
    pub(crate) fn url(&self, direct: &str) -> String {
        let (theirs, ours) = (format!(":{}", self.upstream), format!(":{}", self.port()));
        assert!(
            direct.contains(&theirs),
            "{direct} is not behind this proxy"
        );
        direct.replacen(&theirs, &ours, 1)
    }

    /// Changes the network, for open flows and new ones; on return it has changed.
    pub(crate) async fn set(&self, mode: Mode) {
        self.change(|weather| weather.mode = mode).await;
    }

    /// Mutes the flows open now until they close, whatever becomes of the network; new ones pass.
    pub(crate) async fn mute_current(&self) {
        let all = self.accepted();
        self.change(|weather| weather.muted_below = all).await;
    }

    /// Closes the flow of the next reply after at most `bytes` of it.
    pub(crate) fn hang_up_mid_reply(&self, bytes: usize) {
        *self.network.cut.lock().expect("a cut") = Some(bytes);
    }

    /// Connections accepted since the start, those reset at once included.
    pub(crate) fn accepted(&self) -> u64 {
        self.network.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> u64 {
        self.network.open.load(Ordering::SeqCst)
    }

    /// Bytes handed to the server.
    pub(crate) fn request_bytes(&self) -> u64 {
        self.network.request_bytes.load(Ordering::SeqCst)
    }

    /// Bytes handed to the clients.
    pub(crate) fn reply_bytes(&self) -> u64 {
        self.network.reply_bytes.load(Ordering::SeqCst)
    }

    async fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.network.weather.send_modify(|weather| {
            change(weather);
            weather.number += 1;
        });
        let number = self.network.weather.borrow().number;
        let mut followed = self.network.followed.subscribe();
        followed
            .wait_for(|followed| *followed >= number)
            .await
            .expect("a living proxy");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(network: Arc<Network>, port: u16, upstream: u16) {
    let mut weather = network.weather.subscribe();
    let mut flows = JoinSet::new();
    let mut listener = None;
    loop {
        let Weather { number, mode, .. } = *weather.borrow_and_update();
        if mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            let address = ("127.0.0.1", port);
            listener = Some(TcpListener::bind(address).await.expect("the reserved port"));
        }
        if matches!(mode, Mode::Refuse | Mode::Reset) {
            while flows.join_next().await.is_some() {}
        }
        network.followed.send_replace(number);
        tokio::select! {
            _ = weather.changed() => {}
            Some(_) = flows.join_next() => {}
            client = accept(listener.as_ref()) => {
                let flow = network.accepted.fetch_add(1, Ordering::SeqCst);
                let open = OpenGuard::new(Arc::clone(&network));
                flows.spawn(carry(open, client, upstream, flow));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    if let Some(listener) = listener
        && let Ok((client, _)) = listener.accept().await
    {
        return client;
    }
    std::future::pending().await
}

/// Counts a flow as open while it lives.
struct OpenGuard(Arc<Network>);

impl OpenGuard {
    fn new(network: Arc<Network>) -> Self {
        network.open.fetch_add(1, Ordering::SeqCst);
        Self(network)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries one flow until either side closes it or the network does.
async fn carry(open: OpenGuard, mut client: TcpStream, upstream: u16, flow: u64) {
    let network = &open.0;
    let mut weather = network.weather.subscribe();
    let mode = tokio::select! {
        biased;
        Ok(weather) = weather.wait_for(|now| matches!(now.mode, Mode::Refuse | Mode::Reset)) => weather.mode,
        _ = network.connect(&mut client, upstream, flow) => Mode::Pass,
    };
    if mode == Mode::Reset {
        // Fails only if the client has gone already, which leaves nothing to reset.
        let _ = client.set_zero_linger();
    }
}

impl Network {
    async fn connect(&self, client: &mut TcpStream, upstream: u16, flow: u64) -> io::Result<()> {
        self.clear(Direction::Request, flow).await;
        let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            done = self.pump(from_client, to_server, Direction::Request, flow) => done,
            done = self.pump(from_server, to_client, Direction::Reply, flow) => done,
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        direction: Direction,
        flow: u64,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let mut read = from.read(&mut buffer).await?;
            // After the read, because the network may change while a flow is idle; a close is held up like a byte.
            self.clear(direction, flow).await;
            let cut = if direction == Direction::Reply {
                self.take_cut()
            } else {
                None
            };
            read = read.min(cut.unwrap_or(read));
            to.write_all(&buffer[..read]).await?;
            self.bytes(direction)
                .fetch_add(read as u64, Ordering::SeqCst);
            if read == 0 || cut.is_some() {
                return Ok(());
            }
        }
    }

    /// Returns once the network lets a chunk through.
    async fn clear(&self, direction: Direction, flow: u64) {
        let mut weather = self.weather.subscribe();
        loop {
            let Weather {
                mode, muted_below, ..
            } = *weather.borrow_and_update();
            let muted = direction == Direction::Reply && flow < muted_below;
            let changed = weather.changed();
            match (mode, direction) {
                _ if muted => std::future::pending().await,
                (Mode::Swallow, _) | (Mode::Mute, Direction::Reply) => drop(changed.await),
                (Mode::Delay(pause), Direction::Reply) if timeout(pause, changed).await.is_ok() => {
                }
                _ => return,
            }
        }
    }

    fn take_cut(&self) -> Option<usize> {
        self.cut.lock().expect("a cut").take()
    }

    fn bytes(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Request => &self.request_bytes,
            Direction::Reply => &self.reply_bytes,
        }
    }
}

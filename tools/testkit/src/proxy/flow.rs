//! One connection through the proxy, byte by byte, in whatever weather the network has.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Mode;

/// The network's present state; its number tells whether the listener and the flows have followed.
#[derive(Clone, Copy)]
pub(super) struct Weather {
    pub(super) number: u64,
    pub(super) mode: Mode,
    /// Flows numbered below this get no more replies, ever.
    pub(super) muted_below: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Reply,
}

/// What the proxy and its flows share.
pub(super) struct Network {
    pub(super) weather: watch::Sender<Weather>,
    pub(super) followed: watch::Sender<u64>,
    pub(super) cut: Mutex<Option<usize>>,
    pub(super) accepted: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) request_bytes: AtomicU64,
    pub(super) reply_bytes: AtomicU64,
}

/// Counts a flow as open while it lives.
pub(super) struct OpenGuard(Arc<Network>);

impl OpenGuard {
    pub(super) fn new(network: Arc<Network>) -> Self {
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
pub(super) async fn carry(open: OpenGuard, mut client: TcpStream, upstream: u16, flow: u64) {
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
    pub(super) fn new() -> Self {
        Self {
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
        }
    }

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

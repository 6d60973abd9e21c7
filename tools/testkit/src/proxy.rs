//! A network between the service and a server, which a test breaks and mends.

mod flow;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use self::flow::{Network, OpenGuard, Weather, carry};
use super::port::ReservedPort;

/// How the network behaves, towards the flows already open as towards new ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
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

/// A proxy on a port of its own in front of another port of this machine; lives as long as the test that made it.
pub struct Proxy {
    network: Arc<Network>,
    port: ReservedPort,
    upstream: u16,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `upstream`, which passes everything.
    pub async fn to(upstream: u16) -> Self {
        let port = ReservedPort::new();
        let network = Arc::new(Network::new());
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
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port behind.
    pub fn upstream(&self) -> u16 {
        self.upstream
    }

    /// A URL of the server behind, led through this proxy.
    pub fn url(&self, direct: &str) -> String {
        let (theirs, ours) = (format!(":{}", self.upstream), format!(":{}", self.port()));
        assert!(
            direct.contains(&theirs),
            "{direct} is not behind this proxy"
        );
        direct.replacen(&theirs, &ours, 1)
    }

    /// Changes the network, for open flows and new ones; on return it has changed.
    pub async fn set(&self, mode: Mode) {
        self.change(|weather| weather.mode = mode).await;
    }

    /// Mutes the flows open now until they close, whatever becomes of the network; new ones pass.
    pub async fn mute_current(&self) {
        let all = self.accepted();
        self.change(|weather| weather.muted_below = all).await;
    }

    /// Closes the flow of the next reply after at most `bytes` of it.
    pub fn hang_up_mid_reply(&self, bytes: usize) {
        *self.network.cut.lock().expect("a cut") = Some(bytes);
    }

    /// Connections accepted since the start, those reset at once included.
    pub fn accepted(&self) -> u64 {
        self.network.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.network.open.load(Ordering::SeqCst)
    }

    /// Bytes handed to the server.
    pub fn request_bytes(&self) -> u64 {
        self.network.request_bytes.load(Ordering::SeqCst)
    }

    /// Bytes handed to the clients.
    pub fn reply_bytes(&self) -> u64 {
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

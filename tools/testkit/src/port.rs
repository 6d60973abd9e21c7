//! Ports of 127.0.0.1 that stay ours while nobody listens on them.

use tokio::net::TcpSocket;

/// A port that the system gives to nobody else, even while its server is down.
///
/// The held socket is bound but never listens: a server that sets `SO_REUSEADDR` can still take the port, and while
/// none does, connections are refused.
pub struct ReservedPort {
    _hold: TcpSocket,
    number: u16,
}

impl ReservedPort {
    /// Reserves a free port.
    pub fn new() -> Self {
        let hold = TcpSocket::new_v4().expect("a socket");
        hold.set_reuseaddr(true).expect("SO_REUSEADDR");
        hold.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let number = hold.local_addr().expect("a bound socket").port();
        Self {
            _hold: hold,
            number,
        }
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

//! A private HAProxy with the configuration of this repository, in front of replicas on ports of this machine.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use super::guarded::{Guarded, Program, create_folder, find_binary, off_runtime};
use super::port::ReservedPort;

/// One load balancer on a port of its own.
pub struct Haproxy {
    // Ends with this value.
    _server: Arc<Guarded>,
    port: ReservedPort,
}

impl Haproxy {
    /// Starts one in front of these replicas. Requests that fail are not tried again, so that each failure is seen.
    pub async fn start(replicas: &[SocketAddr]) -> Self {
        let port = ReservedPort::new();
        let configuration = configuration(&port, replicas);
        off_runtime(move || Self::launch(port, &configuration)).await
    }

    fn launch(port: ReservedPort, configuration: &str) -> Self {
        let folders = ["/usr/sbin", "/usr/local/sbin"].map(Into::into);
        let binary = find_binary("haproxy", &folders, "haproxy");
        let folder = create_folder();
        fs::write(folder.join("haproxy.cfg"), configuration).expect("a file in our folder");
        let program = Program {
            command: [&binary, "-W", "-db", "-f", "haproxy.cfg"]
                .map(str::to_owned)
                .to_vec(),
            ready: "Loading success",
            last_signal: "KILL",
        };
        Self {
            _server: Guarded::launch(folder, program),
            port,
        }
    }

    /// `http://…` of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port.number())
    }
}

fn configuration(port: &ReservedPort, replicas: &[SocketAddr]) -> String {
    let bind = format!("bind 127.0.0.1:{}", port.number());
    let text = include_str!("../../../haproxy.cfg").replace("bind :8080", &bind);
    assert!(text.contains(&bind), "the address that it listens on");
    let mut lines = Vec::new();
    for line in text.lines() {
        let words = line.trim_start();
        if words.starts_with("server-template ") {
            let server = |(number, replica)| format!("    server replica{number} {replica}");
            lines.extend(replicas.iter().enumerate().map(server));
        } else if !["retries ", "retry-on ", "option redispatch"]
            .iter()
            .any(|start| words.starts_with(start))
        {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

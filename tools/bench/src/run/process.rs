//! A server as a process of its own, and what the system says of it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::port::ReservedPort;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A running server, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    _port: ReservedPort,
}

impl Process {
    /// The service with these settings, defaults for the rest.
    pub(crate) async fn service(settings: &[(&str, &str)]) -> io::Result<Self> {
        let process = Self::spawn_service(settings)?;
        process.until_it_answers("/healthz").await?;
        Ok(process)
    }

    /// The same, which may not answer yet.
    pub(crate) fn spawn_service(settings: &[(&str, &str)]) -> io::Result<Self> {
        let mut command = Command::new(binary("stampede")?);
        command.env_clear().envs(settings.iter().copied());
        Self::spawn(command)
    }

    /// The server that says hello.
    pub(crate) async fn hello() -> io::Result<Self> {
        let process = Self::spawn(Command::new(binary("hello")?))?;
        process.until_it_answers("/").await?;
        Ok(process)
    }

    fn spawn(mut command: Command) -> io::Result<Self> {
        let port = ReservedPort::new();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let child = command
            .env("HTTP_ADDR", address.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            address,
            _port: port,
        })
    }

    /// `http://…` of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn until_it_answers(&self, path: &str) -> io::Result<()> {
        let began = Instant::now();
        while ask(self.address, path, "").await.is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::other("a server does not start"));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// The processor time of all its threads so far.
    pub(crate) fn processor_time(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text
                .split(' ')
                .next()
                .and_then(|text| text.parse::<u64>().ok());
            nanoseconds += first.ok_or_else(|| io::Error::other("no schedstat"))?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
            .ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// The sum of a counter over all its labels that contain this text.
    pub(crate) async fn counter(&self, name: &str) -> io::Result<f64> {
        let text = ask(self.address, "/metrics", "").await?;
        let lines = text.lines().filter(|line| line.starts_with(name));
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// The whole answer to one request on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

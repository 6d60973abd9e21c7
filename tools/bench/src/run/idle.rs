//! What memory the service takes for connections that wait, and for its local copies.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::measures::Measures;
use crate::stage::{self, Stage, TEMPLATE};

const CONNECTIONS: u32 = 4_000;
/// One more than the copies of templates that a service keeps by default.
const COPIES: u32 = 10_001;

pub(crate) async fn measure(stage: &Stage, measures: &mut Measures) -> io::Result<()> {
    eprint!("\ridle connections and local copies");
    let service = stage::service(&stage.database_url, &stage.redis.database(), &[]).await?;
    let mut warm = connect(service.address, TEMPLATE).await?;
    let before = service.resident_kib()?;
    let mut connections = Vec::with_capacity(CONNECTIONS as usize);
    for _ in 0..CONNECTIONS {
        connections.push(connect(service.address, TEMPLATE).await?);
    }
    let taken = service.resident_kib()? - before;
    measures.add("idle connection", taken / f64::from(CONNECTIONS));
    drop(connections);
    request(&mut warm, TEMPLATE).await?;
    if let Some(many) = &stage.many {
        let mut connection = connect(many.address, TEMPLATE).await?;
        for id in 1..=COPIES {
            request(&mut connection, &format!("/template-details?id={id}")).await?;
        }
        measures.add("10000 copies", many.resident_kib()? / 1024.0);
    }
    eprintln!("\r{:40}", "");
    Ok(())
}

/// A connection that has been answered once.
async fn connect(address: std::net::SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    request(&mut stream, path).await?;
    Ok(stream)
}

async fn request(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 2048];
    let length = stream.read(&mut answer).await?;
    if answer[..length].starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::Error::other("expected 200"))
    }
}

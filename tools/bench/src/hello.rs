//! The least that a server can do: a router with a route that says hello, and one that says how often it did.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::var("HTTP_ADDR").unwrap_or_else(|_| "127.0.0.1:8081".to_owned());
    let listener = TcpListener::bind(address).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new()
        .route("/", get(hello))
        .route("/metrics", get(async || metrics()));
    axum::serve(listener, router).await
}

static HELLOS: AtomicU64 = AtomicU64::new(0);

async fn hello() -> &'static str {
    HELLOS.fetch_add(1, Ordering::Relaxed);
    "hello"
}

fn metrics() -> String {
    format!("hello_total {}\n", HELLOS.load(Ordering::Relaxed))
}

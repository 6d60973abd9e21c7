//! The accept loop, the limits of a connection, and the drain.
//!
//! axum's own loop has neither a time-out for a request's head nor a deadline for the drain.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Longest wait for a request's head, and for the next request on a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_HEADERS: usize = 64;
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// Most connections at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 8_000;

/// After an accept that failed for want of a file descriptor, say: the next would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on this listener until `shutdown` completes, then drains: connections that wait for a request are closed,
/// requests under way are answered until `grace` is over, and what is left then is cut. Calls `draining` in between.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
    draining: impl FnOnce(),
) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, place) = accept(&listener, &room) => {
                connections.spawn(serve_connection(stream, place, &router, &graceful));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
    draining();
    drop(listener);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        warn!("the grace is over: connections that are still busy are cut");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(room)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // The peer was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn serve_connection(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    router: &Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Without it, small answers may wait for the peer's acknowledgement. A socket that refuses is closed already.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(router.clone()),
        );
    let connection = graceful.watch(connection);
    async move {
        let _place = place;
        if let Err(error) = connection.await {
            debug!(%error, "a connection ended early");
        }
    }
}

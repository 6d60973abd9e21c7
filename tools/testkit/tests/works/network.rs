//! The proxy breaks and mends what it is told to.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use testkit::http::local;
use testkit::{Mode, Proxy, eventually};

const SILENCE: Duration = Duration::from_millis(100);

/// A proxy to a server that sends back what it gets.
async fn proxy_to_echo() -> Proxy {
    let listener = TcpListener::bind(local(0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Proxy::to(port).await
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(local(proxy.port())).await.unwrap()
}

async fn echoed(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"hello").await?;
    read_five(stream).await
}

async fn read_five(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).await?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

async fn opened(proxy: &Proxy) -> TcpStream {
    let mut stream = connect(proxy).await;
    assert_eq!(echoed(&mut stream).await.unwrap(), "hello");
    stream
}

#[tokio::test]
async fn passes_and_counts() {
    let proxy = proxy_to_echo().await;
    let streams = [opened(&proxy).await, opened(&proxy).await];
    assert_eq!((proxy.accepted(), proxy.open()), (2, 2));
    assert_eq!((proxy.request_bytes(), proxy.reply_bytes()), (10, 10));
    drop(streams);
    eventually("both are closed", async || proxy.open() == 0).await;
}

#[tokio::test]
async fn refuses_until_mended() {
    let proxy = proxy_to_echo().await;
    for _ in 0..3 {
        let mut stream = opened(&proxy).await;
        proxy.set(Mode::Refuse).await;
        assert_eq!(proxy.open(), 0);
        assert!(echoed(&mut stream).await.is_err());
        let refused = TcpStream::connect(local(proxy.port())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Mode::Pass).await;
        opened(&proxy).await;
    }
}

#[tokio::test]
async fn resets_old_and_new_connections() {
    let proxy = proxy_to_echo().await;
    let mut old = opened(&proxy).await;
    proxy.set(Mode::Reset).await;
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        assert_eq!(
            read_five(stream).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
    proxy.set(Mode::Pass).await;
    opened(&proxy).await;
}

#[tokio::test]
async fn swallows_until_mended() {
    let proxy = proxy_to_echo().await;
    let mut old = opened(&proxy).await;
    proxy.set(Mode::Swallow).await;
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        assert!(timeout(SILENCE, echoed(stream)).await.is_err());
    }
    assert_eq!(
        (proxy.accepted(), proxy.open(), proxy.request_bytes()),
        (2, 2, 5)
    );
    proxy.set(Mode::Pass).await;
    for stream in [&mut old, &mut new] {
        assert_eq!(read_five(stream).await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn mutes_replies_until_mended() {
    let proxy = proxy_to_echo().await;
    let mut old = opened(&proxy).await;
    proxy.set(Mode::Mute).await;
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        assert!(timeout(SILENCE, echoed(stream)).await.is_err());
    }
    assert_eq!((proxy.request_bytes(), proxy.reply_bytes()), (15, 5));
    proxy.set(Mode::Pass).await;
    for stream in [&mut old, &mut new] {
        assert_eq!(read_five(stream).await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn mutes_the_flows_of_now_and_no_others() {
    let proxy = proxy_to_echo().await;
    let mut old = opened(&proxy).await;
    proxy.mute_current().await;
    let _new = opened(&proxy).await;
    proxy.set(Mode::Pass).await;
    assert!(timeout(SILENCE, echoed(&mut old)).await.is_err());
    assert_eq!(proxy.request_bytes(), 15);
    drop(old);
    eventually("the muted flow is closed", async || proxy.open() == 1).await;
}

#[tokio::test]
async fn delays_replies_until_mended() {
    let proxy = proxy_to_echo().await;
    let mut stream = opened(&proxy).await;
    proxy.set(Mode::Delay(SILENCE)).await;
    let start = Instant::now();
    assert_eq!(echoed(&mut stream).await.unwrap(), "hello");
    assert!(start.elapsed() >= SILENCE);

    proxy.set(Mode::Delay(Duration::from_secs(3600))).await;
    stream.write_all(b"again").await.unwrap();
    eventually("the request is through", async || {
        proxy.request_bytes() == 15
    })
    .await;
    proxy.set(Mode::Pass).await;
    assert_eq!(read_five(&mut stream).await.unwrap(), "again");
}

#[tokio::test]
async fn hangs_up_mid_reply_once() {
    let proxy = proxy_to_echo().await;
    let mut stream = opened(&proxy).await;
    proxy.hang_up_mid_reply(3);
    stream.write_all(b"hello").await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    assert_eq!(reply, b"hel");
    opened(&proxy).await;
}

#[tokio::test]
async fn leads_a_url_through_itself() {
    let proxy = proxy_to_echo().await;
    let redirected = proxy.url(&format!("redis://127.0.0.1:{}/3", proxy.upstream()));
    assert_eq!(redirected, format!("redis://127.0.0.1:{}/3", proxy.port()));
}

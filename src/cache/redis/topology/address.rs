//! What an address says: which kind of server it names, and how the client is to be set up for it.
//!
//! A complaint shows no part of the address.

use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::sentinel::SentinelNodeConnectionInfo;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, TlsMode};
use url::Url;

use super::{Kind, Sentinels};
use crate::config::Address;

/// A cluster's client sends a command once more, to follow MOVED or ASK. After that the caller's time-out has passed.
const RETRIES: u32 = 1;

/// Milliseconds before it sends a command once more that a node could not answer at the moment.
const RETRY_PAUSES: (u64, u64) = (5, 20);

const REFUSED: &str = "the Redis client does not accept this address";

/// Reads an address; `handshake` is how long connecting to one node of a cluster may take.
pub(super) fn read(text: &str, handshake: Duration) -> Result<Kind, &'static str> {
    let address = Address::parse(text).map_err(|_| "not an address")?;
    match address.scheme().split_once('-') {
        None => Ok(Kind::One(Client::open(node(text)?).map_err(refused)?)),
        Some((scheme, "cluster")) => cluster(&address, scheme, handshake),
        Some((scheme, "sentinel")) => Ok(Kind::Master(sentinels(&address, scheme)?)),
        Some(_) => Err(REFUSED),
    }
}

fn cluster(address: &Address, scheme: &str, handshake: Duration) -> Result<Kind, &'static str> {
    if !matches!(address.urls()[0].path(), "" | "/" | "/0") {
        return Err(
            "nothing may follow the hosts of a cluster: redis-cluster://host:6379,host:6379",
        );
    }
    let seeds = nodes(address, scheme, "", 6379)?.into_iter().map(node);
    let seeds = seeds.collect::<Result<Vec<_>, _>>()?;
    let client = ClusterClient::builder(seeds.clone())
        .retries(RETRIES)
        .min_retry_wait(RETRY_PAUSES.0)
        .max_retry_wait(RETRY_PAUSES.1)
        .connection_timeout(handshake)
        // Longer than the time-out of a call. It ends what still waits for a silent node.
        .response_timeout(handshake)
        .overall_response_timeout(None)
        .tcp_settings(tcp())
        .build()
        .map_err(refused)?;
    let seeds = seeds.into_iter().map(Client::open);
    Ok(Kind::Cluster {
        client: Box::new(client),
        seeds: seeds.collect::<RedisResult<_>>().map_err(refused)?,
    })
}

fn sentinels(address: &Address, scheme: &str) -> Result<Sentinels, &'static str> {
    let path = address.urls()[0].path().trim_start_matches('/');
    let (name, database) = path.split_once('/').unwrap_or((path, ""));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(
            "the name of the master must follow the sentinels: redis-sentinel://host:26379,host:26379/name",
        );
    }
    if !database.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "only the number of a database may follow the name of the master: redis-sentinel://host:26379/name/0",
        );
    }
    let urls = nodes(address, scheme, database, 26379)?;
    let master = node(urls[0].clone())?.redis_settings().clone();
    let mut settings = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(master)
        .set_tcp_settings(tcp());
    if scheme == "rediss" {
        settings = settings.set_tls_mode(TlsMode::Secure);
    }
    Ok(Sentinels {
        addresses: urls.into_iter().map(sentinel).collect::<Result<_, _>>()?,
        name: name.to_owned(),
        master: settings,
    })
}

/// A sentinel has no databases, and is not told the master's credentials.
fn sentinel(mut url: Url) -> Result<ConnectionInfo, &'static str> {
    url.set_path("");
    url.set_username("").map_err(|()| REFUSED)?;
    url.set_password(None).map_err(|()| REFUSED)?;
    node(url)
}

/// The address of each host as one that the client knows.
fn nodes(
    address: &Address,
    scheme: &str,
    path: &str,
    default_port: u16,
) -> Result<Vec<Url>, &'static str> {
    let mut urls = address.urls().to_vec();
    for url in &mut urls {
        if url.host_str().is_none_or(str::is_empty) {
            return Err("a host is missing");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("only one server's address may have a part after ? or #");
        }
        url.set_path(path);
        url.set_scheme(scheme).map_err(|()| REFUSED)?;
        let port = url.port().unwrap_or(default_port);
        url.set_port(Some(port)).map_err(|()| REFUSED)?;
    }
    Ok(urls)
}

fn node(url: impl IntoConnectionInfo) -> Result<ConnectionInfo, &'static str> {
    let info = url.into_connection_info().map_err(refused)?;
    Ok(info.set_tcp_settings(tcp()))
}

/// The client's own default waits for more to send before it sends.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn refused(_: RedisError) -> &'static str {
    REFUSED
}

#[cfg(test)]
mod tests;

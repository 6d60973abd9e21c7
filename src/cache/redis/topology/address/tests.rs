//! Addresses of every form, good and bad.

use std::time::Duration;

use redis::ConnectionAddr;

use super::*;

fn read(text: &str) -> Result<Kind, &'static str> {
    super::read(text, Duration::from_millis(250))
}

/// Host and port, and whether with TLS.
fn place(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("{host} {port}"),
        ConnectionAddr::TcpTls { host, port, .. } => format!("{host} {port} tls"),
        other => panic!("{other}"),
    }
}

/// What an address names, in a line.
fn summary(text: &str) -> String {
    match read(text) {
        Ok(Kind::One(client)) => place(client.get_connection_info()),
        Ok(Kind::Cluster { seeds, .. }) => {
            let places = seeds.iter().map(|seed| place(seed.get_connection_info()));
            format!("cluster {}", places.collect::<Vec<_>>().join(", "))
        }
        Ok(Kind::Master(Sentinels {
            addresses, name, ..
        })) => {
            let places = addresses.iter().map(place).collect::<Vec<_>>();
            format!("{name} of {}", places.join(", "))
        }
        Err(problem) => problem.to_owned(),
    }
}

#[test]
fn an_address_names_one_server_a_cluster_or_a_master() {
    for (text, expected) in [
        ("redis://h", "h 6379"),
        ("rediss://u:p@h:1/2", "h 1 tls"),
        ("redis-cluster://h", "cluster h 6379"),
        (
            "redis-cluster://a:1,b:2,[::1]:3/",
            "cluster a 1, b 2, ::1 3",
        ),
        (
            "rediss-cluster://u:p@a,b/0",
            "cluster a 6379 tls, b 6379 tls",
        ),
        ("redis-sentinel://a:1,b/m", "m of a 1, b 26379"),
        (
            "rediss-sentinel://u:p@[::1]:1,b:2/my-master.1/3",
            "my-master.1 of ::1 1 tls, b 2 tls",
        ),
    ] {
        assert_eq!(summary(text), expected, "{text}");
    }
}

#[test]
fn what_an_address_leaves_open_is_refused_without_showing_it() {
    let hosts = "nothing may follow the hosts of a cluster: redis-cluster://host:6379,host:6379";
    let name = "the name of the master must follow the sentinels: redis-sentinel://host:26379,host:26379/name";
    let number = "only the number of a database may follow the name of the master: redis-sentinel://host:26379/name/0";
    let end = "only one server's address may have a part after ? or #";
    for (text, expected) in [
        ("hunter2", "not an address"),
        ("redis://", REFUSED),
        ("redis://h/hunter2", REFUSED),
        ("redis-ring://u:hunter2@h", REFUSED),
        ("redis-cluster://", "a host is missing"),
        ("redis-cluster:///0", "a host is missing"),
        ("redis-cluster://a,", "a host is missing"),
        ("redis-cluster://u:hunter2@a,,b", "not an address"),
        ("redis-cluster://u:hunter2@a:port", "not an address"),
        ("redis-cluster://u:hunter2@a:99999", "not an address"),
        ("redis-cluster://u:hunter2@a/1", hosts),
        ("redis-cluster://u:12/hunter2@a", hosts),
        ("redis-cluster://u:12#hunter2@a", end),
        ("redis-cluster://a?password=hunter2", end),
        ("redis-cluster://0.0.0.0:1", REFUSED),
        ("redis-sentinel://u:hunter2@a", name),
        ("redis-sentinel://u:hunter2@a/", name),
        ("redis-sentinel://u:12/hunter2@a/m", name),
        ("redis-sentinel://a/m/hunter2", number),
        ("redis-sentinel://a/m/1/2", number),
        ("redis-sentinel://a/m?x", end),
        ("redis-sentinel://a/m/99999999999999999999", REFUSED),
    ] {
        assert_eq!(summary(text), expected, "{text}");
    }
}

#[test]
fn the_credentials_are_for_the_data_and_not_for_the_sentinels() {
    let Ok(Kind::Master(sentinels)) = read("redis-sentinel://us%40er:p%2Fw@a,b/m/3") else {
        panic!("no sentinels")
    };
    for address in &sentinels.addresses {
        let settings = address.redis_settings();
        let nothing = (settings.username(), settings.password(), settings.db());
        assert_eq!(nothing, (None, None, 0));
    }
    let Ok(Kind::Cluster { seeds, .. }) = read("redis-cluster://us%40er:p%2Fw@a,b") else {
        panic!("no cluster")
    };
    for seed in seeds {
        let settings = seed.get_connection_info().redis_settings().clone();
        assert_eq!(
            (settings.username(), settings.password()),
            (Some("us@er"), Some("p/w"))
        );
    }
}

#[test]
fn a_server_is_logged_without_its_password() {
    for text in [
        "redis://u:hunter2@h",
        "redis-cluster://u:hunter2@a,b",
        "redis-sentinel://u:hunter2@a,b/m",
    ] {
        let shown = format!("{:?}", read(text).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

//! [`Database`]: the server that all replicas share, of the kind that was asked for.

use sqlx::AssertSqlSafe;
use testkit::{MySql, Postgres, Proxy, mysql};

/// What kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MySql,
}

impl Kind {
    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Result<Self, &'static str> {
        match name {
            "postgres" => Ok(Self::Postgres),
            "mysql" => Ok(Self::MySql),
            _ => Err("postgres or mysql"),
        }
    }

    /// The kind of server at this address.
    pub(crate) fn at(url: &str) -> Self {
        if url.starts_with("mysql:") {
            Self::MySql
        } else {
            Self::Postgres
        }
    }
}

/// One running server.
pub(crate) enum Database {
    Postgres(Postgres),
    MySql(MySql),
}

impl Database {
    /// Starts a server.
    pub(crate) async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(Postgres::start().await),
            Kind::MySql => Self::MySql(MySql::start().await),
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::MySql(server) => server.port(),
        }
    }

    /// Creates an empty database and returns its URL.
    pub(crate) async fn database(&self) -> String {
        match self {
            Self::Postgres(server) => server.database().await,
            Self::MySql(server) => server.database().await,
        }
    }

    /// The address by which a replica reaches the database, and by which the server can tell it from the others:
    /// PostgreSQL by the name of its sessions, MySQL by its user.
    pub(crate) async fn address_for(&self, replica: usize, proxy: &Proxy, url: &str) -> String {
        let url = proxy.url(url);
        match self {
            Self::Postgres(_) => format!("{url}?application_name={}", name(replica)),
            Self::MySql(server) => {
                let user = name(replica);
                let grant = "GRANT ALL ON *.* TO";
                server
                    .execute(&format!("CREATE USER '{user}'; {grant} '{user}'"))
                    .await;
                url.replace("root@", &format!("{user}@"))
            }
        }
    }

    /// Ends the session by which a replica hears of changes. On MySQL it looks like the others, which end too.
    pub(crate) async fn deafen(&self, replica: usize) {
        let name = name(replica);
        match self {
            Self::Postgres(server) => {
                let end =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name";
                server.execute(&format!("{end} = '{name} listener'")).await;
            }
            Self::MySql(server) => {
                let mut session = mysql::session(&server.url()).await;
                let end = format!("KILL USER '{name}'");
                // There may be none.
                let _ = sqlx::raw_sql(AssertSqlSafe(end))
                    .execute(&mut session)
                    .await;
            }
        }
    }
}

/// What the server calls a replica.
fn name(replica: usize) -> String {
    format!("replica-{replica}")
}

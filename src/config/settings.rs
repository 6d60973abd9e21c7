//! The table of settings: what `--help`, `--print-config` and every complaint about a value are made from.

/// One setting: its environment variable, and what a person needs to know of it.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable; the flag is the same in lower case with dashes.
    pub variable: &'static str,
    /// What holds when nothing is said.
    pub default: &'static str,
    /// A value that works, shown when one does not.
    pub example: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What of its value may be shown.
    pub(super) shown: Shown,
}

impl Setting {
    /// The flag without its dashes in front: `database-url` for `DATABASE_URL`.
    pub fn flag(&self) -> String {
        self.variable.to_ascii_lowercase().replace('_', "-")
    }
}

/// What of a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Plain,
    /// An address without its password.
    Address,
    /// Nothing.
    Nothing,
}

/// Every setting, in the order in which people meet them.
pub const SETTINGS: &[Setting] = &[
    plain(
        "HTTP_ADDR",
        "127.0.0.1:8080",
        "0.0.0.0:8080",
        "listen address",
    ),
    address(
        "DATABASE_URL",
        "embedded",
        "postgres://app@localhost/app",
        "postgres://… or sqlite://file",
    ),
    address(
        "REDIS_URL",
        "embedded",
        "redis://localhost:6379",
        "redis://…, redis-cluster://host,host or redis-sentinel://host,host/name; with TLS rediss…",
    ),
    plain(
        "PROTECTION",
        "singleflight",
        "off",
        "off lets every miss reach the database: the \"before\" of the story",
    ),
    plain(
        "CACHE_TTL",
        "30s",
        "30s",
        "upper bound of a cached template's life",
    ),
    plain(
        "CACHE_TTL_JITTER",
        "10%",
        "10%",
        "subtracted from the TTL at random, so that it stays the upper bound",
    ),
    plain(
        "NEGATIVE_TTL",
        "5s",
        "5s",
        "life of \"there is no such template\"",
    ),
    plain(
        "STALE_FOR",
        "5m",
        "5m",
        "how long after its TTL a last-known-good copy may still answer when nothing else can; 0s = never",
    ),
    plain(
        "FLEET_LEASE",
        "false",
        "true",
        "one load per template for all replicas, by a short lease in Redis",
    ),
    plain(
        "EARLY_REFRESH",
        "off",
        "1.0",
        "loads a template anew shortly before its TTL ends, with a chance that grows (XFetch's beta)",
    ),
    plain(
        "STALE_WHILE_REVALIDATE",
        "0s",
        "10s",
        "window after the TTL in which the old value answers, marked, while one load runs",
    ),
    plain(
        "SOFT_TIMEOUT",
        "300ms",
        "300ms",
        "longest wait for a load while a good copy exists; then the copy answers, marked stale, and the load goes on; 0s = wait for the load",
    ),
    plain(
        "NEAR_FOR",
        "0s",
        "500ms",
        "a copy that Redis or the database confirmed less than this ago answers without asking Redis",
    ),
    plain(
        "LOCAL_ENTRIES",
        "10000",
        "10000",
        "bound of the in-process copy; 0 = none",
    ),
    plain(
        "REDIS_TIMEOUT",
        "50ms",
        "50ms",
        "the whole of one Redis call, whatever state its connection is in",
    ),
    plain(
        "DB_MAX_CONNECTIONS",
        "10",
        "10",
        "database connections, and the hard limit of queries in flight",
    ),
    plain(
        "DB_QUEUE_TIMEOUT",
        "500ms",
        "500ms",
        "longest wait for one of those slots",
    ),
    plain(
        "DB_TIMEOUT",
        "2s",
        "2s",
        "one query; enforced on the server too (statement_timeout)",
    ),
    plain(
        "DB_DELAY",
        "0ms (embedded: 25ms)",
        "25ms",
        "artificial delay inside each query, slot held",
    ),
    plain(
        "MAX_WAITERS",
        "10000",
        "10000",
        "callers on one flight; the next is shed",
    ),
    plain(
        "MAX_IN_FLIGHT",
        "2000",
        "2000",
        "requests being answered; the next is shed with 503",
    ),
    plain(
        "REQUEST_TIMEOUT",
        "5s",
        "5s",
        "backstop for one request; must exceed the sum of the parts",
    ),
    plain(
        "IDLE_TIMEOUT",
        "75s",
        "75s",
        "how long a keep-alive connection may be idle: longer than load balancers keep theirs, which is 60s",
    ),
    plain(
        "DRAIN_DELAY",
        "0s",
        "3s",
        "after SIGTERM, SIGINT or SIGHUP: /readyz says 503 but everything is still answered for so long, then the drain begins",
    ),
    plain(
        "SHUTDOWN_GRACE",
        "10s",
        "10s",
        "longest drain after that; a second signal ends at once",
    ),
    Setting {
        variable: "ADMIN_TOKEN",
        default: "unset",
        example: "$(openssl rand -hex 16)",
        meaning: "bearer token of the write endpoints; unset = they do not exist (404)",
        shown: Shown::Nothing,
    },
    plain(
        "LAB",
        "auto",
        "true",
        "true, false, or auto = only when HTTP_ADDR is a loopback address and database and cache are embedded",
    ),
    plain(
        "LAB_HOSTS",
        "none",
        "lab.example,192.0.2.7",
        "names under which the lab answers besides this machine's own, separated by commas",
    ),
    plain(
        "LOG_FORMAT",
        "text",
        "json",
        "text, or json for machines; RUST_LOG filters",
    ),
];

const fn plain(
    variable: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        variable,
        default,
        example,
        meaning,
        shown: Shown::Plain,
    }
}

const fn address(
    variable: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        variable,
        default,
        example,
        meaning,
        shown: Shown::Address,
    }
}

/// The setting of this name. The names are literals of this folder, and a test reads every one.
pub(super) fn setting(variable: &str) -> &'static Setting {
    SETTINGS
        .iter()
        .find(|setting| setting.variable == variable)
        .expect("the table holds every setting that is read")
}

/// `NAME=value` with a value that works.
pub(super) fn example(variable: &str) -> String {
    format!("{variable}={}", setting(variable).example)
}

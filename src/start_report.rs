//! What the log says first: what runs, in one line, and a warning for each setting that is dangerous where it is used.

use tracing::{info, warn};

use crate::backends::Backends;
use crate::config::{Address, Config, Protection, Secret, is_remote};

/// Logs the line and the warnings.
pub fn log(config: &Config, backends: &Backends, revision: &str) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision,
        database = backends.database_kind(),
        cache = backends.cache_kind(),
        protection = match config.protection {
            Protection::Singleflight => "singleflight",
            Protection::Off => "off",
        },
        lab = config.lab,
        near = %humantime::format_duration(config.near_for),
        lease = config.fleet_lease,
        "stampede starts"
    );
    for warning in warnings(config, backends) {
        warn!("{warning}");
    }
}

fn warnings(config: &Config, backends: &Backends) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.protection == Protection::Off {
        warnings.push(
            "PROTECTION=off: callers who miss the cache together query the database each for itself"
                .to_owned(),
        );
    }
    if config.lab && !config.http_addr.ip().is_loopback() {
        warnings.push(format!(
            "LAB=true on {}: everyone who reaches this address can make load and cut off the backends",
            config.http_addr
        ));
    }
    if backends.database_may_be_read_by_others() {
        warnings.push(
            "DATABASE_URL: the database is remote and TLS is not required; PostgreSQL: sslmode=verify-full, \
             MySQL: ssl-mode=VERIFY_IDENTITY"
                .to_owned(),
        );
    }
    let redis = config.redis_url.as_ref().map(Secret::expose);
    if redis.is_some_and(is_remote_without_tls) {
        warnings.push("REDIS_URL: Redis is remote and without TLS; rediss://… has it".to_owned());
    }
    warnings
}

fn is_remote_without_tls(redis: &str) -> bool {
    let Ok(address) = Address::parse(redis) else {
        return false;
    };
    let mut hosts = address.urls().iter().map(|url| url.host_str());
    !address.scheme().starts_with("rediss") && hosts.any(|host| host.is_some_and(is_remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(variables: &[(&str, &str)]) -> Vec<String> {
        let variables = |name: &str| {
            let given = variables.iter().find(|(known, _)| *known == name);
            given.map(|(_, value)| value.to_string())
        };
        let config = Config::from_variables(variables).unwrap();
        let backends = Backends::new(&config).unwrap();
        let warnings = warnings(&config, &backends);
        let name = |warning: String| {
            let end = warning.find([':', '=']).unwrap();
            warning[..end].to_owned()
        };
        warnings.into_iter().map(name).collect()
    }

    #[test]
    fn what_is_dangerous_is_warned_of_and_nothing_else() {
        let nothing = [""; 0];
        for (variables, expected) in [
            (&[][..], &nothing[..]),
            (&[("PROTECTION", "off")], &["PROTECTION"]),
            (&[("LAB", "true")], &[]),
            (&[("HTTP_ADDR", "0.0.0.0:8080")], &[]),
            (&[("LAB", "true"), ("HTTP_ADDR", "0.0.0.0:8080")], &["LAB"]),
            (
                &[
                    ("REDIS_URL", "redis://localhost:6379"),
                    ("DATABASE_URL", "postgres://app@127.0.0.1/app"),
                ],
                &[],
            ),
            (&[("REDIS_URL", "redis://cache.example")], &["REDIS_URL"]),
            (
                &[("REDIS_URL", "redis-cluster://127.0.0.1,10.0.0.7")],
                &["REDIS_URL"],
            ),
            (&[("REDIS_URL", "rediss://cache.example")], &[]),
            (
                &[("DATABASE_URL", "postgres://app@db.example/app")],
                &["DATABASE_URL"],
            ),
            (
                &[(
                    "DATABASE_URL",
                    "postgres://app@db.example/app?sslmode=verify-full",
                )],
                &[],
            ),
            (
                &[("DATABASE_URL", "mysql://app@db.example/app")],
                &["DATABASE_URL"],
            ),
            (
                &[(
                    "DATABASE_URL",
                    "mysql://app@db.example/app?ssl-mode=REQUIRED",
                )],
                &[],
            ),
            (&[("DATABASE_URL", "sqlite://templates.db")], &[]),
        ] {
            assert_eq!(warned(variables), expected, "{variables:?}");
        }
    }
}

//! Which requests the lab accepts: those of this service's own page, opened on this machine.
//!
//! The lab makes load and faults, so a foreign page in the same browser must not reach it. `Host` would have the foreign
//! page's name for this address (DNS rebinding), `Origin` its own address. And browsers let no page of another origin send
//! our own header, because this service never allows it.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Lab;
use crate::config::Config;
use crate::http::HttpError;

/// The token of the page that asks.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-stampede-lab");

const LONGEST_TOKEN: usize = 64;

/// The names under which the lab may be asked.
#[derive(Debug)]
pub(super) struct Hosts {
    own: IpAddr,
    further: Vec<String>,
}

impl Hosts {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            own: config.http_addr.ip(),
            further: config.lab_hosts.clone(),
        }
    }

    /// Whether this is a name of this machine or a configured one, with any port.
    fn include(&self, authority: &str) -> bool {
        let host = without_port(authority);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) if address.is_ipv6() != host.starts_with('[') => false,
            Ok(address) => {
                address.is_loopback()
                    || (address == self.own && !address.is_unspecified())
                    || self.further.iter().any(|known| known == host)
            }
            Err(_) => {
                host.eq_ignore_ascii_case("localhost")
                    || self
                        .further
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(host))
            }
        }
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The layer that lets a request through or refuses it.
pub(super) async fn guard(State(lab): State<Lab>, request: Request, next: Next) -> Response {
    match check(&lab.shared.hosts, &request) {
        Ok(page) => {
            if let Some(page) = page {
                lab.shared.conditions.seen(&page);
            }
            next.run(request).await
        }
        Err(reason) => HttpError::Forbidden(reason).into_response(),
    }
}

/// The token of the page that asks, if it has one, or why the request is refused.
fn check(hosts: &Hosts, request: &Request) -> Result<Option<String>, &'static str> {
    let headers = request.headers();
    let host = only(headers, &HOST).ok_or("the request must name one host")?;
    let named = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    if !hosts.include(host) || named.is_some_and(|named| !hosts.include(named)) {
        return Err(
            "the lab answers under this machine's own names only; LAB_HOSTS can name further ones",
        );
    }
    if headers.contains_key(ORIGIN) && !is_own(only(headers, &ORIGIN), host) {
        return Err("the lab answers to its own page only");
    }
    let page = page(headers);
    if page.is_none() && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err("changing anything needs the header x-stampede-lab with the page's token");
    }
    Ok(page)
}

/// The value of a header that is given exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(HeaderValue::to_str)?.ok()?;
    values.next().is_none().then_some(value)
}

fn is_own(origin: Option<&str>, host: &str) -> bool {
    let scheme_and_host = origin.and_then(|origin| origin.split_once("://"));
    scheme_and_host.is_some_and(|(scheme, origin)| {
        matches!(scheme, "http" | "https") && origin.eq_ignore_ascii_case(host)
    })
}

/// The token of the page that asks, if it is a valid one.
pub(super) fn page(headers: &HeaderMap) -> Option<String> {
    let token = only(headers, &TOKEN)?;
    let is_valid = (1..=LONGEST_TOKEN).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_valid.then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts {
            own: IpAddr::from([10, 0, 0, 5]),
            further: vec!["lab.example".into(), "192.0.2.7".into()],
        }
    }

    #[test]
    fn names_of_this_machine_and_configured_ones_are_let_in() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.8.9.1:80",
            "[::1]",
            "[::1]:8080",
            "10.0.0.5:8080",
            "lab.example",
            "Lab.Example:99",
            "192.0.2.7:8080",
        ] {
            assert!(hosts().include(host), "{host}");
        }
    }

    #[test]
    fn any_other_name_is_not() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:8080.evil.example",
            "10.0.0.6",
            "0.0.0.0",
            "::1",
            "[127.0.0.1]",
            "[::1].evil.example",
            "evil.example:localhost",
        ] {
            assert!(!hosts().include(host), "{host}");
        }
    }

    #[test]
    fn the_origin_is_own_if_it_is_exactly_the_host() {
        let host = "127.0.0.1:8080";
        assert!(is_own(Some("http://127.0.0.1:8080"), host));
        for origin in [
            "null",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://localhost:8080",
            "file://127.0.0.1:8080",
        ] {
            assert!(!is_own(Some(origin), host), "{origin}");
        }
        assert!(!is_own(None, host));
    }
}

//! [`Address`]: where a backend is. It is a URL, except that some schemes name several hosts.

use std::fmt;
use std::net::IpAddr;

use url::{ParseError, Position, Url};

/// One or several hosts with the scheme, credentials, path and query that they share.
#[derive(Clone)]
pub struct Address {
    /// One address per host; never empty.
    urls: Vec<Url>,
}

/// Endings of the schemes that name several hosts, separated by commas.
const SEVERAL: &[&str] = &["-cluster", "-sentinel"];

/// Replaces a part that must not be shown.
pub(super) const HIDDEN: &str = "***";

impl Address {
    /// Reads an address of any scheme.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let hosts = hosts(text);
        let (before, after) = (&text[..hosts.start], &text[hosts.end..]);
        let url = |host| Url::parse(&format!("{before}{host}{after}"));
        let urls = text[hosts].split(',').map(url).collect::<Result<_, _>>()?;
        Ok(Self { urls })
    }

    /// The part before `://`.
    pub fn scheme(&self) -> &str {
        self.urls[0].scheme()
    }

    /// The address of each host.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Whether an unescaped character seems to have cut a password in two, so that its rest follows the hosts.
    fn is_cut(&self) -> bool {
        self.urls[0][Position::AfterPort..].contains('@')
    }
}

/// Whether a host is, or may be, another machine.
pub fn is_remote(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
}

/// The range of the hosts. The URL parser accepts only one host at a time. Empty if the scheme names one host.
fn hosts(text: &str) -> std::ops::Range<usize> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return 0..0;
    };
    if !SEVERAL.iter().any(|end| scheme.ends_with(end)) {
        return 0..0;
    }
    let start = scheme.len() + "://".len();
    let end = start + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let credentials = text[start..end].rfind('@').map_or(0, |at| at + 1);
    start + credentials..end
}

impl fmt::Display for Address {
    /// Without the password, and without the query, which may repeat it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cut() {
            return f.write_str(HIDDEN);
        }
        let mut first = self.urls[0].clone();
        if first.password().is_some() && first.set_password(Some(HIDDEN)).is_err() {
            return f.write_str(HIDDEN);
        }
        if first.query().is_some() {
            first.set_query(Some(HIDDEN));
        }
        f.write_str(&first[..Position::AfterPort])?;
        for other in &self.urls[1..] {
            write!(f, ",{}", &other[Position::BeforeHost..Position::AfterPort])?;
        }
        f.write_str(&first[Position::AfterPort..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Address::parse(text).map_or_else(|error| error.to_string(), |address| address.to_string())
    }

    #[test]
    fn an_address_is_shown_without_what_is_secret() {
        for (text, expected) in [
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://u:hunter2@h", "redis://u:***@h"),
            (
                "postgres://u:hunter2@h/d?password=hunter2",
                "postgres://u:***@h/d?***",
            ),
            ("sqlite://a,b.db", "sqlite://a,b.db"),
            (
                "redis-cluster://a:1,b:2,[::1]:3",
                "redis-cluster://a:1,b:2,[::1]:3",
            ),
            (
                "redis-cluster://:hunter2@a:1,b:2",
                "redis-cluster://:***@a:1,b:2",
            ),
            (
                "rediss-sentinel://u:hunter2@a,b:2/m/0",
                "rediss-sentinel://u:***@a,b:2/m/0",
            ),
            (
                "redis-sentinel://u:hunt@er2@a,b/m?x=hunter2",
                "redis-sentinel://u:***@a,b/m?***",
            ),
            (
                "redis-cluster://a:1,:hunter2@b:2",
                "redis-cluster://a:***@b:2",
            ),
            // A password with a character that ends the hosts.
            ("redis://u:12/hunter2@h", "***"),
            ("redis-cluster://u:12#hunter2@h", "***"),
            ("redis-sentinel://u:12?hunter2@h/m", "***"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for text in [
            "hunter2",
            "redis://u:hunter2@[",
            "redis-cluster://u:hunter2@a:1,[",
            "redis-cluster://u:hunter2@a:1,b:port",
            "redis-cluster://u:hunter2@a:1,",
            "redis-sentinel://:hunter2/x@a,b/m",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
            assert!(!shown(text).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn every_host_has_an_address_of_its_own() {
        let address = Address::parse("redis-sentinel://u:p@a:1,b/m/3").unwrap();
        let urls: Vec<_> = address.urls().iter().map(Url::as_str).collect();
        assert_eq!(
            urls,
            ["redis-sentinel://u:p@a:1/m/3", "redis-sentinel://u:p@b/m/3"]
        );
    }
}

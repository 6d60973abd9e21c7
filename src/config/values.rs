//! How the text of a setting becomes its value, and what is wrong with a text that cannot.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::address::{Address, HIDDEN};

/// A text that must not be shown as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    kind: Kind,
}

/// What may be shown of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Scheme, host and path of an address; never the password nor the query, which may repeat it.
    Address,
    /// Nothing.
    Token,
}

impl Secret {
    /// The text itself, to be handed to the client that needs it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, Address::parse(&self.text)) {
            (Kind::Address, Ok(address)) => address.fmt(f),
            _ => f.write_str(HIDDEN),
        }
    }
}

/// A duration within these bounds, which are allowed themselves.
pub(super) fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| match humantime::parse_duration(text) {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        Ok(_) => {
            let [least, most] = [least, most].map(humantime::format_duration);
            Err(format!("{text:?} is not within {least} and {most}"))
        }
        Err(_) => Err(format!("{text:?} is not a duration")),
    }
}

/// A whole number within these bounds, which are allowed themselves.
pub(super) fn number<N>(least: N, most: N) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: FromStr + PartialOrd + Display + Copy,
{
    move |text| match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!(
            "{text:?} is not a whole number from {least} to {most}"
        )),
    }
}

/// One of these names.
pub(super) fn choice<T: Copy, const COUNT: usize>(
    choices: [(&'static str, T); COUNT],
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| match choices.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let names = choices.map(|(name, _)| name).join(", ");
            Err(format!("{text:?} is not one of {names}"))
        }
    }
}

/// A share written `10%`, as 0.1.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map(str::trim);
    match number.and_then(|number| number.parse::<f64>().ok()) {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("{text:?} is not a share from 0% to 100%")),
    }
}

/// A share written `0.1`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a share from 0 to 1")),
    }
}

/// A factor, or none for `off`.
pub(super) fn early_refresh(text: &str) -> Result<Option<f64>, String> {
    match text.parse() {
        Ok(factor) if (0.01..=100.0).contains(&factor) => Ok(Some(factor)),
        _ if text == "off" => Ok(None),
        _ => Err(format!(
            "{text:?} is neither off nor a factor from 0.01 to 100"
        )),
    }
}

/// Names separated by commas; blanks around them and empty ones do not count.
pub(super) fn comma_separated(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(str::trim);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

/// An IP address and a port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse();
    address.map_err(|_| format!("{text:?} is not an IP address and a port"))
}

/// An address of one of these schemes. The complaint does not show it, because it may hold a password.
pub(super) fn url(
    schemes: &'static [&'static str],
) -> impl Fn(&str) -> Result<Secret, String> + Clone {
    move |text| match Address::parse(text) {
        Ok(address) if !schemes.contains(&address.scheme()) => Err(format!(
            "the address must start with {}://",
            schemes.join(":// or ")
        )),
        Ok(_) => Ok(Secret {
            text: text.to_owned(),
            kind: Kind::Address,
        }),
        Err(error) => Err(format!("not an address: {error}")),
    }
}

/// A text of which nothing may be shown.
pub(super) fn token(text: &str) -> Result<Secret, String> {
    Ok(Secret {
        text: text.to_owned(),
        kind: Kind::Token,
    })
}

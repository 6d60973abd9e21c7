//! How a setting's text becomes its value, with every problem collected on the way.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::Problem;
use super::address::{Address, HIDDEN};
use super::settings::setting;
use super::sources::Sources;

/// A text that must not be shown as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    kind: Kind,
}

/// What may be shown of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Scheme, host and path of an address; never a user's password nor the query, which may repeat it.
    Address,
    /// Nothing.
    Token,
}

impl Secret {
    pub(super) fn address(text: String) -> Self {
        Self {
            text,
            kind: Kind::Address,
        }
    }

    pub(super) fn token(text: String) -> Self {
        Self {
            text,
            kind: Kind::Token,
        }
    }

    /// The text itself, for the one who needs it.
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

/// Reads settings one by one and keeps every problem; a value that is wrong reads as a harmless one meanwhile.
pub(super) struct Reader<'a> {
    sources: &'a Sources<'a>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources<'a>) -> Self {
        Self {
            sources,
            problems: Vec::new(),
        }
    }

    pub(super) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn duration(
        &mut self,
        variable: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.duration_or(variable, setting(variable).default, range)
    }

    pub(super) fn duration_or(
        &mut self,
        variable: &'static str,
        default: &str,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let text = self.text(variable, default);
        match humantime::parse_duration(&text) {
            Ok(value) if range.contains(&value) => value,
            Ok(_) => {
                let [least, most] =
                    [range.start(), range.end()].map(|end| humantime::format_duration(*end));
                self.complain(
                    variable,
                    format!("{text:?} is not within {least} and {most}"),
                    Duration::ZERO,
                )
            }
            Err(_) => self.complain(
                variable,
                format!("{text:?} is not a duration"),
                Duration::ZERO,
            ),
        }
    }

    pub(super) fn number<N>(&mut self, variable: &'static str, range: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let text = self.text(variable, setting(variable).default);
        match text.parse() {
            Ok(value) if range.contains(&value) => value,
            _ => {
                let (least, most) = (*range.start(), *range.end());
                self.complain(
                    variable,
                    format!("{text:?} is not a whole number from {least} to {most}"),
                    least,
                )
            }
        }
    }

    /// A share written `10%`, as 0.1.
    pub(super) fn percent(&mut self, variable: &'static str) -> f64 {
        let text = self.text(variable, setting(variable).default);
        let percent = text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse::<f64>().ok());
        match percent {
            Some(percent) if (0.0..=100.0).contains(&percent) => percent / 100.0,
            _ => self.complain(
                variable,
                format!("{text:?} is not a share from 0% to 100%"),
                0.0,
            ),
        }
    }

    /// A factor, or none for `off`.
    pub(super) fn factor(&mut self, variable: &'static str) -> Option<f64> {
        let text = self.text(variable, setting(variable).default);
        match text.parse() {
            Ok(factor) if (0.01..=100.0).contains(&factor) => Some(factor),
            _ if text == "off" => None,
            _ => self.complain(
                variable,
                format!("{text:?} is neither off nor a factor from 0.01 to 100"),
                None,
            ),
        }
    }

    /// Names separated by commas; none if nothing is said.
    pub(super) fn names(&mut self, variable: &'static str) -> Vec<String> {
        let text = self.sources.text(variable, &mut self.problems);
        let text = text.unwrap_or_default();
        let names = text.split(',').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn one_of<T: Copy>(&mut self, variable: &'static str, choices: &[(&str, T)]) -> T {
        let text = self.text(variable, setting(variable).default);
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => *value,
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                self.complain(
                    variable,
                    format!("{text:?} is not one of {}", names.join(", ")),
                    choices[0].1,
                )
            }
        }
    }

    pub(super) fn address(&mut self, variable: &'static str) -> SocketAddr {
        let text = self.text(variable, setting(variable).default);
        let fallback = SocketAddr::from(([127, 0, 0, 1], 0));
        text.parse().unwrap_or_else(|_| {
            self.complain(
                variable,
                format!("{text:?} is not an IP address and a port"),
                fallback,
            )
        })
    }

    /// An address of one of these schemes, or none. What is wrong with it is said without showing it.
    pub(super) fn url(&mut self, variable: &'static str, schemes: &[&str]) -> Option<Secret> {
        let text = self.sources.text(variable, &mut self.problems)?;
        let problem = match Address::parse(&text) {
            Ok(address) if !schemes.contains(&address.scheme()) => {
                format!("the address must start with {}://", schemes.join(":// or "))
            }
            Ok(_) => return Some(Secret::address(text)),
            Err(error) => format!("not an address: {error}"),
        };
        self.complain(variable, problem, None)
    }

    /// A text that is nobody's business, or none.
    pub(super) fn token(&mut self, variable: &'static str) -> Option<Secret> {
        self.sources
            .text(variable, &mut self.problems)
            .map(Secret::token)
    }

    fn text(&mut self, variable: &'static str, default: &str) -> String {
        self.sources
            .text(variable, &mut self.problems)
            .unwrap_or_else(|| default.to_owned())
    }

    fn complain<T>(&mut self, variable: &'static str, problem: String, meanwhile: T) -> T {
        self.problems.push(Problem { variable, problem });
        meanwhile
    }
}

//! Reads `/metrics` (Prometheus text 0.0.4) and compares two readings.

use std::collections::BTreeMap;
use std::ops::Sub;

use super::http;

/// A name and its labels in their own order.
type Series = (String, BTreeMap<String, String>);

/// All series at one moment, or what they grew by between two.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrape(BTreeMap<Series, f64>);

impl Scrape {
    /// Scrapes the service at `base`, such as `http://127.0.0.1:8080`.
    pub async fn of(base: &str) -> Self {
        Self::parse(http::get(&format!("{base}/metrics")).await.text())
    }

    /// Reads a text; panics at a line that is none of the format's, or at a series that is there twice.
    pub fn parse(text: &str) -> Self {
        let mut all = BTreeMap::new();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (series, rest) = series(line);
            let value = rest
                .split_whitespace()
                .next()
                .and_then(|value| value.parse().ok());
            let value = value.unwrap_or_else(|| panic!("no value in {line}"));
            assert!(all.insert(series, value).is_none(), "twice: {line}");
        }
        Self(all)
    }

    /// The value of one series, such as `http_request_total{method="GET",status="200"}`, all of whose labels are given
    /// in any order; panics if there is none.
    pub fn value(&self, wanted: &str) -> f64 {
        self.find(wanted)
            .unwrap_or_else(|| panic!("no {wanted} among {:#?}", self.0.keys()))
    }

    /// As [`Scrape::value`], for a series that may be missing.
    pub fn find(&self, wanted: &str) -> Option<f64> {
        self.0.get(&series(wanted).0).copied()
    }

    /// The sum over all label sets of `name`; zero if there is none.
    pub fn sum(&self, name: &str) -> f64 {
        self.0
            .iter()
            .filter(|((found, _), _)| found == name)
            .map(|(_, value)| value)
            .sum()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// `&after - &before`; a series that was not there before was zero.
impl Sub for &Scrape {
    type Output = Scrape;

    fn sub(self, before: &Scrape) -> Scrape {
        let grown = |(series, value): (&Series, &f64)| {
            (
                series.clone(),
                value - before.0.get(series).copied().unwrap_or_default(),
            )
        };
        Scrape(self.0.iter().map(grown).collect())
    }
}

/// Splits a line into its series and the rest.
fn series(line: &str) -> (Series, &str) {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest
                .split_once("=\"")
                .unwrap_or_else(|| panic!("no label in {line}"));
            let (value, after) =
                unquote(quoted).unwrap_or_else(|| panic!("an open quote in {line}"));
            labels.insert(label.trim().to_owned(), value);
            rest = after.trim_start_matches([',', ' ']);
        }
        rest = &rest[1..];
    }
    ((name.to_owned(), labels), rest)
}

/// Reads up to the closing quote, undoing the format's three escapes.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

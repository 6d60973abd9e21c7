//! What a person reads in a terminal of 80 columns.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::lab::strategy::Strategy;

const WIDTH: usize = 80;

/// The comparison.
pub(super) fn table(result: &Value) -> String {
    let mut page = String::new();
    let head = [
        "queries",
        "expiries",
        "predicted",
        "at once",
        "p50 ms",
        "p95 ms",
        "max ms",
        "errors",
    ];
    line(&mut page, "strategy", head.map(str::to_owned));
    for row in rows(&result["strategies"]) {
        let cells = [
            count(&row["queries"]),
            count(&row["expiries"]),
            count(&row["predicted_queries_per_expiry"]),
            count(&row["most_at_once"]),
            tenths(&row["p50_ms"]),
            tenths(&row["p95_ms"]),
            tenths(&row["max_ms"]),
            count(&row["errors"]),
        ];
        line(
            &mut page,
            row["strategy"].as_str().unwrap_or_default(),
            cells,
        );
    }
    page.push('\n');
    wrap(
        &mut page,
        "predicted, per expiry: the requests that arrive before the first answer is there. at once: queries that ran \
         or waited for a connection. Beyond the knee (--knee) a query takes query time x running / knee.",
    );
    for row in rows(&result["strategies"]) {
        let about = row["strategy"].as_str().and_then(Strategy::named);
        if let Some(about) = about.map(Strategy::about) {
            page.push('\n');
            wrap(&mut page, &format!("{}: {}", about.name, about.how));
            wrap(&mut page, &format!("  + {}", about.good_at));
            wrap(&mut page, &format!("  - {}", about.bad_at));
        }
    }
    page.push('\n');
    verdict(&mut page, result);
    page
}

fn line(page: &mut String, name: &str, cells: [String; 8]) {
    let [a, b, c, d, e, f, g, h] = cells;
    let _ = writeln!(
        page,
        "{name:<13} {a:>7} {b:>8} {c:>9} {d:>7} {e:>7} {f:>7} {g:>7} {h:>6}"
    );
}

/// The incident: its parts side by side, then what happened in each.
pub(super) fn timeline(result: &Value) -> String {
    let parts: Vec<_> = rows(&result["parts"]).collect();
    let mut page = String::new();
    for part in &parts {
        let settings = rows(&part["settings"]).filter_map(Value::as_str);
        let settings = settings.collect::<Vec<_>>().join(" ");
        wrap(&mut page, &format!("{}: {settings}", name(part)));
    }
    let _ = write!(page, "\n{:14}", "");
    for part in &parts {
        let _ = write!(page, "{:>22}", name(part));
    }
    let _ = write!(page, "\n{:>5} {:<8}", "s", "phase");
    for _ in &parts {
        let _ = write!(page, " {:>6} {:>7} {:>6}", "failed", "queries", "p95 ms");
    }
    page.push('\n');
    let points = |part: &Value| rows(&part["timeline"]).count();
    let longest = parts.iter().max_by_key(|part| points(part));
    for (at, point) in longest
        .into_iter()
        .flat_map(|part| rows(&part["timeline"]))
        .enumerate()
    {
        let seconds = point["ms"].as_f64().unwrap_or_default() / 1e3;
        let phase = point["phase"].as_str().unwrap_or_default();
        let _ = write!(page, "{seconds:>5.1} {phase:<8}");
        parts
            .iter()
            .for_each(|part| cells(&mut page, &part["timeline"][at]));
        page.push('\n');
    }
    let _ = write!(page, "{:>5} {:<8}", "", "all");
    parts
        .iter()
        .for_each(|part| cells(&mut page, &part["totals"]));
    page.push('\n');
    for part in parts {
        let _ = writeln!(page, "\n{}", name(part));
        rows(&part["events"]).for_each(|event| tell(&mut page, event));
        wrap(&mut page, &format!("  answered by: {}", answered_by(part)));
    }
    page.push('\n');
    verdict(&mut page, result);
    page
}

/// An experiment: the question, what was done and predicted, what was measured, and the answer.
pub(super) fn experiment(result: &Value) -> String {
    let mut page = String::new();
    let text = |name: &str| result[name].as_str().unwrap_or_default();
    for paragraph in [
        text("question").to_owned(),
        text("setup").to_owned(),
        format!("Predicted: {}", text("formula")),
    ] {
        wrap(&mut page, &paragraph);
        page.push('\n');
    }
    let _ = write!(page, "{:<30}", "case");
    for column in rows(&result["columns"]) {
        let _ = write!(page, "{:>16}", column.as_str().unwrap_or_default());
    }
    page.push('\n');
    for case in rows(&result["cases"]) {
        let _ = write!(page, "{:<30}", case["case"].as_str().unwrap_or_default());
        for figure in rows(&case["figures"]) {
            let _ = write!(page, "{:>16}", measured(figure));
        }
        page.push('\n');
    }
    for paragraph in [
        "In brackets: what was predicted; ! where the measurement is out of its bounds.",
        text("answer"),
    ] {
        page.push('\n');
        wrap(&mut page, paragraph);
    }
    page.push('\n');
    closing(&mut page, result, ["As predicted:", "NOT as predicted:"]);
    page
}

fn measured(figure: &Value) -> String {
    let predicted = match figure["predicted"].as_f64() {
        Some(predicted) => format!(" ({predicted:.0})"),
        None => String::new(),
    };
    let mark = if figure["holds"] == true { "" } else { " !" };
    format!("{}{predicted}{mark}", count(&figure["measured"]))
}

fn name(part: &Value) -> &str {
    part["part"].as_str().unwrap_or_default()
}

fn cells(page: &mut String, point: &Value) {
    let [failed, queries] = [&point["errors"], &point["queries"]].map(count);
    let p95 = match point["p95_ms"].as_f64() {
        Some(p95) if p95 >= 1e3 => format!("{p95:.0}"),
        _ => tenths(&point["p95_ms"]),
    };
    let _ = write!(page, " {failed:>6} {queries:>7} {p95:>6}");
}

fn tell(page: &mut String, event: &Value) {
    let seconds = event["ms"].as_f64().unwrap_or_default() / 1e3;
    wrap(
        page,
        &format!(
            "  {seconds:>6.1} * {}",
            event["what"].as_str().unwrap_or_default()
        ),
    );
}

/// Where the answers of a part came from, the most frequent first.
fn answered_by(part: &Value) -> String {
    let mut sums = BTreeMap::<&str, u64>::new();
    for point in rows(&part["timeline"]) {
        for (source, count) in point["sources"].as_object().into_iter().flatten() {
            *sums.entry(source).or_default() += count.as_u64().unwrap_or_default();
        }
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, count)| *count > 0).collect();
    sums.sort_by_key(|(_, count)| Reverse(*count));
    let said = sums
        .iter()
        .map(|(source, count)| format!("{source} {count}"));
    said.collect::<Vec<_>>().join(", ")
}

fn verdict(page: &mut String, result: &Value) {
    closing(page, result, ["As promised.", "NOT as promised."]);
}

fn closing(page: &mut String, result: &Value, [kept, broken]: [&str; 2]) {
    let verdict = &result["verdict"];
    let word = if verdict["ok"] == true { kept } else { broken };
    wrap(
        page,
        &format!(
            "{word} {}.",
            verdict["sentence"].as_str().unwrap_or_default()
        ),
    );
}

/// Every counter that has counted, by its name and labels as in `/metrics`.
pub(super) fn counters(exposition: &[u8]) -> Map<String, Value> {
    let text = String::from_utf8_lossy(exposition);
    let samples = text.lines().filter(|line| !line.starts_with(['#']));
    samples
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| {
            let name = series.split('{').next().unwrap_or_default();
            name.ends_with("_total") && !name.starts_with("process_")
        })
        .filter_map(|(series, value)| Some((series.to_owned(), value.parse::<f64>().ok()?)))
        .filter(|(_, value)| *value > 0.0)
        .map(|(series, value)| (series, Value::from(value as u64)))
        .collect()
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn count(value: &Value) -> String {
    format!("{:.0}", value.as_f64().unwrap_or_default())
}

fn tenths(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(String::new, |value| format!("{value:.1}"))
}

/// Adds a text in lines of the terminal's width; those after the first are indented like it, and two more.
fn wrap(page: &mut String, text: &str) {
    let indent = text.len() - text.trim_start().len() + 2;
    let mut length = 0;
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 && length + 1 + word.chars().count() > WIDTH {
            let _ = write!(page, "\n{:indent$}", "");
            length = indent;
        } else if at > 0 {
            page.push(' ');
            length += 1;
        }
        page.push_str(word);
        length += word.chars().count();
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_of_an_incident_fit_the_terminal() {
        let point = serde_json::json!({"ms": 20_500.0, "phase": "recovery", "errors": 12_000, "queries": 12_000,
            "p95_ms": 10_000.1, "sources": {"hit": 1}});
        let part = serde_json::json!({"part": "singleflight", "settings": ["PROTECTION=singleflight"], "timeline": [point],
            "totals": point, "events": [{"ms": 1.0, "what": "x ".repeat(100)}]});
        let page = timeline(&serde_json::json!({"parts": [part, part, part]}));
        for line in page.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn the_longest_row_fits_the_terminal() {
        let row = serde_json::json!({
            "strategy": "load-or-store", "queries": 60_000, "expiries": 300, "predicted_queries_per_expiry": 4_000.0,
            "most_at_once": 60_000, "p50_ms": 10_000.1, "p95_ms": 10_000.1, "max_ms": 10_000.1, "errors": 60_000,
        });
        let page = table(
            &serde_json::json!({"strategies": [row], "verdict": {"ok": true, "sentence": "x ".repeat(200)}}),
        );
        for line in page.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}

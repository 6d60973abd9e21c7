//! What a person reads in a terminal of 80 columns.

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
        "predicted is arrival rate x query time, per expiry; at once counts queries that ran or waited for a slot.",
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

/// The incident.
pub(super) fn timeline(result: &Value) -> String {
    let mut page = String::new();
    for part in rows(&result["parts"]) {
        let settings = rows(&part["settings"]).filter_map(Value::as_str);
        let settings = settings.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            page,
            "{} ({settings})",
            part["part"].as_str().unwrap_or_default()
        );
        let _ = writeln!(
            page,
            "  {:>6} {:<9} {:>8} {:>7} {:>8} {:>9}  answered by",
            "s", "phase", "requests", "errors", "queries", "p95 ms"
        );
        let mut events = rows(&part["events"]).peekable();
        for point in rows(&part["timeline"]) {
            let ms = point["ms"].as_f64().unwrap_or_default();
            while let Some(event) = events.next_if(|event| event["ms"].as_f64() <= Some(ms)) {
                tell(&mut page, event);
            }
            let _ = writeln!(
                page,
                "  {:>6.1} {:<9} {:>8} {:>7} {:>8} {:>9}  {}",
                ms / 1e3,
                point["phase"].as_str().unwrap_or_default(),
                count(&point["requests"]),
                count(&point["errors"]),
                count(&point["queries"]),
                tenths(&point["p95_ms"]),
                most(&point["sources"]),
            );
        }
        events.for_each(|event| tell(&mut page, event));
        page.push('\n');
    }
    verdict(&mut page, result);
    page
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

/// Where most answers came from.
fn most(sources: &Value) -> String {
    let sources = sources.as_object().into_iter().flatten();
    let most = sources.max_by_key(|(_, count)| count.as_u64());
    most.filter(|(_, count)| count.as_u64() > Some(0))
        .map(|(source, _)| source.clone())
        .unwrap_or_default()
}

fn verdict(page: &mut String, result: &Value) {
    let verdict = &result["verdict"];
    let word = if verdict["ok"] == true {
        "As promised"
    } else {
        "NOT as promised"
    };
    wrap(
        page,
        &format!(
            "{word}. {}.",
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

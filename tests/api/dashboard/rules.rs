//! What a dashboard needs so that a person can read it: its complaints, one sentence each.

use serde_json::Value;

/// The panels that people were promised, by their names.
const PROMISED: [&str; 6] = [
    "HTTP Requests Per Second",
    "HTTP Latency (95th percentile)",
    "Cache Hits vs Misses",
    "Database Hits",
    "Singleflight Shared Calls",
    "In-Flight Requests",
];

/// What the first row says, from left to right.
const FIRST_ROW: [&str; 7] = [
    "Database",
    "Cache",
    "Error Ratio",
    "Stale Share",
    "Requests per Query",
    "p99 Latency",
    "Firing Alerts",
];

const WIDTH: u64 = 24;

/// A string, or the empty one.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, or the empty one.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What is wrong with this dashboard.
pub(super) fn complaints(dashboard: &Value) -> Vec<String> {
    let panels = list(&dashboard["panels"]);
    let mut found = Vec::new();
    whole(dashboard, &mut found);
    layout(panels, &mut found);
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let mut wrong = Vec::new();
        readable(panel, &mut wrong);
        for target in list(&panel["targets"]) {
            query(target, &mut wrong);
        }
        let title = text(&panel["title"]);
        found.extend(wrong.into_iter().map(|wrong| format!("{title}: {wrong}")));
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        asks_the_variable(annotation, &mut found);
        selectors(text(&annotation["expr"]), &mut found);
    }
    found
}

fn complain(found: &mut Vec<String>, wrong: bool, complaint: &str) {
    if wrong {
        found.push(complaint.to_owned());
    }
}

fn whole(dashboard: &Value, found: &mut Vec<String>) {
    let is = |key: &str, wanted: &str| text(&dashboard[key]) == wanted;
    complain(
        found,
        !is("title", "Singleflight Service Dashboard"),
        "the title is another",
    );
    complain(
        found,
        text(&dashboard["uid"]).is_empty(),
        "no uid: links to it break",
    );
    complain(
        found,
        !dashboard["id"].is_null(),
        "an id, which belongs to one Grafana",
    );
    complain(found, !is("refresh", "5s"), "refresh is not 5s");
    complain(
        found,
        dashboard["time"]["from"] != "now-5m",
        "not from now-5m",
    );
    let names: Vec<_> = list(&dashboard["templating"]["list"])
        .iter()
        .map(|variable| text(&variable["name"]))
        .collect();
    for name in ["datasource", "job", "instance"] {
        complain(
            found,
            !names.contains(&name),
            &format!("no variable {name}"),
        );
    }
    let annotations = list(&dashboard["annotations"]["list"]);
    complain(
        found,
        annotations.len() != 3,
        "not the three annotations: restarts, Redis going, Redis coming",
    );
}

/// The story on top, then what was promised, then the rest; nothing on top of anything.
fn layout(panels: &[Value], found: &mut Vec<String>) {
    let titles: Vec<_> = panels.iter().map(|panel| text(&panel["title"])).collect();
    let first = titles.iter().position(|title| PROMISED.contains(title));
    let first = first.unwrap_or(titles.len());
    let promised = titles
        .get(first..first + PROMISED.len())
        .unwrap_or_default();
    for name in PROMISED {
        complain(
            found,
            !promised.contains(&name),
            &format!("no {name} among the six in the middle"),
        );
    }
    let first_row: Vec<_> = panels[..first]
        .iter()
        .filter(|panel| panel["type"] == "stat")
        .map(|panel| text(&panel["title"]))
        .collect();
    complain(
        found,
        first_row != FIRST_ROW,
        "the first row does not say whether it is well, and if not, what",
    );
    for row in ["Replicas and changes", "Flights and ages"] {
        complain(found, !titles.contains(&row), &format!("no row {row}"));
    }

    let mut taken: Vec<(u64, u64)> = Vec::new();
    let mut ids: Vec<&Value> = Vec::new();
    for panel in panels {
        let title = text(&panel["title"]);
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default());
        let cells: Vec<_> = (x..x + width)
            .flat_map(|x| (y..y + height).map(move |y| (x, y)))
            .collect();
        let wide = cells.is_empty() || x + width > WIDTH;
        complain(found, wide, &format!("{title}: is not on the page"));
        let overlaps = cells.iter().any(|cell| taken.contains(cell));
        complain(found, overlaps, &format!("{title}: overlaps another"));
        taken.extend(cells);
        complain(
            found,
            ids.contains(&&panel["id"]),
            &format!("{title}: its id is another's"),
        );
        ids.push(&panel["id"]);
    }
}

fn readable(panel: &Value, found: &mut Vec<String>) {
    complain(found, text(&panel["title"]).is_empty(), "no title");
    complain(
        found,
        text(&panel["description"]).is_empty(),
        "no description",
    );
    let sentences = text(&panel["description"]).matches(['.', ';', ':']).count();
    complain(
        found,
        sentences < 2,
        "a description that does not say what to do",
    );
    let unit = &panel["fieldConfig"]["defaults"]["unit"];
    complain(found, text(unit).is_empty(), "no unit");
    complain(found, list(&panel["targets"]).is_empty(), "no query");
    asks_the_variable(panel, found);
}

fn asks_the_variable(asker: &Value, found: &mut Vec<String>) {
    let uid = &asker["datasource"]["uid"];
    complain(
        found,
        uid != "${datasource}",
        "its data source is not the variable",
    );
}

fn query(target: &Value, found: &mut Vec<String>) {
    asks_the_variable(target, found);
    let legend = text(&target["legendFormat"]);
    complain(
        found,
        !legend.contains("{{job}}"),
        "a legend that does not name the job",
    );
    selectors(text(&target["expr"]), found);
}

/// Every series is chosen by the variables, every range is the one that fits the zoom.
fn selectors(expression: &str, found: &mut Vec<String>) {
    let mut rest = expression;
    let mut name = String::new();
    while let Some(character) = rest.chars().next() {
        let (inside, close) = match character {
            '{' => (true, '}'),
            '[' => (true, ']'),
            _ => (false, ' '),
        };
        let end = if inside {
            rest.find(close).unwrap_or(rest.len() - 1)
        } else {
            0
        };
        let (part, after) = rest.split_at(end + character.len_utf8());
        match character {
            '{' => {
                // Alerts about all replicas together name no instance.
                let instance = match &*name {
                    "ALERTS" => "instance=~\"$instance|\"",
                    _ => "instance=~\"$instance\"",
                };
                for variable in ["job=~\"$job\"", instance] {
                    complain(
                        found,
                        !part.contains(variable),
                        &format!("{part} is not limited to {variable}"),
                    );
                }
            }
            '[' => complain(
                found,
                part != "[$__rate_interval]",
                &format!("{part} is not $__rate_interval"),
            ),
            _ => {}
        }
        if character.is_ascii_alphanumeric() || character == '_' {
            name.push(character);
        } else {
            // Ours all have an underscore; so do some functions, which are followed by a parenthesis.
            let series = name.contains('_') && character != '(' && name != "group_left";
            complain(
                found,
                series && character != '{',
                &format!("{name} is not limited to the job"),
            );
            name.clear();
        }
        rest = after;
    }
    complain(
        found,
        name.contains('_'),
        &format!("{name} is not limited to the job"),
    );
}

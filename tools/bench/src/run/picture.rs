//! The results as a picture: each figure as a share of its target.

use std::fmt::Write as _;

use crate::targets::{Limit, Result};

const WIDTH: f64 = 860.0;
const ROW: f64 = 24.0;
const TOP: f64 = 44.0;
/// Where the bars begin, and how long one is that is just at its target.
const LEFT: f64 = 310.0;
const TARGET: f64 = 200.0;

/// An SVG that can be read on a light and on a dark page.
pub(crate) fn draw(results: &[Result]) -> String {
    let height = TOP + ROW * results.len() as f64 + 14.0;
    let mut rows = String::new();
    for (number, result) in results.iter().enumerate() {
        let written = row(&mut rows, TOP + ROW * number as f64, result);
        debug_assert!(written.is_ok(), "a String takes every character");
    }
    let end = LEFT + TARGET;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Measured figures beside their targets">
<style>
text {{ fill: #24292f }} .met {{ fill: #2da44e }} .missed {{ fill: #cf222e }} .line {{ stroke: #57606a }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .line {{ stroke: #9198a1 }} }}
</style>
<text x="12" y="20" font-weight="600">Measured by tools/bench/run</text>
<text x="{end}" y="20" text-anchor="middle">target</text>
{rows}<line class="line" x1="{end}" y1="28" x2="{end}" y2="{height}" stroke-dasharray="3 3"/>
</svg>
"##
    )
}

fn row(rows: &mut String, y: f64, result: &Result) -> std::fmt::Result {
    let (share, good) = match result.limit {
        Limit::AtMost(limit) => (result.figure / limit, "at most"),
        Limit::AtLeast(limit) => (result.figure / limit, "at least"),
        Limit::Flat(limit) => ((result.figure - 1.0).abs() / limit, "1 within"),
    };
    let (Limit::AtMost(limit) | Limit::AtLeast(limit) | Limit::Flat(limit)) = result.limit;
    let length = (share * TARGET).clamp(1.0, TARGET * 1.35);
    let (class, verdict) = if result.is_met() {
        ("met", "")
    } else {
        ("missed", "missed: ")
    };
    let (name, unit, figure, base) = (result.name, result.unit, result.figure, y + 13.0);
    writeln!(
        rows,
        r#"<text x="12" y="{base}">{name}</text><rect class="{class}" x="{LEFT}" y="{}" width="{length:.0}" height="14" rx="2"/>"#,
        y + 2.0
    )?;
    writeln!(
        rows,
        r#"<text x="{}" y="{base}" text-anchor="end">{verdict}{figure:.2}{unit} ({good} {limit}{unit})</text>"#,
        WIDTH - 8.0
    )
}

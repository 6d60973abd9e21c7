//! The story as one HTML file with recorded runs: it needs no server and no network.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::scene::{ByHand, Step, StoryOrder};
use super::{LINES_ON_THE_WAY, play};
use crate::lab::assets;
use crate::lab::stage::Ground;

const FRAME: &str = include_str!("recorded.html");

/// What the page is made of, in the order in which each needs those before it.
const STYLES: [&str; 2] = ["base.css", "guide.css"];
const SCRIPTS: [&str; 6] = [
    "dom.js",
    "format.js",
    "guide-steps.js",
    "guide-reel.js",
    "guide-picture.js",
    "guide.js",
];

/// Plays every step, with its control and without it where that is no other step, and returns the page. `doing` hears of
/// each before it begins.
pub(in crate::lab) async fn page(
    ground: Arc<Ground>,
    mut doing: impl FnMut(&str),
) -> Result<String, String> {
    let mut reels = Vec::new();
    for step in Step::ALL {
        for control in [true, false] {
            let name = format!("{} {}", name(step), if control { "on" } else { "off" });
            let reel = match same_as(step).filter(|_| !control) {
                Some(other) => format!("\"{} on\"", self::name(other)),
                None => {
                    doing(&name);
                    let lines = record(&ground, step, control).await?;
                    format!("[\n{}\n]", lines.join(",\n"))
                }
            };
            reels.push(format!("\"{name}\": {reel}"));
        }
    }
    // What stands in a script must not end it.
    around(&format!("{{\n{}\n}}", reels.join(",\n")).replace('<', "\\u003c"))
}

/// The page with these recorded runs.
fn around(reels: &str) -> Result<String, String> {
    let (_, rest) = split(assets::PAGE, "<!-- story -->")?;
    let (story, _) = split(rest, "<!-- end of story -->")?;
    let mut page = FRAME.to_owned();
    for (place, text) in [
        ("{{styles}}", together(&STYLES)?.as_str()),
        ("{{story}}", story),
        ("{{scripts}}", scripts()?.as_str()),
        ("{{reels}}", reels),
    ] {
        page = page.replacen(place, text, 1);
    }
    Ok(page)
}

/// The step that this one is without its control.
fn same_as(step: Step) -> Option<Step> {
    match step {
        Step::Cached | Step::CacheCut => None,
        Step::Expiry => Some(Step::Cached),
        Step::Singleflight => Some(Step::Expiry),
        Step::LocalCopies => Some(Step::CacheCut),
        Step::DatabaseCut => Some(Step::LocalCopies),
        Step::Everything => Some(Step::Everything),
    }
}

fn name(step: Step) -> String {
    let name = serde_json::to_value(step).ok();
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
    name.to_owned()
}

async fn record(ground: &Ground, step: Step, control: bool) -> Result<Vec<String>, String> {
    let order = StoryOrder {
        step,
        control,
        by_hand: ByHand::default(),
    };
    let (lines, mut reader) = mpsc::channel(LINES_ON_THE_WAY);
    let played = async {
        let played = play(ground, order.check()?, &lines).await;
        drop(lines);
        played
    };
    let read = async {
        let mut all = Vec::new();
        while let Some(line) = reader.recv().await {
            all.push(line.trim_end().to_owned());
        }
        all
    };
    let (played, all) = tokio::join!(played, read);
    played.map(|()| all)
}

fn split<'a>(text: &'a str, mark: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(mark)
        .ok_or_else(|| format!("the page has no {mark}"))
}

fn together(names: &[&str]) -> Result<String, String> {
    let texts = names.iter().map(|name| {
        let text = assets::text(name);
        text.ok_or_else(|| format!("there is no {name}"))
    });
    texts
        .collect::<Result<Vec<_>, _>>()
        .map(|texts| texts.join("\n"))
}

/// The modules as one: a page that was opened from a file may import none.
fn scripts() -> Result<String, String> {
    let text = together(&SCRIPTS)?;
    let lines = text.lines().filter(|line| !line.starts_with("import "));
    let lines = lines.map(|line| line.strip_prefix("export ").unwrap_or(line));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_among_the_docs_is_the_one_that_would_be_written_now() {
        let page = include_str!("../../../docs/stampede.html");
        let (before, after) = FRAME.split_once("{{reels}}").unwrap();
        let opening = before.lines().last().unwrap();
        let closing = after.lines().next().unwrap();
        let (_, rest) = page.split_once(opening).unwrap();
        let (reels, _) = rest.split_once(closing).unwrap();
        assert!(
            around(reels).unwrap() == page,
            "record it again: stampede lab --page docs/stampede.html"
        );
    }
}

//! The page and the files that it needs, all of them part of the binary.

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

pub(super) const PAGE: &str = include_str!("../../assets/index.html");

/// Name, type and text of each of these files of `assets/`.
macro_rules! files {
    ($($kind:literal: $($name:literal)+;)+) => {
        &[$($(($name, $kind, include_str!(concat!("../../assets/", $name)))),+),+]
    };
}

const FILES: &[(&str, &str, &str)] = files! {
    "image/svg+xml": "icon.svg";
    "text/css; charset=utf-8": "base.css" "chart.css" "guide.css" "lab.css" "table.css" "waterfall.css";
    "text/javascript; charset=utf-8":
        "api.js" "bars.js" "chart.js" "comparison.js" "connection.js" "dom.js" "experiments.js" "explain.js" "faults.js"
        "flights.js" "form.js" "format.js" "guide-picture.js" "guide-reel.js" "guide-steps.js" "guide.js" "incident.js"
        "lab.js" "live.js" "panels.js" "right.js" "runs.js" "section.js" "share.js" "sources.js" "stampede.js" "story.js"
        "strategies.js" "table.js" "trouble.js" "waterfall.js";
};

/// The page loads nothing from another origin, and no other page may frame it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page() -> Response {
    let policy = HeaderValue::from_static(POLICY);
    let mut response = file("text/html; charset=utf-8", PAGE);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

pub(super) fn find(name: &str) -> Option<Response> {
    let (_, kind, text) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(file(kind, text))
}

/// What this file says.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let (_, _, text) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(text)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    #[test]
    fn each_file_of_the_folder_is_in_the_binary() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let names = fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("a file").file_name().into_string());
        let mut there: BTreeSet<_> = names.map(|name| name.expect("a name in UTF-8")).collect();
        there.remove("index.html");
        let known: BTreeSet<_> = FILES.iter().map(|(name, _, _)| name.to_string()).collect();
        assert_eq!(known, there);
    }

    #[test]
    fn each_type_is_that_of_the_name() {
        for (name, kind, _) in FILES {
            let (_, ending) = name.rsplit_once('.').expect("an ending");
            let right = match ending {
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                other => panic!("what is the type of .{other}?"),
            };
            assert_eq!(*kind, right, "{name}");
        }
    }
}

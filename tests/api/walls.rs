//! What may know of what: the walls between the modules, read from the source.

use std::fs;
use std::path::{Path, PathBuf};

/// A word that only these parts of `src` may contain.
const WALLS: &[(&[&str], &[&str])] = &[
    (&["axum::", "hyper::", "tower_http::"], &["http", "lab"]),
    (&["hyper_util::"], &["http", "lab", "telemetry"]),
    (
        &[
            "opentelemetry::",
            "opentelemetry_sdk::",
            "opentelemetry_otlp::",
            "opentelemetry_http::",
        ],
        &["telemetry"],
    ),
    (&["sqlx::"], &["store"]),
    (&["redis::"], &["cache"]),
    (&["std::env::", "env::var"], &["config"]),
    (&["quick_cache::"], &["freshness"]),
    (&["prometheus::"], &["metrics"]),
    (&["crate::lab"], &["app", "lab"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn module_of(path: &Path) -> String {
    let inside = path
        .strip_prefix("src")
        .unwrap()
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap();
    inside.trim_end_matches(".rs").to_owned()
}

#[test]
fn each_dependency_is_known_to_its_own_module_only() {
    for path in sources(Path::new("src")) {
        let (text, module) = (fs::read_to_string(&path).unwrap(), module_of(&path));
        for (words, modules) in WALLS {
            for word in *words {
                let named = text
                    .match_indices(word)
                    .any(|(at, _)| !text[..at].ends_with(is_part_of_a_name));
                assert!(
                    modules.contains(&module.as_str()) || !named,
                    "{word} in {}",
                    path.display()
                );
            }
        }
    }
}

fn is_part_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == ':'
}

#[test]
fn the_singleflight_group_knows_nothing_of_ours() {
    for path in sources(Path::new("src/singleflight")) {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("crate::") {
            let rest = &text[at + "crate::".len()..];
            assert!(
                rest.starts_with("singleflight"),
                "{} imports {:.40}",
                path.display(),
                rest
            );
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{}", path.display());
    }
}

/// The model checkers and the comparison of groups plant sources of the product on purpose; they are none of these.
#[test]
fn no_crate_compiles_the_files_of_another() {
    let crates = [
        "src",
        "tests",
        "tools/bench/src",
        "tools/chaos",
        "tools/testkit",
    ];
    for path in crates.map(Path::new).into_iter().flat_map(sources) {
        let text = fs::read_to_string(&path).unwrap();
        let mounts = text
            .lines()
            .any(|line| line.trim_start().starts_with("#[path"));
        assert!(!mounts, "{} names a file by its path", path.display());
    }
}

/// The modules from the ground up. Each may know those above it in this list, and no other.
const FLOORS: &[&str] = &[
    "template",
    "singleflight",
    "fault",
    "signals",
    "config",
    "outcomes",
    "metrics",
    "telemetry",
    "outages",
    "healthcheck",
    "freshness",
    "store",
    "cache",
    "backends",
    "start_report",
    "service",
    "http",
    "lab",
    "app",
    "main",
    "lib",
];

#[test]
fn every_module_knows_only_those_below_it() {
    let floor = |module: &str| {
        let floor = FLOORS.iter().position(|known| *known == module);
        floor.unwrap_or_else(|| panic!("{module} stands on no floor"))
    };
    for path in sources(Path::new("src")) {
        let (text, module) = (fs::read_to_string(&path).unwrap(), module_of(&path));
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                // `use crate::{a, b}` is not in use here.
                assert!(!name.is_empty(), "{}: {line}", path.display());
                let is_known = name == module || floor(&name) < floor(&module);
                assert!(is_known, "{} knows {name}", path.display());
            }
        }
    }
}

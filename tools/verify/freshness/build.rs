//! Plants `src/freshness` in the build: as it is, and with one bug each.
//!
//! A mutant is a replacement of text in one file. The text must occur exactly once: a change of the sources that makes
//! a mutant meaningless fails the build. Each planted module comes with a model of its own, because each has types of its own.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "src/mutants.rs"]
mod mutants;
use mutants::{MUTANTS, Mutant};

fn main() {
    let here = PathBuf::from(env("CARGO_MANIFEST_DIR"));
    let sources = here.join("../../../src/freshness");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=src/mutants.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env("OUT_DIR"));
    let mut planted = plant(&here, &sources, &out, "faithful", None);
    let mut find = String::from(
        "/// The model over one planted module.\npub fn run_of(module: &str) -> Option<Run> {\n    match module {\n        \"faithful\" => Some(faithful::model::run),\n",
    );
    // `VERIFY_ONLY=faithful` builds much sooner.
    println!("cargo::rerun-if-env-changed=VERIFY_ONLY");
    let only = std::env::var("VERIFY_ONLY").ok();
    for mutant in MUTANTS
        .iter()
        .filter(|mutant| only.as_deref().is_none_or(|only| only == mutant.name))
    {
        planted += &plant(&here, &sources, &out, mutant.name, Some(mutant));
        find += &format!("        {0:?} => Some({0}::model::run),\n", mutant.name);
    }
    planted += &find;
    planted += "        _ => None,\n    }\n}\n";
    write(&out.join("planted.rs"), &planted);
}

fn plant(here: &Path, sources: &Path, out: &Path, name: &str, mutant: Option<&Mutant>) -> String {
    let mut is_seeded = mutant.is_none();
    for file in ["mod.rs", "entry.rs", "rules.rs", "copies.rs"] {
        let path = sources.join(file);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut text = text.replace("#[cfg(test)]\nmod tests;\n", "");
        if let Some(mutant) = mutant.filter(|mutant| mutant.file == file) {
            let found = text.matches(mutant.before).count();
            assert_eq!(
                found, 1,
                "{name}: the text to replace must occur once in {file}"
            );
            text = text.replace(mutant.before, mutant.after);
            is_seeded = true;
        }
        write(&out.join(name).join(file), &text);
    }
    assert!(is_seeded, "{name}: its file is not among those planted");
    format!(
        "#[allow(warnings)]\npub mod {name} {{\n    #[path = {:?}]\n    pub mod freshness;\n    #[path = {:?}]\n    pub mod model;\n}}\n",
        out.join(name).join("mod.rs"),
        here.join("src/model.rs"),
    )
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("a file is in a folder");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

//! Plants the product's sources in a checker's build: as they are, and with one bug each.
//!
//! A mutant is a replacement of text in one file. The text must occur exactly once, so that a change of the sources that
//! makes a mutant meaningless fails the build instead of letting it pass.

use std::fs;
use std::path::{Path, PathBuf};

/// One seeded bug.
pub struct Mutant {
    /// The module it becomes.
    pub name: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

/// The seeded bugs.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lost_wakeup",
        file: "kernel/flight.rs",
        before: "        if cabin.landed {
            return Err(waker);
        }
        Ok(cabin.waiters.keep(slot, waker))",
        after: "        if cabin.landed {
            return Err(waker);
        }
        drop(cabin);
        Ok(self.cabin.lock().waiters.keep(slot, waker))",
    },
    Mutant {
        name: "publish_before_remove",
        file: "kernel/landing.rs",
        before: "        let _entry = self.remove(flight, way)?;
        told();
        // Out",
        after: "        flight.publish(outcome.clone());
        self.remove(flight, way)?;
        told();
        return Some(outcome);
        // Out",
    },
    Mutant {
        name: "remove_by_key",
        file: "kernel/table.rs",
        before: "let same = |entry: &Arc<Flight<K, T, L>>| Arc::ptr_eq(entry, flight);",
        after: "let same = |entry: &Arc<Flight<K, T, L>>| entry.hash == flight.hash;",
    },
    Mutant {
        name: "abandon_without_the_lock",
        file: "kernel/table.rs",
        before: "        if abandoned && let Some(entry) = hangar.take(flight) {",
        after: "        if false && let Some(entry) = hangar.take(flight) {",
    },
    Mutant {
        name: "relieved_leader_drives_on",
        file: "kernel/flight.rs",
        before: "        let mut cabin = self.cabin.lock();
        if self.is_detached() {
            return None;
        }",
        after: "        let mut cabin = self.cabin.lock();",
    },
    Mutant {
        name: "relief_outlives_the_leader",
        file: "kernel/flight.rs",
        before: "        cabin.relief = false;",
        after: "        cabin.relief &= true;",
    },
    Mutant {
        name: "relieved_leader_is_not_woken",
        file: "watch.rs",
        before: "driver.wake();",
        after: "drop(driver);",
    },
    Mutant {
        name: "slots_are_not_freed",
        file: "passenger.rs",
        before: "self.flight.unwait(slot);",
        after: "let _ = slot;",
    },
];

/// What of the sources a checker is given.
pub enum Part<'a> {
    /// The kernel alone, on locks and atomics of the checker's own.
    Kernel {
        /// The file that stands for `sync.rs`.
        sync: &'a str,
    },
    /// The whole module.
    Whole {
        /// Whether threads are shuttle's, and thread-locals have to be too.
        shuttle: bool,
    },
}

/// Writes `planted.rs` and what it names to the build's output folder: the module `faithful` and one for each mutant.
pub fn plant(part: &Part<'_>) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/singleflight");
    println!("cargo::rerun-if-changed={}", sources.display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let mut planted = plant_one(&sources, &out, "faithful", part, None);
    for mutant in MUTANTS {
        if matches!(part, Part::Whole { .. }) || mutant.file.starts_with("kernel/") {
            planted += &plant_one(&sources, &out, mutant.name, part, Some(mutant));
        }
    }
    write(&out.join("planted.rs"), &planted);
}

fn plant_one(sources: &Path, out: &Path, name: &str, part: &Part<'_>, mutant: Option<&Mutant>) -> String {
    let folder = out.join(name);
    let mut seeded = mutant.is_none();
    for file in files(sources, part) {
        let mut text = read(&sources.join(&file)).replace("#[cfg(test)]\nmod tests;\n", "");
        if matches!(part, Part::Whole { shuttle: true }) {
            text = text.replace("thread_local!", "shuttle::thread_local!").replace("= const { Cell::new(None) }", "= Cell::new(None)");
        }
        if let Some(mutant) = mutant.filter(|mutant| file == Path::new(mutant.file)) {
            assert_eq!(text.matches(mutant.before).count(), 1, "{name}: the text to replace must occur once in {}", mutant.file);
            text = text.replace(mutant.before, mutant.after);
            seeded = true;
        }
        write(&folder.join(&file), &text);
    }
    assert!(seeded, "{name}: its file is not among those planted");
    if let Part::Kernel { sync } = part {
        println!("cargo::rerun-if-changed={sync}");
        write(&folder.join("sync.rs"), &read(Path::new(sync)));
        write(&folder.join("mod.rs"), "pub(crate) mod kernel;\npub(crate) mod sync;\n");
    }
    format!("#[path = {:?}]\n#[allow(warnings)]\npub mod {name};\n", folder.join("mod.rs"))
}

fn files(sources: &Path, part: &Part<'_>) -> Vec<PathBuf> {
    let mut files = rust_files(sources, "kernel");
    if matches!(part, Part::Whole { .. }) {
        files.extend(rust_files(sources, ""));
    }
    files
}

fn rust_files(sources: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(sources.join(folder)).expect("the sources are beside the checkers");
    let names = entries.map(|entry| Path::new(folder).join(entry.expect("readable").file_name()));
    names.filter(|name| name.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

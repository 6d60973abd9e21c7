//! Plants the product's sources in a checker's build: as they are, and with one bug each.
//!
//! A mutant is a replacement of text in one file. The text must occur exactly once, so that a change of the sources that
//! makes a mutant meaningless fails the build instead of letting it pass.
//!
//! What the sources use of tokio can be replaced as well: `tokio::` then means a module of the checker, `crate::world`.

use std::fs;
use std::path::{Path, PathBuf};

/// One seeded bug.
struct Mutant {
    /// The module it becomes.
    name: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

/// The seeded bugs.
const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lost_wakeup",
        file: "flight.rs",
        before: "        Ok(waiting.wakers.keep(slot, waker))",
        after: "        drop(waiting);
        Ok(self.waiting.lock().wakers.keep(slot, waker))",
    },
    Mutant {
        name: "publish_before_remove",
        file: "inner.rs",
        before: "        let Some(removed) = self
            .table",
        after: "        flight.publish(ending.clone());
        let Some(removed) = self
            .table",
    },
    Mutant {
        name: "remove_by_key",
        file: "table.rs",
        before: "        let same = |entry: &Arc<Flight<K, T, R>>| Arc::ptr_eq(entry, flight);
        let (entry, _) = self.table.find_entry(place(flight), same)",
        after: "        let same = |entry: &Arc<Flight<K, T, R>>| entry.hash == flight.hash;
        let (entry, _) = self.table.find_entry(flight.hash, same)",
    },
    Mutant {
        name: "abandon_without_the_lock",
        file: "table.rs",
        before: "        if is_abandoned {
            flights.hide(flight);",
        after: "        if false {
            flights.hide(flight);",
    },
    Mutant {
        name: "write_outside_of_the_lock",
        file: "flight.rs",
        before: "        let written = (!*sealed).then(write);
        drop(sealed);",
        after: "        let is_sealed = *sealed;
        drop(sealed);
        let written = (!is_sealed).then(write);",
    },
    Mutant {
        name: "woken_is_not_noted",
        file: "flight.rs",
        before: "        self.woken.load(Ordering::Relaxed)",
        after: "        false",
    },
    Mutant {
        name: "look_for_the_load_without_a_fence",
        file: "flight.rs",
        before: "        fence(Ordering::SeqCst);
        self.suspended.get()",
        after: "        self.suspended.get()",
    },
    Mutant {
        name: "suspension_without_a_fence",
        file: "flight.rs",
        before: "        fence(Ordering::SeqCst);
        load
    }",
        after: "        load
    }",
    },
    Mutant {
        name: "abort_before_the_spawn_is_lost",
        file: "runtime.rs",
        before: "            _ => spawned.abort(),",
        after: "            _ => (),",
    },
    Mutant {
        name: "spawned_twice",
        file: "runtime.rs",
        before: "        if !matches!(*state, SleeperState::Asleep(_)) {
            return;
        }",
        after: "        if !matches!(*state, SleeperState::Asleep(_)) {
            return;
        }
        drop(state);
        let mut state = self.state.lock();",
    },
    Mutant {
        name: "abort_before_the_suspension_is_lost",
        file: "task.rs",
        before: "    if flight.has_landed() {
        rest.abort();
    }",
        after: "",
    },
    Mutant {
        name: "nobody_keeps_the_time",
        file: "task.rs",
        before: "    if rest.is_on_current_thread() {
        flight.wake_all();
    }",
        after: "",
    },
    Mutant {
        name: "lost_load_does_not_land",
        file: "task.rs",
        before: "            self.group.land(&self.flight, &None, false);
            drop_load(Some(load));",
        after: "            drop_load(Some(load));",
    },
    Mutant {
        name: "followers_go_down_with_the_load",
        file: "caller.rs",
        before: "                    if is_lost && self.loader.is_some()",
        after: "                    if false && self.loader.is_some()",
    },
    Mutant {
        name: "slots_are_not_freed",
        file: "waiting.rs",
        before: "            self.flight.unwait(slot);",
        after: "            let _ = slot;",
    },
    Mutant {
        name: "forgotten_is_not_sealed",
        file: "inner.rs",
        before: "        flight.seal();
        self.table.forget(flight)",
        after: "        self.table.forget(flight)",
    },
    Mutant {
        name: "drain_does_not_wait_for_hooks",
        file: "inner.rs",
        before: "        if is_told {
            self.tell(flight, ending);
        }
        if is_told || !is_alone {
            self.table.settle(flight);
        }",
        after: "        if is_told || !is_alone {
            self.table.settle(flight);
        }
        if is_told {
            self.tell(flight, ending);
        }",
    },
    Mutant {
        name: "hook_before_publish",
        file: "inner.rs",
        before: "        let is_alone = its_leader && flight.callers() == 1;",
        after: "        let is_alone = its_leader && flight.callers() == 1;
        if is_told {
            self.tell(flight, ending);
        }
        let is_told = false;",
    },
];

/// What of the sources a checker is given.
pub enum Part<'a> {
    /// The kernel alone: the table with its sums, its flights, and what spawns and aborts the rest of a load. On locks and atomics of the
    /// checker's own, and with its `crate::world` for tokio.
    Kernel {
        /// The file that stands for `sync.rs`.
        sync: &'a str,
    },
    /// The whole module, on shuttle's threads and thread-locals, and with the checker's `crate::world` for tokio.
    OnShuttle {
        /// The file that stands for `sync.rs`.
        sync: &'a str,
    },
    /// The whole module as it is.
    Whole,
}

const KERNEL: [&str; 5] = ["flight.rs", "runtime.rs", "stats.rs", "table.rs", "wakers.rs"];

/// A module of the file that stands for `sync.rs`.
const ONCE_LOCK: &str = include_str!("once_lock.rs");

/// Writes `planted.rs` and what it names to the build's output folder: the module `faithful`, and one for each of the
/// mutants named.
pub fn plant(part: &Part<'_>, mutants: &[&str]) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../src/singleflight");
    println!("cargo::rerun-if-changed={}", sources.display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let mut planted = plant_one(&sources, &out, "faithful", part, None);
    for name in mutants {
        let mutant = MUTANTS.iter().find(|mutant| mutant.name == *name);
        let mutant = mutant.unwrap_or_else(|| panic!("{name}: there is no such mutant"));
        planted += &plant_one(&sources, &out, name, part, Some(mutant));
    }
    write(&out.join("planted.rs"), &planted);
}

fn plant_one(sources: &Path, out: &Path, name: &str, part: &Part<'_>, mutant: Option<&Mutant>) -> String {
    let folder = out.join(name);
    let mut seeded = mutant.is_none();
    for file in files(sources, part) {
        let mut text = read(&sources.join(&file));
        if let Some(mutant) = mutant.filter(|mutant| file == mutant.file) {
            assert_eq!(text.matches(mutant.before).count(), 1, "{name}: the text to replace must occur once in {file}");
            text = text.replace(mutant.before, mutant.after);
            seeded = true;
        }
        write(&folder.join(&file), &fitted(&text, part));
    }
    assert!(seeded, "{name}: its file is not among those planted");
    if let Part::Kernel { sync } | Part::OnShuttle { sync } = part {
        println!("cargo::rerun-if-changed={sync}");
        write(&folder.join("sync.rs"), &read(Path::new(sync)));
        write(&folder.join("sync/once_lock.rs"), ONCE_LOCK);
    }
    if let Part::Kernel { .. } = part {
        let modules = KERNEL.map(|file| format!("pub(crate) mod {};\n", file.trim_end_matches(".rs")));
        write(&folder.join("mod.rs"), &(modules.concat() + "pub(crate) mod sync;\n"));
    }
    format!("#[path = {:?}]\n#[allow(warnings)]\npub mod {name};\n", folder.join("mod.rs"))
}

/// The text of a file, with what the checker has in place of threads, of tokio and of chance.
fn fitted(text: &str, part: &Part<'_>) -> String {
    let text = text.replace("#[cfg(test)]\nmod tests;\n", "");
    if let Part::Whole = part {
        return text;
    }
    // A schedule that is run again has to come out the same.
    let text = text.replace("tokio::", "crate::world::").replace("foldhash::fast::RandomState", "foldhash::fast::FixedState");
    match part {
        Part::OnShuttle { .. } => text.replace("thread_local!", "shuttle::thread_local!"),
        _ => text,
    }
}

fn files(sources: &Path, part: &Part<'_>) -> Vec<String> {
    if let Part::Kernel { .. } = part {
        return KERNEL.map(str::to_owned).to_vec();
    }
    let entries = fs::read_dir(sources).expect("the sources are beside the checkers");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("the sources have plain names"));
    // The module's documentation is partly in a file of its own.
    names.filter(|name| name.ends_with(".rs") || name.ends_with(".md")).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

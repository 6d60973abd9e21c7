//! The README and the pages in `docs/`: their commands run, their links lead somewhere, the paths in them exist.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::Process;
use testkit::guarded::off_runtime;
use testkit::{mysql, postgres, redis};

/// Commands that are not run here, by the words that they begin with, and why not.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "docker compose",
        "needs a container engine; what it names is looked up in docker-compose.yaml",
    ),
    ("./test.sh", "runs this test"),
    (
        "./loadtest.sh $(",
        "asks a container engine for the replicas' ports",
    ),
    (
        "mariadb",
        "needs an administrator; tools/testkit/src/mysql.rs runs the same statements",
    ),
    ("tools/bench/run", "takes minutes of an idle machine"),
    ("tools/bench/gate", "./test.sh --all runs it"),
    ("tools/verify/run", "./test.sh --all runs it"),
    (
        "cargo run --release -- lab --page",
        "takes half a minute; tests/api/lab/story.rs runs it",
    ),
    (
        "cargo run --release -- lab experiment jitter",
        "is as predicted on an idle machine; tests/api/lab/experiments.rs runs it",
    ),
    ("cd tools/bench/groups", "takes minutes of an idle machine"),
    ("cargo doc", "./test.sh runs it, without a browser"),
    (
        "cargo run --release -p chaos",
        "./test.sh --all runs it, for a shorter time",
    ),
    (
        "cargo build --release -p stampede -p chaos",
        "./test.sh --all builds the same",
    ),
    (
        "target/release/chaos",
        "./test.sh --all runs it, for a shorter time",
    ),
    (
        "PROPTEST_CASES=1000000",
        "every test run does the same with fewer cases",
    ),
];

/// What a command says here in the place of what it says in the text, so that it ends soon.
const SHORTER: &[(&str, &str)] = &[
    (
        "./loadtest.sh",
        "./loadtest.sh --waves 2 --concurrency 20 --spread 20 --pause 0",
    ),
    (
        "lab --mode sustained",
        // Ends in the middle of a TTL: at its end, a query more or less is luck.
        "lab --mode sustained --duration 1500ms",
    ),
    (
        "lab incident",
        "lab incident --warm 500ms --outage 500ms --recovery 500ms",
    ),
];

/// A page: its path from the root of the repository, and its text.
struct Page {
    path: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let mut paths: Vec<_> = docs.map(|entry| entry.unwrap().file_name()).collect();
    paths.sort();
    let paths = paths.into_iter().map(|name| Path::new("docs").join(name));
    std::iter::once(PathBuf::from("README.md"))
        .chain(paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")))
        .map(|path| Page {
            text: fs::read_to_string(root().join(&path)).unwrap(),
            path,
        })
        .collect()
}

/// A command, and the lines that the text shows as its output.
#[derive(Debug)]
struct Shown {
    page: PathBuf,
    command: String,
    output: Vec<String>,
}

/// The commands in the blocks `sh` (each line is one) and `console` (each line after a `$` is one).
fn commands(page: &Page) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    let mut block: Option<&str> = None;
    let mut goes_on = false;
    for line in page.text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = block.is_none().then_some(language);
            goes_on = false;
            continue;
        }
        let command = match block {
            Some("sh") => line,
            Some("console") => match line.strip_prefix("$ ") {
                Some(command) => command,
                None => {
                    let shown = commands.last_mut().expect("output follows a command");
                    shown.output.push(line.to_owned());
                    continue;
                }
            },
            _ => continue,
        };
        match commands.last_mut() {
            Some(last) if goes_on => {
                last.command.push('\n');
                last.command.push_str(command);
            }
            _ => commands.push(Shown {
                page: page.path.clone(),
                command: command.to_owned(),
                output: Vec::new(),
            }),
        }
        goes_on = command.ends_with('\\') || command.ends_with("; do");
    }
    commands
}

impl Shown {
    /// Without the settings in front of it.
    fn words(&self) -> &str {
        let mut rest = self.command.as_str();
        while let Some((setting, after)) = rest.split_once(' ') {
            let Some((name, value)) = setting.split_once('=') else {
                break;
            };
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if !is_name || value.starts_with("$(") {
                break;
            }
            rest = after;
        }
        rest
    }

    fn is_not_run(&self) -> bool {
        let begins =
            |words: &str| self.command.starts_with(words) || self.words().starts_with(words);
        NOT_RUN.iter().any(|(words, _)| begins(words)) || self.command.contains("docker compose")
    }

    /// Whether it serves until it is stopped.
    fn serves(&self) -> bool {
        ["cargo run --release", "stampede"].contains(&self.words())
    }
}

/// A folder with what the commands call: the service for `cargo run` and `stampede`, and settings that let curl fail on errors.
struct Programs(PathBuf);

impl Programs {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("stampede-test-{:016x}", fastrand::u64(..)));
        fs::create_dir(&folder).unwrap();
        let service = env!("CARGO_BIN_EXE_stampede");
        let cargo = format!(
            "case $* in\n'run --release' | 'run --release -- '*) ;;\n*) echo \"not run here: cargo $*\" >&2; exit 1 ;;\nesac\n\
             shift 2\nif [ \"${{1:-}}\" = -- ]; then shift; fi\nexec {service} \"$@\""
        );
        for (name, script) in [
            ("cargo", cargo),
            ("stampede", format!("exec {service} \"$@\"")),
        ] {
            let file = folder.join(name);
            fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(folder.join(".curlrc"), "fail-with-body\n").unwrap();
        Self(folder)
    }

    fn bash(&self, command: &str) -> Command {
        let mut bash = Command::new("bash");
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        bash.args(["-c", command])
            .current_dir(root())
            .env("PATH", path)
            .env("CURL_HOME", &self.0)
            .stdin(Stdio::null());
        bash
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn every_command_runs_or_is_listed_with_the_reason_why_not() {
    let programs = Programs::new();
    let service = Process::start(&[("ADMIN_TOKEN", "secret")]).await;
    let off = Process::start(&[("PROTECTION", "off")]).await;
    let servers = [
        (
            "postgres://app@localhost/app",
            postgres::shared().await.database().await,
        ),
        ("redis://localhost", redis::shared().await.database()),
        (
            "mysql://app:secret@localhost/app",
            mysql::shared().await.database().await,
        ),
    ];
    for shown in pages().iter().flat_map(commands) {
        let what = format!("{}: {}", shown.page.display(), shown.command);
        if shown.is_not_run() {
            continue;
        }
        let mut command = shown.command.replace("http://127.0.0.1:8080", &service.url);
        for (words, shorter) in SHORTER {
            command = command.replace(words, shorter);
        }
        if command.starts_with("./loadtest.sh") {
            command = command.replace("--compare", &format!("--compare {}", off.url));
            command = format!("{command} {}", service.url);
        }
        for (written, real) in &servers {
            command = command.replace(written, real);
        }
        if shown.serves() {
            // Replaces bash, so that a signal reaches the service.
            let command = command.replace(shown.words(), &format!("exec {}", shown.words()));
            let mut serving = Process::run(&mut programs.bash(&command)).await;
            serving.signal("TERM");
            assert_eq!(
                serving.ended().await.code(),
                Some(0),
                "{what}\n{}",
                serving.log()
            );
            continue;
        }
        let mut bash = programs.bash(&command);
        let output = off_runtime(move || bash.output().unwrap()).await;
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}\n{said}{complaints}");
        // Figures and times differ. What each line begins with does not.
        for line in &shown.output {
            let Some(start) = line.split_whitespace().next() else {
                continue;
            };
            let start = start.split(':').next().unwrap();
            if start == "[...]" || start.starts_with(|first: char| first.is_ascii_digit()) {
                continue;
            }
            assert!(
                said.lines()
                    .any(|line| line.trim_start().starts_with(start)),
                "{what}\nno line begins with {start}:\n{said}"
            );
        }
    }
}

#[test]
fn no_command_is_listed_that_is_not_in_the_text() {
    let commands: Vec<_> = pages().iter().flat_map(commands).collect();
    for (words, _) in NOT_RUN {
        let named =
            |shown: &Shown| shown.command.starts_with(words) || shown.words().starts_with(words);
        assert!(commands.iter().any(named), "{words}");
    }
}

/// Programs in the repository that the text tells to run, and what `docker compose` is told to start.
#[test]
fn what_the_commands_name_exists() {
    let compose = fs::read_to_string(root().join("docker-compose.yaml")).unwrap();
    for shown in pages().iter().flat_map(commands) {
        let words: Vec<_> = shown.command.split_whitespace().collect();
        let program = shown.words().split_whitespace().next().unwrap();
        if program.contains('/') && !program.starts_with("target/") {
            assert!(root().join(program).exists(), "{program} in {shown:?}");
        }
        for pair in words.windows(2) {
            let expected = match pair {
                ["--profile", "'*'"] => continue,
                ["--profile", profile] => format!("profiles: [{profile}]"),
                ["pause" | "unpause" | "exec", service] => format!("\n  {service}:\n"),
                _ => continue,
            };
            assert!(compose.contains(&expected), "{expected} of {shown:?}");
        }
    }
}

/// The anchor that a heading gets: small letters, no punctuation, hyphens for blanks.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>()
        .trim()
        .to_lowercase()
        .replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<_, Vec<_>> = pages
        .iter()
        .map(|page| {
            let headings = page.text.lines().filter(|line| line.starts_with('#'));
            let anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
            (page.path.clone(), anchors.collect())
        })
        .collect();
    for page in &pages {
        let targets = page.text.split("](").skip(1);
        for target in targets.filter_map(|rest| Some(rest.split_once(')')?.0)) {
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => normalised(&page.path.parent().unwrap().join(file)),
            };
            let place = format!("{target} in {}", page.path.display());
            assert!(root().join(&path).exists(), "{place}");
            assert!(
                fragment.is_empty() || anchors[&path].iter().any(|anchor| anchor == fragment),
                "{place}"
            );
        }
    }
}

fn normalised(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_path_in_the_text_exists() {
    let folders: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    for page in pages() {
        for quoted in page.text.split('`').skip(1).step_by(2) {
            let first = quoted.split('/').next().unwrap();
            let is_path = quoted.contains('/') && !quoted.contains(char::is_whitespace);
            // What a build makes is not part of the repository.
            if is_path && first != "target" && folders.iter().any(|folder| folder == first) {
                assert!(
                    root().join(quoted).exists(),
                    "{quoted} in {}",
                    page.path.display()
                );
            }
        }
    }
}

#[test]
fn nothing_is_left_to_be_filled_in() {
    for page in pages() {
        assert!(!page.text.contains("TODO"), "{}", page.path.display());
    }
}

#[test]
fn the_readme_is_read_in_two_minutes() {
    let readme = &pages()[0];
    assert!(
        readme.text.lines().count() <= 130,
        "{}",
        readme.text.lines().count()
    );
}

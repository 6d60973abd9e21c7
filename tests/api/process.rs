//! The service under test as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use testkit::{eventually, http};

/// The binary, with these settings and no others.
pub(crate) fn stampede(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
    command
        .env_clear()
        .envs(settings.iter().copied())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// A running process. Dropped, it is killed.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) url: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the service on a free port and waits until it says where it listens.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::run(&mut stampede(settings)).await
    }

    /// As [`Process::start`], of a command that is more than that.
    pub(crate) async fn run(command: &mut Command) -> Self {
        let mut process = Self::launch(command);
        eventually("the service says where it listens", async || {
            assert!(
                process.child.try_wait().unwrap().is_none(),
                "{}",
                process.log()
            );
            process.log().contains("listening on http://")
        })
        .await;
        let log = process.log();
        let (_, address) = log.split_once("listening on ").unwrap();
        process.url = address.split(['"', '\n']).next().unwrap().trim().to_owned();
        process
    }

    /// Starts it and waits for nothing.
    pub(crate) fn launch(command: &mut Command) -> Self {
        let command = command
            .stderr(Stdio::piped())
            .env("HTTP_ADDR", "127.0.0.1:0");
        let mut child = command.spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log)
        });
        Self {
            child,
            url: String::new(),
            log,
        }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line is in `/metrics`.
    pub(crate) async fn until_metrics_say(&self, line: &str) {
        let url = format!("{}/metrics", self.url);
        let what = format!("/metrics says {line}");
        eventually(&what, async || {
            http::get(&url)
                .await
                .text()
                .contains(&format!("\n{line}\n"))
        })
        .await;
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process has ended", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: BufReader<ChildStderr>, log: &Mutex<String>) {
    let mut line = String::new();
    while from.read_line(&mut line).is_ok_and(|length| length > 0) {
        log.lock().unwrap().push_str(&line);
        line.clear();
    }
}

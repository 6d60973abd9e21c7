//! A server process and its folder, neither of which outlives the test process.
//!
//! Each is run by a small shell script, the guardian, whose stdin only the test process holds: a passed, panicked,
//! aborted or killed test closes it, and so does a static that is never dropped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::waiting::BACKSTOP;

const GUARDIAN: &str = include_str!("guardian.sh");

/// How to run a server.
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What the server logs (in English) once it answers.
    pub ready: &'static str,
    /// The signal that ends it at once.
    pub last_signal: &'static str,
}

/// A running (or stopped) server in a folder of its own.
pub struct Guarded {
    folder: PathBuf,
    program: Program,
    guardian: Mutex<Guardian>,
}

impl Guarded {
    /// Runs `program` in `folder` (from [`create_folder`]) and returns once it is ready. Blocks.
    pub fn launch(folder: PathBuf, program: Program) -> Arc<Self> {
        let guardian = Mutex::new(Guardian::launch(&folder, &program));
        Arc::new(Self {
            folder,
            program,
            guardian,
        })
    }

    /// The folder, which goes away with this value.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until the program has ended by itself. Blocks.
    pub fn wait_for_end(&self) {
        self.guardian.lock().expect("a guardian").log.wait_for_end();
    }

    /// What the present run of the server has logged so far.
    pub fn log(&self) -> String {
        self.guardian.lock().expect("a guardian").log.text()
    }

    /// Has the guardian carry out one order of its script.
    pub async fn order(self: &Arc<Self>, order: &'static str) {
        let guarded = Arc::clone(self);
        off_runtime(move || guarded.guardian.lock().expect("a guardian").order(order)).await;
    }

    /// Runs the stopped or killed server again, on what its folder holds.
    pub async fn start_again(self: &Arc<Self>) {
        let guarded = Arc::clone(self);
        off_runtime(move || {
            let mut guardian = guarded.guardian.lock().expect("a guardian");
            assert!(guardian.log.has_ended(), "stop or kill the server first");
            // Launched before the old one leaves, so that the folder is guarded throughout.
            let new = Guardian::launch(&guarded.folder, &guarded.program);
            std::mem::replace(&mut *guardian, new).leave();
        })
        .await;
    }
}

/// Runs something that blocks without holding up the tasks of the caller's runtime.
pub async fn off_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("a server's start or end")
}

struct Guardian {
    orders: ChildStdin,
    replies: BufReader<ChildStderr>,
    log: Arc<Log>,
}

impl Guardian {
    fn launch(folder: &Path, program: &Program) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", GUARDIAN, "guardian"])
            .arg(folder)
            .arg(program.last_signal);
        shell
            .args(&program.command)
            .current_dir(folder)
            .env("LC_ALL", "C");
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Out of the reach of the terminal's Ctrl-C, which must not end the guardian before the server.
        shell.process_group(0);
        let owner = fs::metadata(folder).expect("a folder");
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != owner.uid()) {
            shell.uid(owner.uid()).gid(owner.gid());
        }
        let mut child = shell.spawn().expect("sh");
        let orders = child.stdin.take().expect("piped");
        let replies = BufReader::new(child.stderr.take().expect("piped"));
        let log = Log::follow(child);
        log.wait_for(program.ready);
        Self {
            orders,
            replies,
            log,
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("a living guardian");
        let mut reply = String::new();
        self.replies
            .read_line(&mut reply)
            .expect("a living guardian");
        assert_eq!(reply, "done\n", "the guardian's answer to {order}");
        if matches!(order, "stop" | "kill") {
            self.log.wait_for_end();
        }
    }

    fn leave(mut self) {
        writeln!(self.orders, "leave").expect("a living guardian");
    }
}

/// A server's output; it ends when the last of the server's processes has.
#[derive(Default)]
struct Log {
    state: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Log {
    fn follow(mut child: Child) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let ours = Arc::clone(&log);
        thread::spawn(move || {
            let mut lines = BufReader::new(child.stdout.take().expect("piped"));
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                ours.state.lock().expect("a log").0 += &String::from_utf8_lossy(&line);
                ours.changed.notify_all();
                line.clear();
            }
            ours.state.lock().expect("a log").1 = true;
            ours.changed.notify_all();
            child.wait().expect("a guardian's end");
        });
        log
    }

    fn text(&self) -> String {
        self.state.lock().expect("a log").0.clone()
    }

    fn has_ended(&self) -> bool {
        self.state.lock().expect("a log").1
    }

    fn wait_for(&self, line: &str) {
        let found = self.wait_while(|(text, ended)| !text.contains(line) && !*ended);
        assert!(
            found.contains(line),
            "no \"{line}\" in the server's log:\n{found}"
        );
    }

    fn wait_for_end(&self) {
        self.wait_while(|(_, ended)| !*ended);
        assert!(self.has_ended(), "the server lives on");
    }

    fn wait_while(&self, condition: impl Fn(&(String, bool)) -> bool) -> String {
        let state = self.state.lock().expect("a log");
        let waited = self
            .changed
            .wait_timeout_while(state, BACKSTOP, |state| condition(state));
        waited.expect("a log").0.0.clone()
    }
}

/// Creates a temporary folder for [`Guarded`], owned by an unprivileged user where root runs the tests: PostgreSQL
/// refuses to be root, and nothing else needs to be.
pub fn create_folder() -> PathBuf {
    let name = format!(
        "stampede-test-{}-{:08x}",
        std::process::id(),
        fastrand::u32(..)
    );
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).expect("a temporary folder");
    if fs::metadata(&folder).is_ok_and(|made| made.uid() == 0) {
        let (user, group) = unprivileged();
        chown(&folder, Some(user), Some(group)).expect("root may chown");
    }
    folder
}

fn unprivileged() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let fields = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields
            .into_iter()
            .find(|fields| fields[0] == name && fields.len() > 3)?;
        Some((user[2].parse().ok()?, user[3].parse().ok()?))
    };
    ids("postgres")
        .or_else(|| ids("nobody"))
        .unwrap_or((65534, 65534))
}

/// Finds `name` in PATH or in `folders`, the last of which wins; or says which `package` to install.
pub fn find_binary(name: &str, folders: &[PathBuf], package: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everywhere = folders
        .iter()
        .rev()
        .cloned()
        .chain(std::env::split_paths(&path));
    let found = everywhere
        .map(|folder| folder.join(name))
        .find(|binary| binary.is_file());
    let found = found
        .unwrap_or_else(|| panic!("no {name}: install the package {package} to run these tests"));
    text_of(&found)
}

/// A path as a word of a command.
pub(crate) fn text_of(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

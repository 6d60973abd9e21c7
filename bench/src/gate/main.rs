//! What a request and a call take, counted instead of timed: instructions under valgrind, and allocations. A growth of
//! more than [`ledger::SLACK`] is an error unless a reason for it stands in the ledger.
//!
//! `bench/gate` checks all cases, `bench/gate CASE...` some, and `--write` puts what was counted into the ledger.

mod allocations;
mod calls;
mod ledger;
mod requests;
mod scripted_redis;

use std::io;
use std::pin::Pin;
use std::process::{Command, ExitCode};

use ledger::Ledger;
use tokio::runtime::{Builder, Runtime};

type Case = (&'static str, fn() -> io::Result<Allocated>);

const CASES: &[Case] = &[
    ("hello", requests::hello),
    ("redis-hit", requests::redis_hit),
    ("redis-304", requests::redis_304),
    ("local-hit", requests::local_hit),
    ("embedded-hit", requests::embedded_hit),
    ("work", calls::alone),
    ("work-100-callers", || calls::crowd(100)),
    ("work-10000-callers", || calls::crowd(10_000)),
];

/// What one run of a case allocated; valgrind counts its instructions from outside.
pub(crate) struct Allocated {
    times: u64,
    /// Requests or calls.
    calls: u32,
}

/// What was counted of one case, per request or call.
struct Count {
    instructions: f64,
    allocations: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--only-run", case] => run(case).map(|()| true),
        ["--write", ref cases @ ..] => check(cases, true),
        ref cases => check(cases, false),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts each of these cases, or all if none is named, and says whether all are as the ledger has them.
fn check(named: &[&str], write: bool) -> io::Result<bool> {
    if let Some(unknown) = named
        .iter()
        .find(|name| !CASES.iter().any(|(case, _)| case == *name))
    {
        let all: Vec<_> = CASES.iter().map(|(case, _)| *case).collect();
        return Err(io::Error::other(format!(
            "no case {unknown}; there are {}",
            all.join(", ")
        )));
    }
    let mut ledger = Ledger::read()?;
    let compiler = compiler()?;
    if write {
        ledger.sign(&compiler);
    }
    let comparable = ledger.is_by(&compiler);
    if !comparable {
        println!(
            "instructions were counted with another compiler than this one, and are not judged"
        );
    }
    let mut good = true;
    println!(
        "{:20} {:>14} {:>9} {:>9}  per request or call",
        "", "", "counted", "ledger"
    );
    for (case, _) in CASES {
        if !named.is_empty() && !named.contains(case) {
            continue;
        }
        let count = count(case)?;
        for (unit, figure) in [
            ("instructions", count.instructions),
            ("allocations", count.allocations),
        ] {
            if write {
                ledger.write(case, unit, figure);
            }
            let verdict = ledger.judge(case, unit, figure);
            good &= verdict.is_good() || unit == "instructions" && !comparable;
            println!("{case:20} {unit:>14} {figure:9.1} {verdict}");
        }
    }
    if write {
        ledger.save()?;
    }
    Ok(good)
}

/// Which compiler there is, and for what: another one makes other instructions of the same source.
fn compiler() -> io::Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let named = |line: &&str| line.starts_with("release: ") || line.starts_with("host: ");
    Ok(text.lines().filter(named).collect::<Vec<_>>().join(", "))
}

/// Has valgrind run one case in a process of its own.
fn count(case: &str) -> io::Result<Count> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([
            "--collect-atstart=no",
            &format!("--toggle-collect=*{TOGGLE}*"),
        ])
        .arg(std::env::current_exe()?)
        .args(["--only-run", case])
        .output()?;
    let (said, counted) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let number = |text: &str, prefix: &str| {
        let line = text.lines().find_map(|line| line.split_once(prefix));
        line.and_then(|(_, number)| number.trim().parse::<f64>().ok())
    };
    let (allocated, calls) = (number(&said, "allocations: "), number(&said, "calls: "));
    match (number(&counted, "Collected :"), allocated, calls) {
        (Some(instructions), Some(allocations), Some(calls)) if output.status.success() => {
            Ok(Count {
                instructions: instructions / calls,
                allocations: allocations / calls,
            })
        }
        _ => Err(io::Error::other(format!(
            "{case} could not be counted:\n{said}{counted}"
        ))),
    }
}

/// Runs one case in this process, and says what it allocated.
fn run(name: &str) -> io::Result<()> {
    let case = CASES.iter().find(|(case, _)| *case == name);
    let (_, case) = case.ok_or_else(|| io::Error::other(format!("no case {name}")))?;
    let Allocated { times, calls } = case()?;
    println!("allocations: {times}\ncalls: {calls}");
    Ok(())
}

/// One thread, so that everything that is counted happens on it.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// What valgrind counts in: the part of this function's name that no other has.
const TOGGLE: &str = "run_while_instructions_are_counted";

/// Runs the runtime until this is done, while allocations and instructions are counted.
pub(crate) fn counted(
    runtime: &Runtime,
    done: Pin<Box<dyn Future<Output = ()>>>,
    calls: u32,
) -> Allocated {
    let before = allocations::by_this_thread();
    run_while_instructions_are_counted(runtime, done);
    let times = allocations::by_this_thread() - before;
    Allocated { times, calls }
}

#[inline(never)]
fn run_while_instructions_are_counted(runtime: &Runtime, done: Pin<Box<dyn Future<Output = ()>>>) {
    runtime.block_on(done);
}

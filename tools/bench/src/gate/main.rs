//! What a request and a call take, counted instead of timed: instructions under valgrind, and allocations. Growth is an
//! error: see [`ledger`].
//!
//! `tools/bench/gate` checks all cases, `tools/bench/gate CASE...` some, and `--write` puts what was counted into the ledger.

mod allocations;
mod calls;
mod ledger;
mod plain;
mod requests;
mod scripted_collector;
mod scripted_redis;

use std::io;
use std::pin::Pin;
use std::process::{Command, ExitCode};

use ledger::{Count, Ledger};
use tokio::runtime::{Builder, Runtime};

/// Something that is counted.
struct Case {
    name: &'static str,
    /// The case that it is compared with; that one is counted for nothing else.
    reference: Option<&'static str>,
    run: fn() -> io::Result<Allocated>,
}

const CASES: &[Case] = &[
    reference("hello", requests::hello),
    case("redis-hit", "hello", requests::redis_hit),
    case("redis-304", "hello", requests::redis_304),
    case("local-hit", "hello", requests::local_hit),
    case("embedded-hit", "hello", requests::embedded_hit),
    reference("context-unread", requests::context_unread),
    case("unsampled", "context-unread", requests::unsampled),
    case("sampled", "context-unread", requests::sampled),
    reference("plain", calls::plain_alone),
    case("work", "plain", calls::alone),
    reference("plain-100-callers", || calls::plain_crowd(100)),
    case("work-100-callers", "plain-100-callers", || {
        calls::crowd(100)
    }),
    reference("plain-10000-callers", || calls::plain_crowd(10_000)),
    case("work-10000-callers", "plain-10000-callers", || {
        calls::crowd(10_000)
    }),
];

const fn reference(name: &'static str, run: fn() -> io::Result<Allocated>) -> Case {
    Case {
        name,
        reference: None,
        run,
    }
}

const fn case(
    name: &'static str,
    reference: &'static str,
    run: fn() -> io::Result<Allocated>,
) -> Case {
    Case {
        name,
        reference: Some(reference),
        run,
    }
}

/// What one run of a case allocated; valgrind counts its instructions from outside.
pub(crate) struct Allocated {
    /// Per request or call.
    pub(crate) each: f64,
    /// Requests or calls.
    pub(crate) calls: u32,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--only-run", name] => run(name).map(|()| true),
        ["--write", ref names @ ..] => check(names, true),
        ref names => check(names, false),
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

fn named(name: &str) -> io::Result<&'static Case> {
    CASES.iter().find(|case| case.name == name).ok_or_else(|| {
        let all: Vec<_> = CASES.iter().map(|case| case.name).collect();
        io::Error::other(format!("no case {name}; there are {}", all.join(", ")))
    })
}

/// Counts each of these cases, or all if none is named, and says whether all are as the ledger has them.
fn check(names: &[&str], write: bool) -> io::Result<bool> {
    let asked: Vec<_> = names
        .iter()
        .map(|name| named(name))
        .collect::<io::Result<_>>()?;
    let is_asked = |case: &&Case| asked.is_empty() || asked.iter().any(|it| it.name == case.name);
    let mut ledger = Ledger::read()?;
    let mut good = true;
    let mut reference = ("", 0.0);
    println!("{:>61}", "may take");
    println!(
        "{:20} {:>12} {:>11} {:>7} {:>11} {:>7}",
        "", "instructions", "allocations", "times", "allocations", "times"
    );
    for case in CASES.iter().filter(is_asked) {
        let Some(compared_with) = case.reference else {
            continue;
        };
        if reference.0 != compared_with {
            let (instructions, allocations) = count(compared_with)?;
            reference = (compared_with, instructions);
            println!("{compared_with:20} {instructions:12.1} {allocations:11.2}");
        }
        let (instructions, allocations) = count(case.name)?;
        let ratio = instructions / reference.1;
        let counted = Count { allocations, ratio };
        if write {
            ledger.write(case.name, counted);
        }
        let verdict = ledger.judge(case.name, counted);
        good &= verdict.is_good();
        println!(
            "{:20} {instructions:12.1} {allocations:11.2} {ratio:7.3} {verdict}",
            case.name
        );
    }
    if write {
        ledger.save()?;
    }
    Ok(good)
}

/// Has valgrind run one case in a process of its own: instructions and allocations per request or call.
fn count(name: &str) -> io::Result<(f64, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([
            "--collect-atstart=no",
            &format!("--toggle-collect=*{TOGGLE}*"),
        ])
        .arg(std::env::current_exe()?)
        .args(["--only-run", name])
        .output()?;
    let (said, counted) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let number = |text: &str, prefix: &str| {
        let line = text.lines().find_map(|line| line.split_once(prefix));
        line.and_then(|(_, number)| number.trim().parse::<f64>().ok())
    };
    let (allocations, calls) = (number(&said, "allocations: "), number(&said, "calls: "));
    match (number(&counted, "Collected :"), allocations, calls) {
        (Some(instructions), Some(allocations), Some(calls)) if output.status.success() => {
            Ok((instructions / calls, allocations))
        }
        _ => Err(io::Error::other(format!(
            "{name} could not be counted:\n{said}{counted}"
        ))),
    }
}

/// Runs one case in this process, and says what it allocated.
fn run(name: &str) -> io::Result<()> {
    let Allocated { each, calls } = (named(name)?.run)()?;
    println!("allocations: {each}\ncalls: {calls}");
    Ok(())
}

/// One thread, so that everything that is counted happens on it.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// What valgrind counts in: the part of this function's name that no other has.
const TOGGLE: &str = "run_while_instructions_are_counted";

/// Runs the runtime until this is done, while the allocations of this thread and instructions are counted.
pub(crate) fn counted(runtime: &Runtime, done: Pin<Box<dyn Future<Output = ()>>>) {
    allocations::count_this_thread();
    run_while_instructions_are_counted(runtime, done);
}

#[inline(never)]
fn run_while_instructions_are_counted(runtime: &Runtime, done: Pin<Box<dyn Future<Output = ()>>>) {
    runtime.block_on(done);
}

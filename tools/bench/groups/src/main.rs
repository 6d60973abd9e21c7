//! The group against other implementations: one process, every round runs all of them, and ratios are what counts.
//!
//! `cargo run --release -- [case..] [rounds=N] [only=NAME]`, with the cases of `CASES`; all of them if none is named.
//! Only figures of one run compare with each other, and differences below some 10 % are noise.

// The group's source, and not the service: its dependencies would be ten times as much to build as all that is compared.
#[path = "../../../../src/singleflight/mod.rs"]
#[allow(dead_code, unused_imports)]
mod singleflight;

mod allocations;
mod cases;
mod contestants;
mod table;

use cases::Measure;
use contestants::Contestant;

/// What can be measured, in how many rounds.
const CASES: [(&str, usize, &str); 7] = [
    (
        "a1",
        9,
        "distinct keys, loads that are ready at once, one task: ns per call",
    ),
    ("a2", 9, "the same in two tasks"),
    (
        "d",
        9,
        "distinct keys, loads that another task answers: ns per call",
    ),
    (
        "t",
        9,
        "64 tasks, distinct keys, loads that wait for a timer of 1 ms: ns per call",
    ),
    (
        "c",
        9,
        "64 tasks on 16 keys, loads that another task answers: ns per call",
    ),
    (
        "b",
        31,
        "1,000 callers of one key, a load of 5 ms: us from its end to the last caller's",
    ),
    ("b5", 31, "the same, a load of five times 1 ms"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds: Option<usize> = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("rounds=")?.parse().ok());
    let named = |case: &str| arguments.iter().any(|argument| argument == case);
    let only = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("only="));
    let chosen: Vec<Contestant> = Contestant::ALL
        .iter()
        .copied()
        .filter(|contestant| only.is_none_or(|name| name == contestant.name()))
        .collect();
    let all = !CASES.iter().any(|(case, ..)| named(case));
    for (case, usual, what) in CASES {
        if all || named(case) {
            run(case, rounds.unwrap_or(usual), what, &chosen);
        }
    }
}

/// Runs every contestant once per round, so that all of them share the noise.
fn run(case: &str, rounds: usize, what: &str, chosen: &[Contestant]) {
    let mut results: Vec<Vec<Measure>> = chosen.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contestant, results) in chosen.iter().zip(&mut results) {
            let measure = contestant.measure(case);
            // The first round warms up.
            if round > 0 {
                results.push(measure);
            }
        }
    }
    table::print(case, what, chosen, &results);
}

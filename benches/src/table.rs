//! Prints what was measured: medians, and the ratio of each to ours in the same run.

use crate::cases::Measure;
use crate::contestants::Contestant;

/// One case's table.
#[allow(clippy::print_stdout)]
pub fn print(case: &str, what: &str, chosen: &[Contestant], results: &[Vec<Measure>]) {
    println!("\n{case}: {what} ({} rounds, medians)", results[0].len());
    println!(
        "{:20} {:>9} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "figure", "ratio", "overlaps", "stale", "late", "loads", "allocs", "cpu us"
    );
    let ours = median(&results[0], |measure| measure.figure);
    for (contestant, results) in chosen.iter().zip(results) {
        let figure = median(results, |measure| measure.figure);
        let sum = |of: fn(&Measure) -> u64| results.iter().map(of).sum::<u64>();
        println!(
            "{:20} {figure:9.1} {:6.2}x {:9} {:8} {:8} {:8} {:8.2} {:8.0}",
            contestant.name(),
            figure / ours,
            sum(|measure| measure.overlaps),
            sum(|measure| measure.stale),
            sum(|measure| measure.late) / results.len() as u64,
            sum(|measure| measure.loads) / results.len() as u64,
            median(results, |measure| measure.allocations),
            median(results, |measure| measure.processor_us),
        );
    }
    let ours = chosen
        .iter()
        .position(|contestant| *contestant == Contestant::Ours)
        .map_or(&[][..], |at| &results[at]);
    assert!(
        ours.iter()
            .all(|measure| measure.overlaps == 0 && measure.stale == 0),
        "ours let loads overlap or gave a stale result"
    );
}

fn median(results: &[Measure], of: impl Fn(&Measure) -> f64) -> f64 {
    let mut figures: Vec<f64> = results.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

//! Prints what was measured: medians, and the ratio of each to ours in the same run.

use crate::cases::Measure;
use crate::contestants::Contestant;

/// One case's table.
#[allow(clippy::print_stdout)]
pub fn print(case: &str, what: &str, chosen: &[Contestant], results: &[Vec<Measure>]) {
    println!("\n{case}: {what} ({} rounds, medians)", results[0].len());
    println!(
        "{:20} {:>9} {:>7} {:>9} {:>7} {:>8} {:>7} {:>9} {:>7} {:>7}",
        "", "figure", "ratio", "cpu ns", "ratio", "loads", "allocs", "overlaps", "stale", "late"
    );
    let ours = median(&results[0], |measure| measure.figure);
    let our_processor = median(&results[0], |measure| measure.processor);
    for (contestant, results) in chosen.iter().zip(results) {
        let figure = median(results, |measure| measure.figure);
        let sum = |of: fn(&Measure) -> u64| results.iter().map(of).sum::<u64>();
        let processor = median(results, |measure| measure.processor);
        println!(
            "{:20} {figure:9.1} {:6.2}x {processor:9.0} {:6.2}x {:8} {:7.2} {:9} {:7} {:7}",
            contestant.name(),
            figure / ours,
            processor / our_processor,
            sum(|measure| measure.loads) / results.len() as u64,
            median(results, |measure| measure.allocations),
            sum(|measure| measure.overlaps),
            sum(|measure| measure.stale),
            sum(|measure| measure.late) / results.len() as u64,
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

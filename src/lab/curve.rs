//! [`Curve`]: how many queries were under way over time, in not too many points.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::milliseconds;
use crate::store::Demand;

/// Queries running or waiting over time.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Curve {
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Point {
    ms: f64,
    at_once: usize,
}

const MOST_POINTS: usize = 200;
const FIRST_STEP: Duration = Duration::from_millis(2);

impl Curve {
    pub(super) fn new() -> Self {
        Self {
            points: Vec::with_capacity(MOST_POINTS),
        }
    }

    /// Adds points for ever, ever fewer of them, and says at each how long it has been going on.
    pub(super) async fn follow(&mut self, demand: &Demand, mut at_each: impl FnMut(Duration)) {
        let (began, mut step) = (Instant::now(), FIRST_STEP);
        loop {
            let elapsed = began.elapsed();
            if self.points.len() == MOST_POINTS {
                self.thin_out();
                step *= 2;
            }
            self.points.push(Point {
                ms: milliseconds(elapsed),
                at_once: demand.now(),
            });
            at_each(elapsed);
            sleep_until(Instant::now() + step).await;
        }
    }

    /// Keeps the higher of each two points: a peak is what the curve is looked at for.
    fn thin_out(&mut self) {
        let pairs = self.points.chunks(2);
        let higher = |pair: &[Point]| pair.iter().copied().max_by_key(|point| point.at_once);
        self.points = pairs.filter_map(higher).collect();
    }
}

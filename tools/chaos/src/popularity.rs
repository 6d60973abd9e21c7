//! [`Popularity`]: how often each template is asked for, Zipf(1.0): the k-th of them 1/k as often as the first.

use fastrand::Rng;

/// Draws ids from 1 on.
pub(crate) struct Popularity {
    /// The sum of the weights up to each id.
    sums: Vec<f64>,
}

impl Popularity {
    /// For the ids from 1 to `most`, the most popular first.
    pub(crate) fn new(most: i64) -> Self {
        let weights = (1..=most).map(|rank| 1.0 / rank as f64);
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
        }
    }

    /// The next id to ask for.
    pub(crate) fn draw(&self, random: &mut Rng) -> i64 {
        let all = self.sums.last().copied().unwrap_or_default();
        let point = random.f64() * all;
        1 + self.sums.partition_point(|sum| *sum <= point) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_drawn_about_twice_as_often_as_the_second_and_nothing_else_than_what_exists() {
        let (popularity, mut random) = (Popularity::new(100), Rng::with_seed(1));
        let mut drawn = [0_u32; 101];
        (0..100_000).for_each(|_| drawn[popularity.draw(&mut random) as usize] += 1);
        assert_eq!(drawn[0], 0);
        assert!((1.8..2.2).contains(&(f64::from(drawn[1]) / f64::from(drawn[2]))));
        assert!(drawn[1..].iter().all(|count| *count > 0));
    }
}

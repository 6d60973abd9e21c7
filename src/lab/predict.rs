//! What arithmetic says of a stampede before it happens. The runs confirm it: see the tests of the lab.

use std::f64::consts::E;

/// How many queries the expiry of one key costs without protection: all callers that arrive before the first answer is
/// stored. `arrivals` is arrival rate x query time, `knee` how many queries at once are as fast as one.
///
/// Up to the knee the first answer is there after the query time `s`, so that `rate x s` have arrived. Beyond it the
/// queries share the database: when `rate x t` of them run, the first one advances at `knee / (rate x t)` of its speed.
/// It reaches the knee at `t1 = knee / rate` and ends at the `t` at which `t1 + t1 x ln(t / t1) = s`. So
/// `t = t1 x e^(s / t1 - 1)`, and `rate x t` have arrived.
pub(super) fn stampede_size(arrivals: f64, knee: f64) -> f64 {
    if arrivals <= knee {
        arrivals
    } else {
        knee * (arrivals / knee).exp() / E
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stampede_is_the_arrivals_up_to_the_knee_and_grows_beyond_all_bounds_above_it() {
        assert_eq!(stampede_size(5.0, 10.0), 5.0);
        assert_eq!(stampede_size(10.0, 10.0), 10.0);
        assert_eq!(stampede_size(20.0, 10.0).round(), 27.0);
        assert_eq!(stampede_size(100.0, 10.0).round(), 81_031.0);
    }
}

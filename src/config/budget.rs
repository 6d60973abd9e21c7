//! The sums of the time-outs, and settings that contradict each other.

use std::time::Duration;

use super::{Config, Problem};

impl Config {
    /// The longest that the parts of a request can take together: the lookup, the wait for a connection, the query and
    /// the fill; with leases, one more Redis call.
    fn sum_of_the_parts(&self) -> Duration {
        self.redis_timeout * self.redis_calls() + self.db_queue_timeout + self.db_timeout
    }

    fn redis_calls(&self) -> u32 {
        if self.fleet_lease { 3 } else { 2 }
    }

    /// The longest that a load can take that asks no other replica: the wait for a connection, the query and the fill.
    pub fn longest_own_load(&self) -> Duration {
        self.db_queue_timeout + self.db_timeout + self.redis_timeout
    }

    /// The longest that a load waits for another replica's load, with [`Config::fleet_lease`]. It leaves time for an own
    /// load within the request's time-out.
    pub fn fleet_patience(&self) -> Duration {
        let left = self.request_timeout.saturating_sub(self.sum_of_the_parts());
        self.longest_own_load().min(left)
    }

    /// When a flight is ended: after the agreement with other replicas, if any, and its own load.
    pub fn flight_deadline(&self) -> Duration {
        if self.fleet_lease {
            self.fleet_patience() + self.redis_timeout + self.longest_own_load()
        } else {
            self.longest_own_load()
        }
    }

    /// How long after a change what was read before it may still reach a cache, here or from another replica.
    ///
    /// Twice an own load. Once is the load itself, which is given up then. The rest is for what this process cannot
    /// bound: a command that Redis runs after its time-out, a notice that comes late, and clocks that differ.
    pub fn longest_load(&self) -> Duration {
        self.longest_own_load() * 2
    }

    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let sum = self.sum_of_the_parts();
        if self.request_timeout <= sum {
            problems.push(Problem {
                variable: "REQUEST_TIMEOUT",
                problem: format!(
                    "must exceed {} times REDIS_TIMEOUT plus DB_QUEUE_TIMEOUT plus DB_TIMEOUT, which is {}",
                    self.redis_calls(),
                    humantime::format_duration(sum)
                ),
            });
        }
        if self.db_delay >= self.db_timeout {
            problems.push(Problem {
                variable: "DB_DELAY",
                problem: format!(
                    "{} leaves nothing of DB_TIMEOUT ({}) for the query itself",
                    humantime::format_duration(self.db_delay),
                    humantime::format_duration(self.db_timeout)
                ),
            });
        }
        problems
    }
}

//! Which state of a template may be shown, which may be stored, and why no replica ever goes back.
//!
//! The database decides what a template is. It numbers the states of each template: a change raises the *version* by
//! one, a deletion too, and a template that is created again goes on from there. Everything else holds copies: Redis,
//! which all replicas share; the embedded cache that stands in for Redis; and the local copy of each replica. This page
//! says what they may do. The rest of the crate asks [`Rules`] and [`Copies`], and decides nothing about age or order
//! itself.
//!
//! An [`Entry`] is one answer of the database: a version, what it is ([`Content`]: a template, or its absence), when
//! that answer came, and when its TTL ends. A third content is the *tombstone*: a change to this version is known, its
//! result is not.
//!
//! The rules are cited by their numbers, as R1 to R15.
//!
//! # What may be shown
//!
//! 1. **An entry answers while its TTL lasts** ([`Rules::shows`]). The TTL counts from when the query was sent, because
//!    the row may have changed while the answer was under way ([`Rules::entry`]).
//! 2. **Then a template answers for `STALE_WHILE_REVALIDATE` longer**, marked as stale, while one load replaces it. An
//!    absence does not: a template that was just created must not stay hidden. A tombstone never answers.
//! 3. **An entry that is superseded does not answer from a cache.** It is superseded when this replica knows a higher
//!    version of the template: from a load, a write, or a notice of the database.
//! 4. **An entry from before a gap does not answer either** ([`IgnoreBefore`]). There is a gap when notices may have been
//!    lost, when every template may have changed, or when Redis rejects an invalidation.
//! 5. **Redis answers for no longer than `CACHE_TTL` from now** ([`Rules::believe`]). Another replica, whose clock is
//!    ahead, may have written a later end.
//! 6. **A near copy answers without asking Redis** ([`Copies::near`]), if `NEAR_FOR` is set: within its TTL, and for
//!    `NEAR_FOR` after Redis or the database confirmed it. A gap ends that at once, until it is confirmed again.
//! 7. **When a load takes longer than `SOFT_TIMEOUT`, the stand-in answers** ([`Copies::stand_in`]), marked as stale, while
//!    the load goes on. It must be the highest version that this replica knows, from after the last gap, and within
//!    `STALE_FOR`.
//! 8. **When nothing else can answer, the last-known-good does**, for `STALE_FOR` after its TTL, marked as stale
//!    ([`Copies::last_known_good`]). It may be superseded: an old template is better than none. An absence is not.
//! 9. **A follower never gets less than this replica knew when it asked, except on its third flight** ([`is_enough`]). A
//!    flight that began before this replica learnt of a higher version may bring less: the follower joins the next one. A
//!    leader keeps its own result even if it is lower: the database may have been restored from a backup.
//!
//! # What may be stored
//!
//! 10. **A lower version never replaces a higher one**, in the local copy ([`Copies::store`]) as in Redis, where a script
//!     compares and stores in one step, as [`replaces`] says. Of the same version the local copy keeps the answer that the
//!     database gave later, and Redis the one that arrived last.
//! 11. **A tombstone replaces lower versions only.** From then on it refuses loads that began before the change.
//! 12. **A load that was overtaken is shown but not stored** ([`Copies::judge_load`]): one whose flight was forgotten, or
//!     during which a gap began. A tombstone of its version is stored instead, so that what its callers have seen is not
//!     followed by something older.
//! 13. **An entry refuses older versions for so long, not for ever** ([`Rules::refuse_older_for`]): until each load that
//!     began before it has ended and each older copy has expired. After that a lower version is believed, because only a
//!     restored database can bring one.
//! 14. **Redis is told before it is asked.** An invalidation that could not reach Redis waits, and Redis is not asked for
//!     that template meanwhile. Of several that wait for one template, the one that says most is kept ([`Rank`]).
//! 15. **A change that may have been made counts as made** ([`Copies::suspect`]): a tombstone of the version after
//!     the last certain one is stored. If no version is known, the template is removed from the caches.
//!
//! # Why no replica goes back
//!
//! Going back means that a replica shows a version as current, to a request that began after it had shown, written or been
//! told of a higher one. Each answer comes from one of three places. From the local copy, it is the highest version this
//! replica knows (R3, R10), or a copy that is marked as stale (R7, R8). From Redis, it is compared with the local copy
//! first: a lower version is not shown, and the template is loaded (R3). From a load, it is stored locally, or leaves a
//! tombstone there (R10, R12), and a follower that gets a lower one asks again, three times at most (R9). So every version
//! that was shown is remembered, and everything that is shown as current is compared with what is remembered. Two exceptions are
//! deliberate. The local copy is bounded: a template that was evicted is known no more, and then only R1, R10 and R14
//! hold, in Redis. And a restored database may go back (R9, R13).
//!
//! After a write through one replica, requests to that replica get nothing older at once. The other replicas show nothing
//! older as soon as Redis or the database's notice tells them, and at the latest when their entry's TTL ends or their
//! longest load has ended (R1, R5).
//!
//! # Clocks
//!
//! Times are those of the replica that stored an entry. R4, R6 and R13 compare them with this replica's clock, so that
//! the clocks of replicas should agree within a second, as NTP keeps them. A clock that is ahead makes an entry look later
//! than a gap. Its TTL still ends within `CACHE_TTL` (R5).

mod copies;
mod entry;
mod rules;

pub use copies::{Copies, LoadBegan, Noted};
pub use entry::{Content, Entry, Moment};
pub use rules::{IgnoreBefore, MayStore, Rank, Rules, Shows, Stored, is_enough, replaces};

//! One load per key, shared by everyone who asks meanwhile.
//!
//! A [`Group`] keeps a thousand simultaneous requests for the same thing from becoming a thousand queries. The first
//! caller for a key, the leader, runs its loader. Callers that ask for the key before that load has ended follow: they
//! wait, and get the same `Arc` of the value or of the error. A load with its callers is a *flight*. When it has landed,
//! the group knows nothing of the key any more: it is not a cache, but a cache should be refilled through it.
//!
//! ```
//! use stampede::singleflight::Group;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<u64, String, std::io::Error> = Group::new();
//! let value = group.work(&7, || async { Ok("seven".to_owned()) }).await.expect("the load does not fail");
//! assert_eq!(*value, "seven");
//! # }
//! ```
//!
//! [`Group::work`] gives the value or the error. [`Group::report`] adds the caller's part in the flight: leader or
//! follower, how many callers, how long it waited. [`Group::start`] joins or begins a flight at once, without being
//! awaited. Each of them can be given a limit ([`Call::wait_limit`]), and can be dropped at any time.
//!
//! # What a group promises
//!
//! - **One load at a time for each key.** No caller gets the result of a flight that had landed before it asked. A load
//!   that was cut short (by a deadline, an abort, the end of its runtime) may still be stopping when the next one begins.
//! - **Callers come and go.** A load goes on when its leader is dropped, or kept and never polled again. With
//!   [`Builder::abort_when_abandoned`] it is dropped when the last caller has left.
//! - **A panic is an outcome.** A load that panics (in the loader, in its future, in that future's `Drop`) runs once, and
//!   all of its callers get [`Error::Panicked`].
//! - **Every flight lands.** Each has a deadline ([`Builder::deadline`]).
//! - **A load that waits for itself is refused**, with [`Error::Reentrant`]: one that asks for its own key, or several that
//!   ask for each other's.
//! - **A forgotten flight never disturbs a newer one.** After [`Group::forget`] the next caller begins a new flight. The
//!   old one goes on for its callers, and writes nothing back any more ([`Loading::write_back`]).
//! - **Nothing is left behind**: no entry, waker or byte of a key remains when its flight has landed.
//!
//! # Where loads run
//!
//! The leader polls its load once. A load that is ready then needs no runtime. The rest of any other becomes a task of the
//! tokio runtime that the leader is in, which has to have its time driver enabled ([`Error::NoRuntime`]). So:
//!
//! - The load sees its leader's task-locals up to its first `.await` that has to wait, and never after it. It runs in the
//!   same tracing span from its first poll to its last.
//! - A group can be used from several runtimes, one after the other or at once. If a runtime ends, the loads that ran on it
//!   are lost. Followers in other runtimes then load for themselves, and one of them leads.
//! - A `current_thread` runtime stands still while no thread drives it. Followers in other runtimes keep the deadline of
//!   a load that is stuck in it.
//!
//! # What is not detected
//!
//! - A load that blocks its thread cannot be stopped: until it yields, its flight goes on past the deadline, unless it is
//!   aborted or a follower in another runtime keeps the time. A follower's own limit still ends that follower's call.
//! - A load that asks for its own key from another task, or through another process, is not refused: the deadline ends it.
//!   And a circle counts even if one of its calls would have given up at its limit.
//! - Followers in other runtimes keep the deadline of a load in a `current_thread` runtime, but not of one in a runtime whose
//!   workers are all blocked.
//! - A key's `Eq`, `Clone`, `Borrow` and `ToOwned` run under a lock and must not call the group.
//!
//! # Four situations
//!
//! **Refilling a cache.** The entry of a popular key expires, and every request misses at once. One of them loads. A writer
//! that changes the row first forgets the flight and then removes the entry, so that no older load can bring it back:
//!
//! ```
//! use stampede::singleflight::Group;
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let cache = Arc::new(Mutex::new(HashMap::<u64, String>::new()));
//! let group: Group<u64, String, std::io::Error> = Group::new();
//!
//! let refill = || {
//!     let cache = Arc::clone(&cache);
//!     group.report(&42, |loading| async move {
//!         tokio::task::yield_now().await; // the query
//!         let row = "template 42".to_owned();
//!         loading.write_back(|| cache.lock().expect("not poisoned").insert(42, row.clone()));
//!         Ok(row)
//!     })
//! };
//! let (one, two) = tokio::join!(refill(), refill());
//! assert!(Arc::ptr_eq(&one.result.expect("loaded"), &two.result.expect("loaded")));
//! assert_eq!(two.part.expect("on a flight").callers, 2);
//! assert!(cache.lock().expect("not poisoned").contains_key(&42));
//!
//! group.forget(&42); // after the row was changed
//! cache.lock().expect("not poisoned").remove(&42);
//! # }
//! ```
//!
//! **Validating a token once.** A page opens and fires twenty requests with the same new token. One of them creates the
//! session. A refusal is shared as well, and no request waits for longer than it can afford:
//!
//! ```
//! use stampede::singleflight::{Call, Error, Group};
//! use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
//!
//! #[derive(Debug, PartialEq)]
//! enum Refused { Expired }
//! static VALIDATIONS: AtomicU32 = AtomicU32::new(0);
//!
//! async fn validate() -> Result<u64, Refused> {
//!     VALIDATIONS.fetch_add(1, Ordering::Relaxed);
//!     tokio::task::yield_now().await; // the identity provider
//!     Err(Refused::Expired)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<String, u64, Refused> = Group::builder().max_callers(100).build();
//! let session = || group.work("token", validate).wait_limit(Duration::from_secs(2));
//! for refused in <[_; 3]>::from(tokio::join!(session(), session(), session())) {
//!     assert!(matches!(refused, Err(Error::Failed(reason)) if *reason == Refused::Expired));
//! }
//! assert_eq!(VALIDATIONS.load(Ordering::Relaxed), 1);
//! # }
//! ```
//!
//! **Pulling an image once.** Many pods need it, and none of them has to stay for it to be pulled. A pull stops when its
//! last pod has gone:
//!
//! ```
//! use stampede::singleflight::Group;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<String, u64, std::io::Error> = Group::builder().abort_when_abandoned().build();
//! let pull = || group.start("nginx:1.29", |_| async {
//!     tokio::task::yield_now().await; // the layers
//!     Ok(187_000_000)
//! });
//! let (first, second) = (pull(), pull());
//! drop(first); // that pod was deleted
//! assert_eq!(*second.await.result.expect("pulled"), 187_000_000);
//!
//! drop(pull());
//! assert_eq!((group.stats().in_flight, group.stats().aborted), (0, 1));
//! # }
//! ```
//!
//! **Listing once for many controllers.** All of them start together and ask for the same lists. Each list is fetched
//! once, and one that fails takes none of the others with it:
//!
//! ```
//! use stampede::singleflight::{Error, Group};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<&str, Vec<u32>, String> = Group::new();
//! let list = |kind: &'static str| {
//!     let group = group.clone();
//!     async move {
//!         let fetch = || async move {
//!             tokio::task::yield_now().await; // the API server
//!             if kind == "leases" { Err("forbidden".to_owned()) } else { Ok(vec![1, 2, 3]) }
//!         };
//!         group.work(&kind, fetch).await
//!     }
//! };
//! let controller = || async { tokio::join!(list("pods"), list("leases")) };
//! let (one, two) = tokio::join!(controller(), controller());
//! for (pods, leases) in [one, two] {
//!     assert_eq!(*pods.expect("listed"), [1, 2, 3]);
//!     assert!(matches!(leases, Err(Error::Failed(why)) if *why == "forbidden"));
//! }
//! assert_eq!(group.stats().flights, 2);
//! # }
//! ```
#![doc = include_str!("mistakes.md")]

mod caller;
mod circles;
mod drain;
mod error;
mod flight;
mod group;
mod inner;
mod loading;
mod outcome;
mod runtime;
mod stats;
mod sync;
mod table;
mod task;
mod waiting;
mod wakers;

pub use caller::Call;
pub use drain::Drained;
pub use error::Error;
pub use flight::Note;
pub use group::{Builder, Group};
pub use inner::{Key, Shared};
pub use loading::Loading;
pub use outcome::{Generation, InFlight, Landing, Part, Report, Role};
pub use stats::{Outcome, Stats};

#[cfg(test)]
mod tests;

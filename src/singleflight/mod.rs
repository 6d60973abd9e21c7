//! One load per key, shared by everyone who asks meanwhile.
//!
//! A [`Group`] keeps a thousand simultaneous requests for the same thing from becoming a thousand queries. The first
//! caller for a key runs its loader; whoever asks for that key before the load has ended waits for it and gets the same
//! `Arc` of the value, or of the error. When the load has ended the group knows nothing of the key any more: it is not a
//! cache, though it is what a cache should be refilled through.
//!
//! ```
//! use stampede::singleflight::Group;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<u64, String, std::io::Error> = Group::new();
//! let flown = group.work(&7, || async { Ok("seven".to_owned()) }).await.expect("the loader does not fail");
//! assert_eq!(*flown.value, "seven");
//! assert!(!flown.shared());
//! # }
//! ```
//!
//! # What a group promises
//!
//! - **One load at a time for each key.** A caller never gets the result of a flight that had ended before it asked.
//! - **Callers come and go.** Any of them may be dropped at any time, the one whose loader runs included: the load goes on
//!   and the others get its result. It goes on as well if the leader is kept alive and never polled again. What happens to
//!   a load that *nobody* waits for is your choice ([`WhenAbandoned`]).
//! - **A panic is an outcome.** A loader that panics (in the call, in its future, in that future's `Drop`) runs once, and
//!   everyone gets [`Error::Panicked`].
//! - **Every flight ends.** A group always has a deadline ([`Builder::deadline`]); each caller may have a shorter one for
//!   itself ([`CallOptions::wait_at_most`]). A flight may be limited to so many callers ([`Builder::max_callers`]).
//! - **A load that waits for itself is an error**, [`Error::Reentrant`], whether it asks for its own key or two loads ask
//!   for each other's. (A loader that passes the question to another task is not found out; the deadline ends it.)
//! - **An old flight never disturbs a newer one.** After [`Group::forget`] the next caller begins a new flight; the old one
//!   goes on for those aboard, and its loader can find out by [`Flight::is_current`] that it should not write back.
//! - **Nothing is left behind**: no entry, waker or byte of a key remains once its flight has ended.
//!
//! # Where loads run
//!
//! A load begins in the task of its leader, so that one that is ready at once, or soon, costs no task and no timer. If it
//! is still going after some ten milliseconds, or its leader is dropped, it moves to a task of its own: task-locals and
//! the current tracing span of the leader are then out of its sight (instrument the future if it needs them). For that,
//! and for deadlines, a load that does not finish at once needs a tokio runtime with time enabled.
//!
//! Deadlines count from a load's first suspension. A load that blocks its thread is out of anybody's reach until it yields,
//! but its callers are released all the same if there is another thread to do it.
//!
//! A key's `Eq` and `Clone` are called under a lock and must not call the group.
//!
//! # Four situations
//!
//! **Refilling a cache.** The entry of a popular key expires, and every request misses at once. One of them loads, and the
//! result is written back only if nobody has forgotten the flight meanwhile, as a writer does when it invalidates:
//!
//! ```
//! use stampede::singleflight::{CallOptions, Group};
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let cache = Arc::new(Mutex::new(HashMap::<u64, String>::new()));
//! let group: Group<u64, String, std::io::Error> = Group::new();
//!
//! let refill = || {
//!     let cache = Arc::clone(&cache);
//!     group.work_with(&42, CallOptions::default(), |flight| async move {
//!         tokio::task::yield_now().await; // the query
//!         let row = "template 42".to_owned();
//!         if flight.is_current() {
//!             cache.lock().expect("not poisoned").insert(42, row.clone());
//!         }
//!         Ok(row)
//!     })
//! };
//! let (one, two) = tokio::join!(refill(), refill());
//! let (one, two) = (one.expect("loaded"), two.expect("loaded"));
//! assert!(Arc::ptr_eq(&one.value, &two.value));
//! assert_eq!(one.callers, 2);
//! assert!(cache.lock().expect("not poisoned").contains_key(&42));
//! # }
//! ```
//!
//! **Validating a token once.** A page opens and fires twenty requests with the same new token. One of them creates the
//! session, and a refusal is shared as well; a request does not wait for longer than it can afford:
//!
//! ```
//! use stampede::singleflight::{CallOptions, Error, Group};
//! use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
//!
//! #[derive(Debug, PartialEq)]
//! enum Refused { Expired }
//! static VALIDATIONS: AtomicU32 = AtomicU32::new(0);
//!
//! async fn validate(_token: String) -> Result<u64, Refused> {
//!     VALIDATIONS.fetch_add(1, Ordering::Relaxed);
//!     tokio::task::yield_now().await; // the identity provider
//!     Err(Refused::Expired)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<String, u64, Refused> = Group::builder().max_callers(100).build();
//! let patience = CallOptions::default().wait_at_most(Duration::from_secs(2));
//! let session = || group.work_with("token", patience.clone(), |_| validate("token".to_owned()));
//! for refused in <[_; 3]>::from(tokio::join!(session(), session(), session())) {
//!     assert!(matches!(refused, Err(Error::Failed(reason)) if *reason == Refused::Expired));
//! }
//! assert_eq!(VALIDATIONS.load(Ordering::Relaxed), 1);
//! # }
//! ```
//!
//! **Pulling an image once.** Many pods need it, and none of them should have to stay for it to be pulled. [`Group::start`]
//! boards without being awaited; a pull that nobody wants any more is stopped:
//!
//! ```
//! use stampede::singleflight::{CallOptions, Group, WhenAbandoned};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<String, u64, std::io::Error> = Group::builder().when_abandoned(WhenAbandoned::Abort).build();
//! let pull = || group.start("nginx:1.29", CallOptions::default(), |_| async {
//!     tokio::task::yield_now().await; // the layers
//!     Ok(187_000_000)
//! });
//! let (first, second) = (pull(), pull());
//! drop(first); // that pod was deleted
//! assert_eq!(*second.await.expect("pulled").value, 187_000_000);
//!
//! drop(pull());
//! assert_eq!(group.in_flight(), 0);
//! assert_eq!(group.stats().aborted, 1);
//! # }
//! ```
//!
//! **Listing once for many controllers.** All of them start together and ask for the same lists; each list is fetched
//! once, and one that fails takes none of the others with it:
//!
//! ```
//! use stampede::singleflight::{Error, Group};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let group: Group<&str, Vec<u32>, String> = Group::new();
//! let controller = || group.work_many(["pods", "nodes", "leases"], |kind| {
//!     let kind = *kind;
//!     async move {
//!         tokio::task::yield_now().await; // the API server
//!         if kind == "leases" { Err("forbidden".to_owned()) } else { Ok(vec![1, 2, 3]) }
//!     }
//! });
//! let (one, two) = tokio::join!(controller(), controller());
//! for lists in [&one, &two] {
//!     assert_eq!(*lists[0].1.as_ref().expect("listed").value, [1, 2, 3]);
//!     assert!(matches!(&lists[2].1, Err(Error::Failed(why)) if **why == "forbidden"));
//! }
//! assert_eq!(group.stats().flights, 3);
//! # }
//! ```

mod call;
mod clock;
mod drain;
mod driver;
mod error;
mod group;
mod handle;
mod inner;
mod kernel;
mod landing;
mod lineage;
mod load;
mod many;
mod options;
mod outcome;
mod passenger;
mod patience;
mod sight;
mod standing;
mod sync;
mod watch;

pub use error::{Error, Panic};
pub use group::Group;
pub use handle::Handle;
pub use landing::{Drained, InFlight, Landing, Stats};
pub use options::{Builder, CallOptions, WhenAbandoned};
pub use outcome::{Flown, Generation, Outcome, Report, Ride, Role};
pub use standing::Flight;

#[cfg(test)]
mod tests;

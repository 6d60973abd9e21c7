//! Live bytes before and after: nothing is left of keys whose flights have ended, however they ended.
//!
//! Each thread counts its own bytes: a test's runtime runs on the test's thread, and what the harness allocates beside it
//! is none of its business.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;
use verify_model::faithful::Group;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

fn live() -> i64 {
    LIVE.get()
}

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as i64);
        unsafe { System.dealloc(pointer, layout) }
    }
}

const KEYS: u32 = 20_000;

/// Twenty thousand keys at the same time: a leader and a follower each, all of whom leave; every third is forgotten
/// meanwhile.
async fn come_and_go(group: &Group<u32, Vec<u8>, ()>) {
    let mut calls = Vec::new();
    for key in 0..KEYS {
        for _ in 0..2 {
            let group = group.clone();
            let mut call = Box::pin(async move {
                let load = |_| async {
                    std::future::pending::<()>().await;
                    Ok(vec![0; 1024])
                };
                drop(group.report(&key, load).await);
            });
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            calls.push(call);
        }
        if key % 3 == 0 {
            group.forget(&key);
        }
    }
    drop(calls);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(group.stats().in_flight, 0);
}

#[test]
fn twenty_thousand_cancelled_keys_leave_no_byte_behind() {
    for abort in [true, false] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let builder = Group::builder().deadline(Duration::from_millis(300));
            let group = if abort { builder.abort_when_abandoned().build() } else { builder.build() };
            // The first time, the runtime and the tables grow to their usual size.
            come_and_go(&group).await;
            let before = live();
            come_and_go(&group).await;
            let left = live() - before;
            assert!(left < i64::from(KEYS) / 100, "{left} bytes left of {KEYS} keys");
            let empty = live();
            drop(group);
            let held = empty - live();
            assert!(held < 16 * 1024, "an empty group holds {held} bytes");
        });
    }
}

const FOLLOWERS: i64 = 20_000;

/// Followers who come to one flight and leave it again, one after the other; evaluates to the bytes that grew under it.
macro_rules! growth {
    ($module:ident) => {{
        use verify_model::$module::Group;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let _inside = runtime.enter();
        let group: Group<u8, u8, ()> = Group::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut leader = Box::pin(group.work(&1, std::future::pending::<Result<u8, ()>>));
        assert!(leader.as_mut().poll(&mut cx).is_pending());
        let follow = |cx: &mut Context<'_>| {
            let mut follower = Box::pin(group.work(&1, std::future::pending::<Result<u8, ()>>));
            assert!(follower.as_mut().poll(cx).is_pending());
        };
        // The first one's slot is there to stay.
        follow(&mut cx);
        let before = live();
        (0..FOLLOWERS).for_each(|_| follow(&mut cx));
        live() - before
    }};
}

#[test]
fn followers_who_left_hold_no_slot_of_a_flight() {
    let grew = growth!(faithful);
    assert!(grew < FOLLOWERS / 100, "{grew} bytes for {FOLLOWERS} followers who are gone");
}

#[test]
fn slots_that_are_not_freed_are_caught() {
    assert!(growth!(slots_are_not_freed) >= FOLLOWERS);
}

//! Many tasks on few keys: no two loads of a key overlap, and no caller gets a flight that ended before it asked.
//!
//! Two published peers fail this within seconds.

use super::*;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const KEYS: usize = 16;
const TASKS: usize = 64;
const CALLS: usize = 500;

#[derive(Default)]
struct Counters {
    running: [AtomicU32; KEYS],
    overlaps: AtomicU32,
    stale: AtomicU32,
    landed: [AtomicU64; KEYS],
}

async fn load(counters: Arc<Counters>, key: usize) -> Result<u64, String> {
    if counters.running[key].fetch_add(1, Ordering::SeqCst) > 0 {
        counters.overlaps.fetch_add(1, Ordering::SeqCst);
    }
    tokio::task::yield_now().await;
    counters.running[key].fetch_sub(1, Ordering::SeqCst);
    Ok(counters.landed[key].fetch_add(1, Ordering::SeqCst) + 1)
}

async fn calls(group: Group<usize, u64, String>, counters: Arc<Counters>, task: usize) {
    for call in 0..CALLS {
        let key = (task + call) % KEYS;
        let before = counters.landed[key].load(Ordering::SeqCst);
        let counted = Arc::clone(&counters);
        let mut work = Box::pin(group.work(&key, move || load(counted, key)));
        if (task + call).is_multiple_of(7) {
            // This caller leaves, after its first look at the latest.
            let _ = poll_once(&mut work);
            continue;
        }
        // A load that had counted before this call began need not have landed yet, but the one before it has.
        let number = work.await.unwrap();
        if *number < before {
            counters.stale.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_of_a_key_never_overlap_and_nobody_gets_an_old_flight() {
    let (group, counters) = (Group::new(), Arc::new(Counters::default()));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(calls(group.clone(), Arc::clone(&counters), task)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counters.overlaps.load(Ordering::SeqCst), 0);
    assert_eq!(counters.stale.load(Ordering::SeqCst), 0);
    group.drain(Duration::from_secs(60)).await;
    let stats = group.stats();
    assert_eq!(stats.ok, stats.flights);
}

//! The cases: what is called, by how many, and what is counted meanwhile.

use crate::allocations;
use crate::contestants::Flights;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;

/// What one run of one implementation gave.
#[derive(Clone, Copy, Default)]
pub struct Measure {
    /// The figure the case is about.
    pub figure: f64,
    /// Loads that ran while another one of the same key did.
    pub overlaps: u64,
    /// Results a task was given although it had been given them before.
    pub stale: u64,
    /// Results whose load had already ended when the call began; those between a load's end and its landing are fair.
    pub late: u64,
    /// Loads that ran.
    pub loads: u64,
    /// Allocations per call.
    pub allocations: f64,
    /// Processor time in microseconds, where it is measured.
    pub processor_us: f64,
}

/// Runs `case` once.
pub fn measure<F: Flights>(case: &str) -> Measure {
    match case {
        "a1" => distinct::<F>(1, 0, 40_000),
        "a2" => distinct::<F>(2, 0, 40_000),
        "d" => distinct::<F>(1, 1, 40_000),
        "c" => crowded::<F>(1),
        "c3" => crowded::<F>(3),
        "b" => herd::<F>(1),
        "b5" => herd::<F>(5),
        other => panic!("no case {other}"),
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn distinct<F: Flights>(tasks: usize, yields: u32, calls: usize) -> Measure {
    let (runtime, flights) = (runtime(), F::new());
    let keys: Arc<Vec<Vec<String>>> = Arc::new(
        (0..tasks)
            .map(|task| {
                (0..calls)
                    .map(|call| format!("template:{task}:{call:06}"))
                    .collect()
            })
            .collect(),
    );
    let run = |counted: bool| {
        allocations::count(counted);
        let (before, begun) = (allocations::allocations(), Instant::now());
        runtime.block_on(async {
            let spawn = |task: usize| {
                let (flights, keys) = (flights.clone(), Arc::clone(&keys));
                tokio::spawn(async move {
                    for key in &keys[task] {
                        flights.call(key, move || yielding(yields)).await;
                    }
                })
            };
            let tasks: Vec<_> = (0..tasks).map(spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        allocations::count(false);
        (begun.elapsed(), allocations::allocations() - before)
    };
    let (elapsed, _) = run(false);
    let (_, allocated) = run(true);
    let all = (tasks * calls) as f64;
    // Calls of two tasks go on at the same time: time is per call of one of them.
    Measure {
        figure: elapsed.as_nanos() as f64 / calls as f64,
        allocations: allocated as f64 / all,
        ..Measure::default()
    }
}

async fn yielding(yields: u32) -> u64 {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
    7
}

const KEYS: usize = 16;
const TASKS: usize = 64;
const CALLS: usize = 4_000;

#[derive(Default)]
struct Counters {
    running: [AtomicU32; KEYS],
    overlaps: AtomicU64,
    stale: AtomicU64,
    late: AtomicU64,
    loads: AtomicU64,
    ended: [AtomicU64; KEYS],
}

fn crowded<F: Flights>(yields: u32) -> Measure {
    let (runtime, flights, counters) = (runtime(), F::new(), Arc::new(Counters::default()));
    let keys: Arc<Vec<String>> =
        Arc::new((0..KEYS).map(|key| format!("template:{key:06}")).collect());
    let begun = Instant::now();
    runtime.block_on(async {
        let spawn = |task: usize| {
            let (flights, keys, counters) =
                (flights.clone(), Arc::clone(&keys), Arc::clone(&counters));
            tokio::spawn(async move {
                let mut had = [0; KEYS];
                for call in 0..CALLS {
                    let key = (task * 7 + call) % KEYS;
                    let counted = Arc::clone(&counters);
                    let ended = counters.ended[key].load(Ordering::SeqCst);
                    let number = flights
                        .call(&keys[key], move || counting(counted, key, yields))
                        .await;
                    if number == had[key] {
                        counters.stale.fetch_add(1, Ordering::Relaxed);
                    }
                    if number <= ended {
                        counters.late.fetch_add(1, Ordering::Relaxed);
                    }
                    had[key] = number;
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    Measure {
        figure: begun.elapsed().as_nanos() as f64 / (TASKS * CALLS) as f64,
        overlaps: counters.overlaps.load(Ordering::SeqCst),
        stale: counters.stale.load(Ordering::SeqCst),
        late: counters.late.load(Ordering::SeqCst),
        loads: counters.loads.load(Ordering::SeqCst),
        ..Measure::default()
    }
}

/// A load that returns its own number.
async fn counting(counters: Arc<Counters>, key: usize, yields: u32) -> u64 {
    if counters.running[key].fetch_add(1, Ordering::SeqCst) > 0 {
        counters.overlaps.fetch_add(1, Ordering::Relaxed);
    }
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
    counters.running[key].fetch_sub(1, Ordering::SeqCst);
    let number = counters.loads.fetch_add(1, Ordering::Relaxed) + 1;
    counters.ended[key].store(number, Ordering::SeqCst);
    number
}

const HERD: usize = 1_000;

fn herd<F: Flights>(steps: u32) -> Measure {
    let (runtime, flights) = (runtime(), F::new());
    let key: Arc<String> = Arc::new("template:000042".to_owned());
    let (barrier, ended) = (Arc::new(Barrier::new(HERD)), Arc::new(AtomicU64::new(0)));
    let (loads, last) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let epoch = Instant::now();
    // Without counting, and once more with it.
    let mut run = |counted: bool| {
        loads.store(0, Ordering::SeqCst);
        last.store(0, Ordering::SeqCst);
        let (before, used) = (allocations::allocations(), processor_time());
        runtime.block_on(async {
            let spawn = |_| {
                let (flights, key, barrier) =
                    (flights.clone(), Arc::clone(&key), Arc::clone(&barrier));
                let (ended, loads, last) =
                    (Arc::clone(&ended), Arc::clone(&loads), Arc::clone(&last));
                tokio::spawn(async move {
                    barrier.wait().await;
                    allocations::count(counted);
                    let load = move || slow(steps, epoch, ended, loads);
                    flights.call(&key, load).await;
                    last.fetch_max(epoch.elapsed().as_nanos() as u64, Ordering::SeqCst);
                })
            };
            let callers: Vec<_> = (0..HERD).map(spawn).collect();
            for caller in callers {
                caller.await.unwrap();
            }
        });
        allocations::count(false);
        (processor_time() - used, allocations::allocations() - before)
    };
    let (processor, _) = run(false);
    let nanos = last
        .load(Ordering::SeqCst)
        .saturating_sub(ended.load(Ordering::SeqCst));
    let ran = loads.load(Ordering::SeqCst);
    let (_, allocated) = run(true);
    let (fan_out_us, processor_us) = (nanos as f64 / 1e3, processor.as_nanos() as f64 / 1e3);
    Measure {
        figure: if steps == 1 { fan_out_us } else { processor_us },
        loads: ran,
        allocations: allocated as f64 / HERD as f64,
        processor_us,
        ..Measure::default()
    }
}

async fn slow(steps: u32, epoch: Instant, ended: Arc<AtomicU64>, loads: Arc<AtomicU64>) -> u64 {
    for _ in 0..steps {
        tokio::time::sleep(Duration::from_millis(if steps == 1 { 5 } else { 1 })).await;
    }
    loads.fetch_add(1, Ordering::SeqCst);
    ended.store(epoch.elapsed().as_nanos() as u64, Ordering::SeqCst);
    7
}

fn processor_time() -> Duration {
    let of = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(of.tv_sec as u64, of.tv_nsec as u32)
}

//! The cases: what is called, by how many, and what is counted meanwhile.

use crate::allocations;
use crate::contestants::Flights;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, mpsc, oneshot};

/// What one run of one implementation gave.
#[derive(Clone, Copy, Default)]
pub struct Measure {
    /// The figure the case is about.
    pub figure: f64,
    /// Processor time per call, in nanoseconds.
    pub processor: f64,
    /// Loads that ran.
    pub loads: u64,
    /// Loads that ran while another one of the same key did.
    pub overlaps: u64,
    /// Results a task was given although it had been given them before.
    pub stale: u64,
    /// Results whose load had already ended when the call began; those between a load's end and its landing are fair.
    pub late: u64,
    /// Allocations per call.
    pub allocations: f64,
}

/// Runs `case` once.
pub fn measure<F: Flights>(case: &str) -> Measure {
    match case {
        "a1" => distinct::<F>(1, None, 40_000),
        "a2" => distinct::<F>(2, None, 40_000),
        "d" => distinct::<F>(1, Some(Wait::Task), 20_000),
        "t" => distinct::<F>(64, Some(Wait::Timer), 40),
        "c" => crowded::<F>(),
        "b" => herd::<F>(1),
        "b5" => herd::<F>(5),
        other => panic!("no case {other}"),
    }
}

/// What a load waits for.
#[derive(Clone, Copy)]
enum Wait {
    /// The answer of another task, as from a client that shares one connection.
    Task,
    /// A timer of a millisecond.
    Timer,
}

/// Two threads, and a timer that is set again and again, as in every server: without one the runtime never looks at the clock.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    runtime
}

/// A task that answers what it is asked.
#[derive(Clone)]
struct Backend(mpsc::UnboundedSender<oneshot::Sender<u64>>);

impl Backend {
    fn start(runtime: &Runtime) -> Self {
        let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<u64>>();
        runtime.spawn(async move {
            while let Some(answer) = asked.recv().await {
                let _ = answer.send(7);
            }
        });
        Self(ask)
    }

    async fn wait(&self, wait: Wait) -> u64 {
        match wait {
            Wait::Task => {
                let (answer, answered) = oneshot::channel();
                self.0.send(answer).unwrap();
                answered.await.unwrap()
            }
            Wait::Timer => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                7
            }
        }
    }
}

fn distinct<F: Flights>(tasks: usize, wait: Option<Wait>, calls: usize) -> Measure {
    let (runtime, flights) = (runtime(), F::new());
    let backend = Backend::start(&runtime);
    let keys = |task| (0..calls).map(move |call| format!("template:{task}:{call:06}"));
    let keys: Vec<Vec<String>> = (0..tasks).map(|task| keys(task).collect()).collect();
    let keys = Arc::new(keys);
    let run = |counted: bool| {
        allocations::count(counted);
        let (before, used, begun) = (allocations::allocations(), processor_time(), Instant::now());
        runtime.block_on(async {
            let spawn = |task: usize| {
                let (flights, keys, backend) =
                    (flights.clone(), Arc::clone(&keys), backend.clone());
                tokio::spawn(async move {
                    for key in &keys[task] {
                        let backend = backend.clone();
                        let load = move || async move {
                            match wait {
                                None => 7,
                                Some(wait) => backend.wait(wait).await,
                            }
                        };
                        flights.call(key, load).await;
                    }
                })
            };
            let tasks: Vec<_> = (0..tasks).map(spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        allocations::count(false);
        (
            begun.elapsed(),
            processor_time() - used,
            allocations::allocations() - before,
        )
    };
    let (elapsed, processor, _) = run(false);
    let (_, _, allocated) = run(true);
    let all = (tasks * calls) as f64;
    // Calls of several tasks go on at the same time: time is per call of one of them.
    Measure {
        figure: elapsed.as_nanos() as f64 / calls as f64,
        processor: processor.as_nanos() as f64 / all,
        allocations: allocated as f64 / all,
        loads: all as u64,
        ..Measure::default()
    }
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

fn crowded<F: Flights>() -> Measure {
    let (runtime, flights, counters) = (runtime(), F::new(), Arc::new(Counters::default()));
    let backend = Backend::start(&runtime);
    let keys: Arc<Vec<String>> =
        Arc::new((0..KEYS).map(|key| format!("template:{key:06}")).collect());
    let (used, begun) = (processor_time(), Instant::now());
    runtime.block_on(async {
        let spawn = |task: usize| {
            let (flights, keys, counters, backend) = (
                flights.clone(),
                Arc::clone(&keys),
                Arc::clone(&counters),
                backend.clone(),
            );
            tokio::spawn(async move {
                let mut had = [0; KEYS];
                for call in 0..CALLS {
                    let key = (task * 7 + call) % KEYS;
                    let (counted, backend) = (Arc::clone(&counters), backend.clone());
                    let ended = counters.ended[key].load(Ordering::SeqCst);
                    let number = flights
                        .call(&keys[key], move || counting(counted, key, backend))
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
    let all = (TASKS * CALLS) as f64;
    Measure {
        figure: begun.elapsed().as_nanos() as f64 / all,
        processor: (processor_time() - used).as_nanos() as f64 / all,
        overlaps: counters.overlaps.load(Ordering::SeqCst),
        stale: counters.stale.load(Ordering::SeqCst),
        late: counters.late.load(Ordering::SeqCst),
        loads: counters.loads.load(Ordering::SeqCst),
        ..Measure::default()
    }
}

/// A load that returns its own number.
async fn counting(counters: Arc<Counters>, key: usize, backend: Backend) -> u64 {
    if counters.running[key].fetch_add(1, Ordering::SeqCst) > 0 {
        counters.overlaps.fetch_add(1, Ordering::Relaxed);
    }
    backend.wait(Wait::Task).await;
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
    let run = |counted: bool| {
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
    Measure {
        figure: nanos as f64 / 1e3,
        loads: ran,
        allocations: allocated as f64 / HERD as f64,
        processor: processor.as_nanos() as f64 / HERD as f64,
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

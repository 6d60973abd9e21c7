//! What the model's threads do. A macro, because each planted kernel has types of its own.

/// The scenarios over one planted kernel.
macro_rules! scenarios {
    ($kernel:ident) => {
        // Not every scenario is for every kernel.
        #[allow(dead_code)]
        pub(super) mod $kernel {
            use crate::$kernel::flight::Flight;
            use crate::$kernel::runtime::{Rest, Runtime, Sleeper};
            use crate::$kernel::stats::Outcome;
            use crate::$kernel::table::{Boarding, Table};
            use crate::world::runtime::Handle;
            use loom::future::block_on;
            use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
            use loom::thread;
            use std::future::poll_fn;
            use std::pin::Pin;
            use std::sync::Arc;
            use std::task::{Context, Poll};

            type TestTable = Table<u8, u32, Box<dyn Rest>>;
            type TestFlight = Arc<Flight<u8, u32, Box<dyn Rest>>>;

            const KEY: u8 = 3;
            const ABORTED: u32 = u32::MAX;

            fn board(table: &TestTable) -> Boarding<u8, u32, Box<dyn Rest>> {
                table.board(&KEY, u32::MAX, |_| true)
            }

            fn lead(table: &TestTable) -> TestFlight {
                let Boarding::Leader(flight) = board(table) else { panic!("nobody else has a flight of this key") };
                flight
            }

            fn wait(flight: &TestFlight) -> u32 {
                let mut slot = None;
                block_on(poll_fn(|cx| flight.poll_outcome(cx, &mut slot)))
            }

            /// What the group does when a load ends: by its leader nothing is published if it is alone.
            fn land(table: &TestTable, flight: &TestFlight, outcome: u32, its_leader: bool) -> bool {
                let Some(removed) = table.remove(flight, Outcome::Ok, !its_leader) else { return false };
                let is_alone = its_leader && flight.callers() == 1;
                if !is_alone {
                    flight.note_landing(1);
                    flight.publish(outcome);
                    table.settle(flight);
                }
                drop(removed);
                true
            }

            /// What the group does when a writer forgets the key.
            fn forget(table: &TestTable) -> Option<TestFlight> {
                let flight = table.find(&KEY).filter(|flight| flight.is_current())?;
                flight.seal();
                table.forget(&flight).then_some(flight)
            }

            /// What the group does with a flight whose load is not waited for any more.
            fn cut_short(table: &TestTable, flight: &TestFlight) {
                flight.seal();
                land(table, flight, ABORTED, false);
                if let Some(rest) = flight.suspended_load() {
                    rest.abort();
                }
            }

            /// One call: the generation of its flight, and the loads running beside its own.
            fn call(table: &TestTable, running: &AtomicU32) -> u64 {
                match board(table) {
                    Boarding::Leader(flight) => {
                        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two loads of a key overlap");
                        running.fetch_sub(1, Ordering::SeqCst);
                        assert!(land(table, &flight, 7, true), "only the leader lands its flight");
                        flight.generation
                    }
                    Boarding::Follower(flight) => {
                        assert_eq!(wait(&flight), 7);
                        assert!(!flight.is_current(), "the outcome is out while the flight can be joined");
                        assert_eq!(flight.landed_at(), 1, "the outcome is out without the time of the landing");
                        flight.generation
                    }
                    Boarding::Refused(_) => panic!("nobody is refused"),
                }
            }

            /// Each thread calls as often as it says: it is never given a flight it has already had.
            fn callers_of<const THREADS: usize>(times: [u32; THREADS]) {
                let (table, running) = (Arc::new(TestTable::new(1)), Arc::new(AtomicU32::new(0)));
                let threads = times.map(|times| {
                    let (table, running) = (Arc::clone(&table), Arc::clone(&running));
                    thread::spawn(move || {
                        let mut last = 0;
                        for _ in 0..times {
                            let generation = call(&table, &running);
                            assert!(generation > last, "a caller was given the same flight again");
                            last = generation;
                        }
                    })
                });
                for thread in threads {
                    thread.join().unwrap();
                }
                assert_eq!((table.stats().in_flight, table.unsettled()), (0, 0));
            }

            /// One call each.
            pub(crate) fn three_callers() {
                callers_of([1, 1, 1]);
            }

            /// Two callers, who call again.
            pub(crate) fn callers() {
                callers_of([2, 2]);
            }

            /// A flight lands while it is forgotten and the next one begins: each lands by itself, once.
            pub(crate) fn forgetting() {
                let table = Arc::new(TestTable::new(1));
                let first = lead(&table);
                let other_table = Arc::clone(&table);
                let other = thread::spawn(move || {
                    forget(&other_table);
                    let second = lead(&other_table);
                    assert!(second.is_current());
                    assert!(land(&other_table, &second, 2, false), "the newer flight was disturbed");
                });
                assert!(land(&table, &first, 1, false), "the older flight was disturbed");
                assert!(!first.is_current());
                other.join().unwrap();
                assert_eq!(table.stats().in_flight, 0);
            }

            /// A load writes its result into a cache while a writer forgets its flight and then clears the cache.
            pub(crate) fn writing_back() {
                let table = Arc::new(TestTable::new(1));
                let (flight, cached) = (lead(&table), Arc::new(AtomicBool::new(false)));
                let (other_table, other_cached) = (Arc::clone(&table), Arc::clone(&cached));
                let writer = thread::spawn(move || {
                    forget(&other_table);
                    other_cached.store(false, Ordering::Release);
                });
                flight.write_back(|| cached.store(true, Ordering::Release));
                writer.join().unwrap();
                assert!(!cached.load(Ordering::Acquire), "an older load has written after the forget");
            }

            /// The last caller leaves while another joins: whoever has joined gets the load's result.
            pub(crate) fn leaving() {
                let table = Arc::new(TestTable::new(1));
                let flight = lead(&table);
                let other_table = Arc::clone(&table);
                let other = thread::spawn(move || match board(&other_table) {
                    Boarding::Leader(own) => drop(land(&other_table, &own, 8, false)),
                    Boarding::Follower(joined) => assert_eq!(wait(&joined), 7, "joined a flight that was being aborted"),
                    Boarding::Refused(_) => panic!("nobody is refused"),
                });
                if table.leave(&flight, true) {
                    cut_short(&table, &flight);
                } else {
                    land(&table, &flight, 7, false);
                }
                other.join().unwrap();
                assert_eq!(table.stats().in_flight, 0);
            }

            /// The rest of a load, and whether it is still there.
            struct Load(Arc<AtomicBool>);

            impl Future for Load {
                type Output = ();

                fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
                    Poll::Pending
                }
            }

            impl Drop for Load {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Release);
                }
            }

            fn sleeper(runtime: &Handle, dropped: &Arc<AtomicBool>) -> Sleeper<Load> {
                let runtime = runtime.enter(Runtime::current).expect("it was entered");
                Sleeper::new(runtime, Load(Arc::clone(dropped)))
            }

            /// What the leader does with a load that is not ready, and with one that is past its deadline already.
            fn suspend(flight: &TestFlight, runtime: &Handle, dropped: &Arc<AtomicBool>, is_late: bool) {
                let rest = flight.keep_load(|| Box::new(sleeper(runtime, dropped)) as Box<_>);
                if is_late || flight.was_woken() {
                    rest.wake();
                }
                if flight.has_landed() {
                    rest.abort();
                }
            }

            /// What the load's waker does.
            fn wake(flight: &TestFlight) {
                flight.note_woken();
                if let Some(rest) = flight.suspended_load() {
                    rest.wake();
                }
            }

            /// A load is woken while it is being suspended: it is spawned, once.
            pub(crate) fn waking() {
                let (runtime, dropped) = (Handle::new(), Arc::new(AtomicBool::new(false)));
                let flight = lead(&TestTable::new(1));
                let other_flight = Arc::clone(&flight);
                let waker = thread::spawn(move || wake(&other_flight));
                suspend(&flight, &runtime, &dropped, false);
                waker.join().unwrap();
                assert_eq!(runtime.spawned(), 1, "a wake was lost");
                runtime.drop_task();
            }

            /// A drain aborts a flight while its load is being suspended: the load goes.
            pub(crate) fn aborting_while_suspending() {
                aborting(false);
            }

            /// The same for a load that is late when it is suspended.
            pub(crate) fn aborting_a_late_load() {
                aborting(true);
            }

            fn aborting(is_late: bool) {
                let (runtime, dropped) = (Handle::new(), Arc::new(AtomicBool::new(false)));
                let table = TestTable::new(1);
                let flight = lead(&table);
                let other_flight = Arc::clone(&flight);
                let drain = thread::spawn(move || cut_short(&table, &other_flight));
                suspend(&flight, &runtime, &dropped, is_late);
                drain.join().unwrap();
                assert!(dropped.load(Ordering::Acquire), "the load of an aborted flight goes on");
            }

            /// A load is suspended, woken and aborted by three threads at the same time: it is spawned once at most, and it
            /// goes.
            pub(crate) fn suspending() {
                let (runtime, dropped) = (Handle::new(), Arc::new(AtomicBool::new(false)));
                let table = TestTable::new(1);
                let flight = lead(&table);
                let (to_wake, to_abort) = (Arc::clone(&flight), Arc::clone(&flight));
                let waker = thread::spawn(move || wake(&to_wake));
                let drain = thread::spawn(move || cut_short(&table, &to_abort));
                suspend(&flight, &runtime, &dropped, false);
                waker.join().unwrap();
                drain.join().unwrap();
                assert!(dropped.load(Ordering::Acquire), "the load of an aborted flight goes on");
            }

            /// Two threads call while a third one forgets: each call has a result, and no flight is left.
            pub(crate) fn callers_and_a_writer() {
                let table = Arc::new(TestTable::new(1));
                let other_table = Arc::clone(&table);
                let other = thread::spawn(move || call(&other_table, &AtomicU32::new(0)));
                let writers_table = Arc::clone(&table);
                let writer = thread::spawn(move || {
                    if let Some(forgotten) = forget(&writers_table) {
                        assert!(!forgotten.is_current());
                    }
                });
                call(&table, &AtomicU32::new(0));
                other.join().unwrap();
                writer.join().unwrap();
                assert_eq!((table.stats().in_flight, table.unsettled()), (0, 0));
            }

            /// Two threads wake a load while a third one aborts it: it is spawned once at most, and it goes.
            pub(crate) fn aborting_while_waking() {
                let (runtime, dropped) = (Handle::new(), Arc::new(AtomicBool::new(false)));
                let sleeper = Arc::new(sleeper(&runtime, &dropped));
                let wakers = [(); 2].map(|()| {
                    let sleeper = Arc::clone(&sleeper);
                    thread::spawn(move || sleeper.wake())
                });
                sleeper.abort();
                for waker in wakers {
                    waker.join().unwrap();
                }
                assert!(dropped.load(Ordering::Acquire), "an aborted load goes on");
            }
        }
    };
}

//! What the model's threads do. A macro, because each planted kernel has types of its own.

/// The scenarios over one planted kernel.
macro_rules! scenarios {
    ($kernel:ident) => {
        // Not every scenario is for every kernel.
        #[allow(dead_code)]
        pub(super) mod $kernel {
            use crate::$kernel::kernel::{Boarding, Flight, Leg, Parked, Table, Ticket};
            use loom::future::block_on;
            use loom::sync::atomic::{AtomicU32, Ordering};
            use loom::thread;
            use std::future::poll_fn;
            use std::sync::Arc;
            use std::task::Poll;

            type Air = Table<u8, u32, u32>;
            type Craft = Arc<Flight<u8, u32, u32>>;

            const KEY: u8 = 1;
            const ABORTED: u32 = u32::MAX;

            fn board(air: &Air, finish: bool) -> Boarding<u8, u32, u32> {
                air.board(&KEY, &Ticket { max_callers: u32::MAX, finish, not_before: 0 }, |_| true)
            }

            fn wait(flight: &Craft) -> u32 {
                let mut slot = None;
                block_on(poll_fn(|cx| flight.poll_landed(cx, &mut slot)))
            }

            /// One call: the generation of its flight, and the loads running beside its own.
            fn call(air: &Air, running: &AtomicU32) -> u64 {
                match board(air, true) {
                    Boarding::Leader(flight) => {
                        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two loads of a key overlap");
                        running.fetch_sub(1, Ordering::SeqCst);
                        assert!(air.land_own(&flight, 0, 7, || ()).is_some(), "only the leader lands its flight");
                        flight.generation
                    }
                    Boarding::Follower(flight) => {
                        assert_eq!(wait(&flight), 7);
                        assert!(!flight.is_current(), "the outcome is out while the flight can be joined");
                        flight.generation
                    }
                    Boarding::Refused(_) => panic!("nobody is refused"),
                }
            }

            /// Two threads call, one of them `times` times: it is never given a flight it has already had.
            fn callers_of(times: u32) {
                let (air, running) = (Arc::new(Air::new(1)), Arc::new(AtomicU32::new(0)));
                let (other_air, other_running) = (Arc::clone(&air), Arc::clone(&running));
                let other = thread::spawn(move || {
                    let mut last = 0;
                    for _ in 0..times {
                        let generation = call(&other_air, &other_running);
                        assert!(generation > last, "a caller was given the same flight again");
                        last = generation;
                    }
                });
                call(&air, &running);
                other.join().unwrap();
                assert_eq!(air.tallies().in_flight, 0);
            }

            /// One call each.
            pub(crate) fn two_callers() {
                callers_of(1);
            }

            /// One of them calls again.
            pub(crate) fn callers() {
                callers_of(2);
            }

            /// A flight lands while it is forgotten and the next one begins: each lands by itself, once.
            pub(crate) fn forgetting() {
                let air = Arc::new(Air::new(1));
                let Boarding::Leader(first) = board(&air, true) else { panic!("the first caller leads") };
                let other_air = Arc::clone(&air);
                let other = thread::spawn(move || {
                    other_air.forget(&KEY, |_| true);
                    let Boarding::Leader(second) = board(&other_air, true) else { panic!("nobody else flies") };
                    assert!(second.is_current());
                    assert!(other_air.land(&second, 0, 2, || ()).is_some(), "the newer flight was disturbed");
                });
                assert!(air.land(&first, 0, 1, || ()).is_some(), "the older flight was disturbed");
                assert!(!first.is_current());
                other.join().unwrap();
                assert_eq!(air.tallies().in_flight, 0);
            }

            /// The last caller leaves while another joins: whoever has joined gets the load's result.
            pub(crate) fn leaving() {
                let air = Arc::new(Air::new(1));
                let Boarding::Leader(flight) = board(&air, false) else { panic!("the first caller leads") };
                let other_air = Arc::clone(&air);
                let other = thread::spawn(move || match board(&other_air, false) {
                    Boarding::Leader(own) => drop(other_air.land(&own, 0, 8, || ())),
                    Boarding::Follower(joined) => assert_eq!(wait(&joined), 7, "joined a flight that was being aborted"),
                    Boarding::Refused(_) => panic!("nobody is refused"),
                });
                let abandoned = air.leave(&flight);
                air.land(&flight, 0, if abandoned { ABORTED } else { 7 }, || ());
                other.join().unwrap();
                assert_eq!(air.tallies().in_flight, 0);
            }

            /// The watch relieves a leader that is being polled: the load is in one pair of hands, and both see the end.
            pub(crate) fn relieving() {
                let air = Arc::new(Air::new(1));
                let Boarding::Leader(flight) = board(&air, true) else { panic!("the first caller leads") };
                let (other_air, other_flight) = (Arc::clone(&air), Arc::clone(&flight));
                let watch = thread::spawn(move || {
                    if let Some(Parked { load, driver }) = other_flight.relieve() {
                        driver.wake();
                        let Leg::Parked = other_flight.park(load, std::task::Waker::noop().clone()) else { panic!("not landed") };
                        let Parked { load, .. } = other_flight.claim().expect("nobody else may take the load of its own task");
                        other_air.land(&other_flight, 0, load, || ());
                    }
                });
                assert_eq!(lead(&air, &flight), 7);
                watch.join().unwrap();
                assert_eq!(air.tallies().in_flight, 0);
            }

            /// A leader leaves, taking its load to a task of its own, while the watch relieves it: that task keeps the load.
            pub(crate) fn handing_over() {
                let air = Arc::new(Air::new(1));
                let Boarding::Leader(flight) = board(&air, true) else { panic!("the first caller leads") };
                let Leg::Parked = flight.park(7, std::task::Waker::noop().clone()) else { panic!("nobody has come yet") };
                let other_flight = Arc::clone(&flight);
                let watch = thread::spawn(move || other_flight.relieve().map(|parked| parked.load));
                let own = flight.claim_as_leader().map(|parked| parked.load);
                if let Some(load) = own {
                    flight.detach();
                    let parked = flight.park(load, std::task::Waker::noop().clone());
                    assert!(matches!(parked, Leg::Parked), "the load was taken from its own task");
                }
                assert!(own.is_some() != watch.join().unwrap().is_some(), "the load is in one pair of hands");
            }

            /// A leader whose load is woken once: it parks it, takes it back and lands, or finds itself relieved.
            fn lead(air: &Air, flight: &Craft) -> u32 {
                let (mut slot, mut parked) = (None, false);
                block_on(poll_fn(|cx| {
                    if !std::mem::replace(&mut parked, true) {
                        match flight.park(7, cx.waker().clone()) {
                            Leg::Parked => cx.waker().wake_by_ref(),
                            Leg::Relieved(load) => drop(air.land(flight, 0, load, || ())),
                            Leg::Overtaken(_) => (),
                        }
                    } else if let Some(Parked { load, .. }) = flight.claim_as_leader() {
                        let own = air.land_own(flight, 0, load, || ());
                        return Poll::Ready(own.expect("whoever holds the load lands the flight"));
                    }
                    if flight.is_detached() || flight.has_landed() { flight.poll_landed(cx, &mut slot) } else { Poll::Pending }
                }))
            }
        }
    };
}

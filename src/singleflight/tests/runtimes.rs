//! Groups in runtimes of every kind: several, without time, none, ended, standing still, blocked.

use super::*;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Builder;

const DEADLINE: Duration = Duration::from_millis(50);

fn group() -> TextGroup {
    Group::builder().deadline(DEADLINE).build()
}

/// Drives a call on this thread, without any runtime.
fn block_on<F: Future>(call: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut call = std::pin::pin!(call);
    loop {
        match call.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn after_a_runtime_that_ended_at_once_there_are_still_deadlines() {
    let (group, first) = (group(), runtime());
    begin(&group, "first", &first);
    drop(first);
    let second = runtime().block_on(group.work("second", never));
    assert!(matches!(second, Err(Error::TimedOut)));
}

#[test]
fn a_runtime_that_ends_takes_no_deadline_of_another_along() {
    let (group, first, second) = (group(), threads(), runtime());
    begin(&group, "first", &first);
    let mut call = Box::pin(group.work("second", never));
    second.block_on(async { assert!(poll_once(&mut call).is_pending()) });
    drop(first);
    assert!(matches!(second.block_on(call), Err(Error::TimedOut)));
}

#[test]
fn a_load_stays_in_the_runtime_of_its_leader() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let (first, second) = (threads(), runtime());
    begin(&group, "first", &first);
    let load = gate.load(7);
    let mut call = Box::pin(group.work("second", || load));
    second.block_on(async {
        assert!(poll_once(&mut call).is_pending());
        // Long enough for anyone who would take the load away.
        tokio::time::sleep(DEADLINE).await;
    });
    drop(first);
    gate.open();
    assert_eq!(*second.block_on(call).unwrap(), 7);
}

#[test]
fn a_runtime_that_stands_still_keeps_no_deadline_from_others() {
    let (group, first, second) = (group(), runtime(), runtime());
    begin(&group, "stuck", &first);
    let own = second.block_on(group.work("own", never));
    assert!(matches!(own, Err(Error::TimedOut)));
    let joined = second.block_on(group.work("stuck", never_called));
    assert!(matches!(joined, Err(Error::TimedOut)));
    let again = second.block_on(group.work("stuck", || async { Ok(7) }));
    assert_eq!(*again.unwrap(), 7);
}

#[test]
fn followers_of_a_load_that_goes_down_with_its_runtime_load_for_themselves() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let (first, second) = (runtime(), threads());
    begin(&group, "key", &first);
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (group, load) = (group.clone(), gate.load(7));
            second.spawn(async move { group.report("key", |_| load).await })
        })
        .collect();
    second.block_on(until(|| aboard(&group, "key") == 6));
    drop(first);
    second.block_on(until(|| aboard(&group, "key") == 5));
    gate.open();
    let mut leaders = 0;
    for call in calls {
        let (value, role, callers) = seen(&second.block_on(call).unwrap());
        leaders += u32::from(role == Role::Leader);
        assert_eq!((value, callers), (7, 5));
    }
    assert_eq!((leaders, gate.arrived()), (1, 1));
}

#[test]
fn a_static_group_serves_one_runtime_after_the_other() {
    static GROUP: std::sync::LazyLock<TextGroup> = std::sync::LazyLock::new(group);
    for _ in 0..3 {
        let runtime = runtime();
        let late = runtime.block_on(GROUP.work("late", never));
        assert!(matches!(late, Err(Error::TimedOut)));
        let load = || async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(7)
        };
        assert_eq!(*runtime.block_on(GROUP.work("key", load)).unwrap(), 7);
        begin(&GROUP, "left behind", &runtime);
    }
}

#[test]
fn a_runtime_that_keeps_no_time_is_none() {
    let group = group();
    let runtime = Builder::new_current_thread().build().unwrap();
    let ready = runtime.block_on(group.work("key", || async { Ok(7) }));
    assert_eq!(*ready.unwrap(), 7);
    let slow = runtime.block_on(group.work("key", never));
    assert!(matches!(slow, Err(Error::NoRuntime)));
    let started = runtime.block_on(async { group.start("key", |_| never()).await });
    assert!(matches!(started.result, Err(Error::NoRuntime)));
    assert_eq!(in_flight(&group), 0);
}

#[test]
fn outside_of_a_runtime_it_does_not_matter_what_ran_before() {
    let group = group();
    let refused = || matches!(block_on(group.work("key", never)), Err(Error::NoRuntime));
    assert!(refused());
    let inside = threads();
    begin(&group, "other", &inside);
    assert!(refused());
    drop(inside);
    assert!(refused());
}

#[test]
fn a_caller_outside_of_a_runtime_can_follow() {
    let (group, gate, inside) = (TextGroup::new(), Gate::new(), threads());
    let (leader, load) = (group.clone(), gate.load(7));
    let leader = inside.spawn(async move { leader.work("key", || load).await });
    inside.block_on(until(|| gate.arrived() == 1));
    let follower = group.clone();
    let follower = std::thread::spawn(move || block_on(follower.work("key", never_called)));
    inside.block_on(until(|| aboard(&group, "key") == 2));
    gate.open();
    assert_eq!(*follower.join().unwrap().unwrap(), 7);
    assert_eq!(*inside.block_on(leader).unwrap().unwrap(), 7);
}

#[test]
fn a_leader_outside_of_a_runtime_does_not_fail_its_followers() {
    let (group, inside) = (TextGroup::new(), threads());
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let leader = group.clone();
    let leader = std::thread::spawn(move || {
        let load = || async move {
            may_go_on.recv().unwrap();
            never().await
        };
        block_on(leader.work("key", load))
    });
    inside.block_on(until(|| aboard(&group, "key") == 1));
    let follower = group.clone();
    let load = || async { Ok(7) };
    let follower = inside.spawn(async move { follower.report("key", |_| load()).await });
    inside.block_on(until(|| aboard(&group, "key") == 2));
    go_on.send(()).unwrap();
    assert!(matches!(leader.join().unwrap(), Err(Error::NoRuntime)));
    let report = inside.block_on(follower).unwrap();
    assert_eq!(seen(&report), (7, Role::Leader, 1));
}

tokio::task_local! {
    static CALLER: u32;
}

/// What a load sees of its leader's task-locals: at once, and after a wait of so long.
async fn locals_after(wait: Duration) -> (bool, bool) {
    let group: Group<u8, (bool, bool), ()> = Group::new();
    let load = || async move {
        let at_once = CALLER.try_with(|_| ()).is_ok();
        tokio::time::sleep(wait).await;
        Ok((at_once, CALLER.try_with(|_| ()).is_ok()))
    };
    *CALLER.scope(1, group.work(&1, load)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn how_long_a_load_takes_does_not_matter_to_what_it_sees_of_its_leader() {
    for wait in [0, 1, 5, 30, 1_000] {
        let seen = locals_after(Duration::from_millis(wait)).await;
        assert_eq!(seen, (true, wait == 0), "{wait} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_runs_in_one_span_from_its_first_poll_to_its_last() {
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());
    let current = || tracing::Span::current().id();
    let load = move || async move {
        let mut spans = vec![current()];
        for wait in [1, 30, 1_000] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            spans.push(current());
        }
        Ok::<_, ()>(spans)
    };
    let leaders = tracing::info_span!("leader");
    let group: Group<u8, Vec<_>, ()> = Group::new();
    let call = tracing::Instrument::instrument(group.report(&1, |_| load()), leaders.clone());
    let report = call.await;
    assert_eq!(*report.result.unwrap(), vec![leaders.id(); 4]);
}

#[test]
fn a_load_that_blocks_its_thread_is_waited_for_past_its_deadline_by_all_but_those_with_a_limit() {
    let (group, inside) = (group(), threads());
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let leader = group.clone();
    let leader = inside.spawn(async move {
        let load = || async move {
            tokio::task::yield_now().await;
            may_go_on.recv().unwrap();
            Ok(7)
        };
        leader.work("key", load).await
    });
    inside.block_on(until(|| aboard(&group, "key") == 1));
    let limited = inside.block_on(group.work("key", never_called).wait_limit(2 * DEADLINE));
    assert!(matches!(limited, Err(Error::WaitLimit)));
    let mut another = Box::pin(group.work("key", never_called));
    assert!(poll_once(&mut another).is_pending());
    go_on.send(()).unwrap();
    assert_eq!(*inside.block_on(leader).unwrap().unwrap(), 7);
    assert_eq!(*inside.block_on(another).unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_may_block_in_place_and_ask_for_other_keys_meanwhile() {
    let group = TextGroup::new();
    let inner = group.clone();
    let call = group.work("outer", || async move {
        tokio::task::yield_now().await;
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(7)
        };
        let ask = async {
            let own = inner.work("outer", never_called).await;
            assert!(matches!(own, Err(Error::Reentrant)));
            inner.work("inner", slow).await
        };
        let runtime = tokio::runtime::Handle::current();
        let value = tokio::task::block_in_place(|| runtime.block_on(ask));
        value.map(|value| *value).map_err(|error| error.to_string())
    });
    assert_eq!(*call.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_local_set_lead_and_follow() {
    let (group, gate) = (TextGroup::new(), Gate::new());
    let local = tokio::task::LocalSet::new();
    let spawn = || {
        let (group, load) = (group.clone(), gate.load(7));
        // What keeps it from moving to another thread.
        let here = std::rc::Rc::new(());
        local.spawn_local(async move {
            let value = group.work("key", || load).await;
            drop(here);
            value
        })
    };
    let (leader, follower) = (spawn(), spawn());
    local.run_until(until(|| aboard(&group, "key") == 2)).await;
    leader.abort();
    gate.open();
    let value = local.run_until(follower).await.unwrap();
    assert_eq!((*value.unwrap(), gate.arrived()), (7, 1));
}

#[test]
fn a_limit_whose_runtime_has_ended_counts_on_in_the_next() {
    let (group, first, second) = (TextGroup::new(), runtime(), threads());
    begin(&group, "key", &second);
    let call = group.work("key", never_called);
    let mut call = Box::pin(call.wait_limit(Duration::from_millis(50)));
    first.block_on(async { assert!(poll_once(&mut call).is_pending()) });
    drop(first);
    assert!(matches!(second.block_on(call), Err(Error::WaitLimit)));
}

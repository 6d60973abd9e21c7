//! What calls of the group take, without a server around them, and the same calls of the plain reference.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use stampede::singleflight::Group;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::unconstrained;

use super::plain::Plain;
use super::{Allocated, allocations, counted, runtime};

type Numbers = Group<u64, u64, Infallible>;

/// Calls of [`alone`].
const CALLS: u32 = 10_000;

/// Calls for different keys one after the other, with loads that are ready at once.
pub(crate) fn alone() -> io::Result<Allocated> {
    let group = Numbers::new();
    one_after_the_other(move |keys| {
        let group = group.clone();
        async move {
            for key in keys {
                let _ = group.work(&key, || async { Ok(7) }).await;
            }
        }
    })
}

/// The same, of the reference.
pub(crate) fn plain_alone() -> io::Result<Allocated> {
    let plain = Plain::default();
    one_after_the_other(move |keys| {
        let plain = plain.clone();
        async move {
            for key in keys {
                let _ = plain.work(key, || async { 7 }).await;
            }
        }
    })
}

fn one_after_the_other<F: Future<Output = ()> + 'static>(
    calls: impl Fn(std::ops::Range<u64>) -> F,
) -> io::Result<Allocated> {
    let runtime = runtime()?;
    runtime.block_on(calls(0..1_000));
    let keys = 1_000..1_000 + u64::from(CALLS);
    Ok(shared(&runtime, Box::pin(calls(keys)), CALLS))
}

/// Callers of one load, from boarding to the last one's answer, per caller.
pub(crate) fn crowd(callers: u32) -> io::Result<Allocated> {
    let group = Numbers::new();
    together(callers, move |ended| {
        let group = group.clone();
        let load = || async move {
            until(ended).await;
            Ok(7)
        };
        async move {
            let _ = group.work(&1, load).await;
        }
    })
}

/// The same, of the reference.
pub(crate) fn plain_crowd(callers: u32) -> io::Result<Allocated> {
    let plain = Plain::default();
    together(callers, move |ended| {
        let plain = plain.clone();
        let load = || async move {
            until(ended).await;
            7
        };
        async move {
            let _ = plain.work(1, load).await;
        }
    })
}

async fn until(ended: Option<oneshot::Receiver<()>>) {
    if let Some(ended) = ended {
        let _ = ended.await;
    }
}

/// The first of the callers gets what ends the load, once all have called.
fn together<F: Future<Output = ()> + 'static>(
    callers: u32,
    call: impl Fn(Option<oneshot::Receiver<()>>) -> F,
) -> io::Result<Allocated> {
    let runtime = runtime()?;
    let (end, ended) = oneshot::channel::<()>();
    let mut ended = Some(ended);
    // Without tokio's budget for one poll, which would have those who are left polled again and again.
    let call = |_| Box::pin(unconstrained(call(ended.take())));
    let mut waiting: Vec<_> = (0..callers).map(call).collect();
    let mut end = Some(end);
    let everyone = std::future::poll_fn(move |context| {
        waiting.retain_mut(|caller| Pin::new(caller).poll(context).is_pending());
        if let Some(end) = end.take() {
            let _ = end.send(());
        }
        if waiting.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    Ok(shared(&runtime, Box::pin(everyone), callers))
}

/// Counts all of it, and each call's share.
fn shared(runtime: &Runtime, calling: Pin<Box<dyn Future<Output = ()>>>, calls: u32) -> Allocated {
    let before = allocations::so_far();
    counted(runtime, calling);
    let each = (allocations::so_far() - before) as f64 / f64::from(calls);
    Allocated { each, calls }
}

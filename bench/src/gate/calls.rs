//! What calls of the group take, without a server around them.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use stampede::singleflight::Group;
use tokio::sync::oneshot;

use super::{Allocated, counted, runtime};

type Numbers = Group<u64, u64, Infallible>;

/// Calls for different keys one after the other, with loads that are ready at once.
pub(crate) fn alone() -> io::Result<Allocated> {
    const CALLS: u32 = 10_000;
    let group = Numbers::new();
    let calls = move |keys: std::ops::Range<u64>| {
        let group = group.clone();
        async move {
            for key in keys {
                let _ = group.work(&key, || async { Ok(7) }).await;
            }
        }
    };
    let runtime = runtime()?;
    runtime.block_on(calls(0..1_000));
    let keys = 1_000..1_000 + u64::from(CALLS);
    Ok(counted(&runtime, Box::pin(calls(keys)), CALLS))
}

/// Callers of one load, from boarding to the last one's answer, per caller.
pub(crate) fn crowd(callers: u32) -> io::Result<Allocated> {
    let group = Numbers::new();
    let runtime = runtime()?;
    let (end, ended) = oneshot::channel::<()>();
    let mut ended = Some(ended);
    let mut waiting: Vec<_> = Vec::with_capacity(callers as usize);
    for _ in 0..callers {
        let ended = ended.take();
        let load = || async move {
            if let Some(ended) = ended {
                let _ = ended.await;
            }
            Ok(7)
        };
        let group = group.clone();
        waiting.push(Box::pin(async move { group.work(&1, load).await }));
    }
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
    Ok(counted(&runtime, Box::pin(everyone), callers))
}

//! A load's own task, for when its leader has left, was relieved, or never was to drive.

use super::inner::{Craft, Inner};
use super::kernel::{Leg, Parked};
use super::load::{self, Load};
use super::outcome::Ending;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Drives a load to its end. If it is dropped before, with its runtime, its flight ends as aborted.
pub(crate) struct Driver<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) group: Arc<Inner<K, V, E>>,
    pub(crate) flight: Arc<Craft<K, V, E>>,
    /// The load before its first poll here; between polls it is parked in the flight.
    pub(crate) load: Option<Load<V, E>>,
}

impl<K, V, E> Driver<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn take_load(&mut self, cx: &Context<'_>) -> Option<Parked<Load<V, E>>> {
        let Some(load) = self.load.take() else {
            return self.flight.claim();
        };
        let driver = cx.waker().clone();
        Some(Parked { load, driver })
    }
}

impl<K, V, E> Future for Driver<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.flight.has_landed() {
            return Poll::Ready(());
        }
        let Some(Parked { load, mut driver }) = self.take_load(cx) else {
            return Poll::Ready(());
        };
        match load::advance(self.group.id_of(&self.flight), load, cx) {
            Ok(ending) => drop(self.group.land(&self.flight, ending)),
            Err(load) => {
                driver.clone_from(cx.waker());
                match self.flight.park(load, driver) {
                    Leg::Parked => return Poll::Pending,
                    Leg::Overtaken(load) => drop(load::discard(load)),
                    Leg::Relieved(load) => {
                        debug_assert!(
                            false,
                            "a load that has a task of its own is not taken from it"
                        );
                        self.load = Some(load);
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(())
    }
}

impl<K, V, E> Drop for Driver<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            load::discard(load);
        }
        // Without effect on a flight that has landed.
        self.group.land(&self.flight, Ending::Aborted);
    }
}

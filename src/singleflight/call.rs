//! The future of a call: nothing before its first poll, then a leader's first leg or a follower's boarding.
//!
//! A load that is ready at its first poll is done here, within that poll and without a task, a timer or a look at the
//! clock; everything later belongs to the passenger.

use super::error::Error;
use super::group::Group;
use super::inner::{Boarded, Craft, NoRuntime};
use super::lineage::Wait;
use super::load::{self, Load};
use super::options::CallOptions;
use super::outcome::{Ending, Generation, Report, Ride, Role};
use super::passenger::Passenger;
use super::patience::Patience;
use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A call by reference, whose result `finish` brings into its caller's form.
pub(crate) struct Call<'g, 'k, Q, K, V, E, F, T>
where
    Q: ?Sized,
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    group: &'g Group<K, V, E>,
    key: &'k Q,
    options: CallOptions,
    loader: Option<F>,
    seat: Option<Passenger<K, V, E>>,
    patience: Patience,
    finish: T,
}

impl<'g, 'k, Q, K, V, E, F, T> Call<'g, 'k, Q, K, V, E, F, T>
where
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Borrow<Q> + Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) fn new<Fut>(
        group: &'g Group<K, V, E>,
        key: &'k Q,
        options: CallOptions,
        loader: F,
        finish: T,
    ) -> Self
    where
        F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        Self {
            group,
            key,
            options,
            loader: Some(loader),
            seat: None,
            patience: Patience::default(),
            finish,
        }
    }

    /// Boards; `Err` is a report that needs no waiting.
    fn board<Fut>(
        &self,
        loader: F,
        cx: &mut Context<'_>,
    ) -> Result<Passenger<K, V, E>, Report<V, E>>
    where
        F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        match self.group.inner.board(self.key, &self.options) {
            Boarded::Leader(flight, wait) => self.lead(flight, wait, loader, cx),
            Boarded::Follower(flight, wait) => {
                Ok(self.passenger(flight, Role::Follower, false, wait))
            }
            Boarded::Refused(error) => Err(Report::refused(error)),
        }
    }

    /// The leader's first leg.
    fn lead<Fut>(
        &self,
        flight: Arc<Craft<K, V, E>>,
        wait: Option<Box<Wait>>,
        loader: F,
        cx: &mut Context<'_>,
    ) -> Result<Passenger<K, V, E>, Report<V, E>>
    where
        F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let group = &self.group.inner;
        let id = group.id_of(&flight);
        let load: Load<V, E> = match load::begin_and_advance(id, || loader(&flight), cx) {
            Err(load) => load,
            Ok(ending) => {
                return match group.land_own(&flight, ending) {
                    Some(ending) => Err(at_once(&flight, ending)),
                    None => Ok(self.passenger(flight, Role::Leader, false, wait)),
                };
            }
        };
        if let Err(NoRuntime) = group.suspend(&flight) {
            load::discard(load);
            group.land(&flight, Ending::Aborted);
            return Err(Report::refused(Error::NoRuntime));
        }
        let mut passenger = self.passenger(flight, Role::Leader, true, wait);
        passenger.park(group, load, cx.waker().clone());
        Ok(passenger)
    }

    fn passenger(
        &self,
        flight: Arc<Craft<K, V, E>>,
        role: Role,
        driving: bool,
        wait: Option<Box<Wait>>,
    ) -> Passenger<K, V, E> {
        let now = || self.group.inner.clock.now();
        // A leader's wait begins with its flight: one look at the clock does for both.
        let boarded_at = flight.departed_at().filter(|_| driving).unwrap_or_else(now);
        Passenger {
            flight,
            role,
            driving,
            boarded_at,
            slot: None,
            wait,
        }
    }

    /// A caller that has to wait; the first look is due at once, because a follower has not registered yet.
    fn take_seat(
        &mut self,
        mut passenger: Passenger<K, V, E>,
        cx: &mut Context<'_>,
    ) -> Poll<Report<V, E>> {
        if !passenger.driving
            && let Poll::Ready(report) = passenger.poll(&self.group.inner, cx)
        {
            return Poll::Ready(report);
        }
        self.seat = Some(passenger);
        if self.options.wait_at_most.is_none() {
            return Poll::Pending;
        }
        self.patience = Patience::of(self.options.wait_at_most);
        self.check_patience(cx)
    }

    fn check_patience(&mut self, cx: &mut Context<'_>) -> Poll<Report<V, E>> {
        if !self.patience.ran_out(cx) {
            return Poll::Pending;
        }
        let Some(passenger) = self.seat.take() else {
            return Poll::Pending;
        };
        Poll::Ready(passenger.give_up(&self.group.inner))
    }

    fn poll_report<Fut>(&mut self, cx: &mut Context<'_>) -> Poll<Report<V, E>>
    where
        F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        if let Some(loader) = self.loader.take() {
            return match self.board(loader, cx) {
                Ok(passenger) => self.take_seat(passenger, cx),
                Err(report) => Poll::Ready(report),
            };
        }
        let seat = self
            .seat
            .as_mut()
            .expect("a call is not polled again after its end");
        match seat.poll(&self.group.inner, cx) {
            Poll::Ready(report) => {
                self.seat = None;
                Poll::Ready(report)
            }
            Poll::Pending => self.check_patience(cx),
        }
    }
}

fn at_once<K, V, E>(flight: &Craft<K, V, E>, ending: Ending<V, E>) -> Report<V, E> {
    let callers = flight.roster.joined();
    let ride = Ride {
        role: Role::Leader,
        callers,
        generation: Generation(flight.generation),
        waited: Duration::ZERO,
    };
    Report {
        result: ending.into_result(),
        ride: Some(ride),
    }
}

/// Nothing in a call is ever pinned in place: a load has a box of its own.
impl<Q: ?Sized, K, V, E, F, T> Unpin for Call<'_, '_, Q, K, V, E, F, T>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
}

impl<Q, K, V, E, F, Fut, T, R> Future for Call<'_, '_, Q, K, V, E, F, T>
where
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    K: Borrow<Q> + Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    T: Fn(Report<V, E>) -> R,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let call = &mut *self;
        call.poll_report(cx).map(&call.finish)
    }
}

impl<Q: ?Sized, K, V, E, F, T> Drop for Call<'_, '_, Q, K, V, E, F, T>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(passenger) = self.seat.take() {
            passenger.leave(&self.group.inner);
        }
    }
}

//! The future of a call that was started: aboard from the beginning, whether it is polled or not.

use super::error::Error;
use super::group::Group;
use super::inner::{Boarded, Craft, NoRuntime};
use super::lineage::{self, Wait};
use super::load::{self, Load};
use super::options::CallOptions;
use super::outcome::{Ending, Flown, Report, Role};
use super::passenger::Passenger;
use super::patience::Patience;
use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// A call that has boarded; awaiting it gives its result, dropping it gets off.
#[must_use = "dropping a handle gets off the flight"]
pub struct Handle<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    group: Group<K, V, E>,
    seat: Result<Passenger<K, V, E>, Option<Error<E>>>,
    patience: Patience,
    polled: bool,
}

impl<K, V, E> Handle<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) fn start<Q, F, Fut>(
        group: &Group<K, V, E>,
        key: &Q,
        options: CallOptions,
        loader: F,
    ) -> Self
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let seat = board(group, key, &options, loader).map_err(Some);
        let patience = Patience::of(options.wait_at_most.filter(|_| seat.is_ok()));
        Self {
            group: group.clone(),
            seat,
            patience,
            polled: false,
        }
    }

    /// Awaits the result together with this caller's part in the flight, which errors then come with too.
    pub async fn reported(mut self) -> Report<V, E> {
        std::future::poll_fn(|cx| self.poll_report(cx)).await
    }

    /// A handle that is awaited by a load waits for its flight from then on, and no sooner.
    fn begin_to_wait(&mut self) -> Result<(), Error<E>> {
        let (Ok(passenger), Some(load)) = (&mut self.seat, lineage::polled()) else {
            return Ok(());
        };
        passenger.wait = Wait::begin(load, self.group.inner.id_of(&passenger.flight));
        if passenger.wait.is_some() {
            return Ok(());
        }
        self.group.inner.reentrant.fetch_add(1, Ordering::Relaxed);
        Err(Error::Reentrant)
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report<V, E>> {
        if !std::mem::replace(&mut self.polled, true)
            && let Err(error) = self.begin_to_wait()
        {
            self.leave();
            return Poll::Ready(Report::refused(error));
        }
        let passenger = match &mut self.seat {
            Ok(passenger) => passenger,
            Err(refusal) => {
                let error = refusal
                    .take()
                    .expect("a handle is not polled again after its end");
                return Poll::Ready(Report::refused(error));
            }
        };
        if let Poll::Ready(report) = passenger.poll(&self.group.inner, cx) {
            self.seat = Err(None);
            return Poll::Ready(report);
        }
        if !self.patience.ran_out(cx) {
            return Poll::Pending;
        }
        let seat = std::mem::replace(&mut self.seat, Err(None));
        seat.map_or(Poll::Pending, |passenger| {
            Poll::Ready(passenger.give_up(&self.group.inner))
        })
    }

    fn leave(&mut self) {
        if let Ok(passenger) = std::mem::replace(&mut self.seat, Err(None)) {
            passenger.leave(&self.group.inner);
        }
    }
}

fn board<K, V, E, Q, F, Fut>(
    group: &Group<K, V, E>,
    key: &Q,
    options: &CallOptions,
    loader: F,
) -> Result<Passenger<K, V, E>, Error<E>>
where
    K: Borrow<Q> + Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    F: FnOnce(&Arc<Craft<K, V, E>>) -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    let group = &group.inner;
    let (flight, role) = match group.board(key, options) {
        Boarded::Refused(error) => return Err(error),
        Boarded::Follower(flight, _) => (flight, Role::Follower),
        Boarded::Leader(flight, _) => {
            if let Err(NoRuntime) = group.suspend(&flight) {
                group.land(&flight, Ending::Aborted);
                return Err(Error::NoRuntime);
            }
            match load::begin(group.id_of(&flight), || loader(&flight)) {
                Ok(load) => group.detach(&flight, load as Load<V, E>),
                Err(ending) => drop(group.land(&flight, ending)),
            }
            (flight, Role::Leader)
        }
    };
    Ok(Passenger {
        flight,
        role,
        driving: false,
        boarded_at: group.clock.now(),
        slot: None,
        wait: None,
    })
}

impl<K, V, E> Future for Handle<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    type Output = Result<Flown<V>, Error<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_report(cx).map(Report::into_result)
    }
}

impl<K, V, E> Drop for Handle<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.leave();
    }
}

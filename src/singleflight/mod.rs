//! One load per key, shared by everyone who asks meanwhile.
//!
//! A [`Group`] runs the load of a key in a task of its own, so that it outlives the caller that started it; a panic
//! in it ends as an error for everyone; and a flight leaves the table before its result becomes visible, so that
//! nobody ever joins a flight that has landed.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Runs one load per key at a time.
pub struct Group<K, V, E> {
    inner: Arc<Inner<K, V, E>>,
}

struct Inner<K, V, E> {
    flights: Mutex<HashMap<K, Arc<Flight<V, E>>>>,
    deadline: Duration,
    max_callers: u32,
    on_landing: Box<dyn Fn(&Landing<K>) + Send + Sync>,
}

struct Flight<V, E> {
    callers: AtomicU32,
    began: Instant,
    result: watch::Sender<Option<Result<Arc<V>, Error<E>>>>,
}

/// How a group behaves.
pub struct Builder<K> {
    deadline: Duration,
    max_callers: u32,
    on_landing: Box<dyn Fn(&Landing<K>) + Send + Sync>,
}

/// What a caller wants for itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions {
    wait_at_most: Option<Duration>,
}

impl CallOptions {
    /// Gives up after this long; the load and its other callers go on.
    pub fn wait_at_most(mut self, patience: Duration) -> Self {
        self.wait_at_most = Some(patience);
        self
    }
}

/// A result, and how this caller came by it.
#[derive(Debug)]
pub struct Flown<V> {
    /// What the load brought.
    pub value: Arc<V>,
    /// Whether it was this caller's load.
    pub role: Role,
    /// Everyone who joined, this caller included.
    pub callers: u32,
    /// How long this caller waited.
    pub waited: Duration,
}

impl<V> Flown<V> {
    /// Whether somebody else got the same result.
    pub fn shared(&self) -> bool {
        self.callers > 1
    }
}

/// Whose load it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This caller's.
    Leader,
    /// Another's.
    Follower,
}

/// Why there is no result.
#[derive(Debug)]
pub enum Error<E> {
    /// The load's own error.
    Failed(Arc<E>),
    /// The load panicked.
    Panicked(Arc<str>),
    /// The flight's deadline passed.
    TimedOut,
    /// This caller's own deadline passed.
    WaitedTooLong,
    /// As many callers as may wait do.
    Saturated,
    /// The load was ended before it was done.
    Aborted,
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked(message) => Self::Panicked(Arc::clone(message)),
            Self::TimedOut => Self::TimedOut,
            Self::WaitedTooLong => Self::WaitedTooLong,
            Self::Saturated => Self::Saturated,
            Self::Aborted => Self::Aborted,
        }
    }
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a value.
    Ok,
    /// With the load's own error.
    Error,
    /// With a panic.
    Panic,
    /// By its deadline.
    Timeout,
    /// Before it was done.
    Aborted,
}

/// A flight that has ended.
#[derive(Debug)]
pub struct Landing<K> {
    /// What was loaded.
    pub key: std::marker::PhantomData<K>,
    /// How it ended.
    pub outcome: Outcome,
    /// Everyone who joined; 1 = nobody did.
    pub callers: u32,
}

impl<K> Builder<K> {
    /// The longest that a flight may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most callers of one flight.
    pub fn max_callers(mut self, callers: u32) -> Self {
        self.max_callers = callers;
        self
    }

    /// Is told of every flight that ended.
    pub fn on_landing(mut self, tell: impl Fn(&Landing<K>) + Send + Sync + 'static) -> Self {
        self.on_landing = Box::new(tell);
        self
    }

    /// The group.
    pub fn build<V, E>(self) -> Group<K, V, E> {
        let Self {
            deadline,
            max_callers,
            on_landing,
        } = self;
        let flights = Mutex::new(HashMap::new());
        Group {
            inner: Arc::new(Inner {
                flights,
                deadline,
                max_callers,
                on_landing,
            }),
        }
    }
}

impl<K, V, E> Group<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Sets out to build a group.
    pub fn builder() -> Builder<K> {
        Builder {
            deadline: Duration::from_secs(30),
            max_callers: u32::MAX,
            on_landing: Box::new(|_| ()),
        }
    }

    /// Joins the key's flight, or starts one with this load.
    pub async fn work_with<F, L>(&self, key: &K, options: CallOptions, load: F) -> Result<Flown<V>, Error<E>>
    where
        F: FnOnce(()) -> L + Send + 'static,
        L: Future<Output = Result<V, E>> + Send + 'static,
    {
        let began = Instant::now();
        let (flight, role) = self.join(key)?;
        let mut result = flight.result.subscribe();
        if role == Role::Leader {
            self.fly(key.clone(), Arc::clone(&flight), load);
        }
        let landed = result.wait_for(Option::is_some);
        let landed = match options.wait_at_most {
            Some(patience) => tokio::time::timeout(patience, landed)
                .await
                .map_err(|_| Error::WaitedTooLong)?,
            None => landed.await,
        };
        let value = match landed {
            Ok(result) => result.clone().unwrap_or(Err(Error::Aborted))?,
            Err(_) => return Err(Error::Aborted),
        };
        Ok(Flown {
            value,
            role,
            callers: flight.callers.load(Ordering::Relaxed),
            waited: began.elapsed(),
        })
    }

    /// Waits until no flight is left, for at most this long.
    pub async fn drain(&self, longest: Duration) {
        let empty = async {
            while let Some(flight) = self.any_flight() {
                let _ = flight.result.subscribe().wait_for(Option::is_some).await;
            }
        };
        let _ = tokio::time::timeout(longest, empty).await;
    }

    fn any_flight(&self) -> Option<Arc<Flight<V, E>>> {
        self.inner.flights.lock().values().next().map(Arc::clone)
    }

    fn join(&self, key: &K) -> Result<(Arc<Flight<V, E>>, Role), Error<E>> {
        let mut flights = self.inner.flights.lock();
        if let Some(flight) = flights.get(key) {
            if flight.callers.load(Ordering::Relaxed) >= self.inner.max_callers {
                return Err(Error::Saturated);
            }
            flight.callers.fetch_add(1, Ordering::Relaxed);
            return Ok((Arc::clone(flight), Role::Follower));
        }
        let (result, _) = watch::channel(None);
        let flight = Arc::new(Flight {
            callers: AtomicU32::new(1),
            began: Instant::now(),
            result,
        });
        flights.insert(key.clone(), Arc::clone(&flight));
        Ok((flight, Role::Leader))
    }

    fn fly<F, L>(&self, key: K, flight: Arc<Flight<V, E>>, load: F)
    where
        F: FnOnce(()) -> L + Send + 'static,
        L: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut landing = LandingGuard {
            inner: Arc::clone(&self.inner),
            key,
            flight,
            result: Err(Error::Aborted),
        };
        let deadline = self.inner.deadline;
        tokio::spawn(async move {
            let landing = &mut landing;
            // A task of its own, so that a panic in the load ends here as a value.
            let load = tokio::spawn(async move { tokio::time::timeout(deadline, load(())).await });
            landing.result = match AssertUnwindSafe(load).0.await {
                Ok(Ok(Ok(value))) => Ok(Arc::new(value)),
                Ok(Ok(Err(error))) => Err(Error::Failed(Arc::new(error))),
                Ok(Err(_)) => Err(Error::TimedOut),
                Err(error) if error.is_panic() => Err(Error::Panicked("the load panicked".into())),
                Err(_) => Err(Error::Aborted),
            };
        });
    }
}

/// Lands the flight however its task ends: takes it from the table first, then publishes the result.
struct LandingGuard<K: Eq + Hash, V, E> {
    inner: Arc<Inner<K, V, E>>,
    key: K,
    flight: Arc<Flight<V, E>>,
    result: Result<Arc<V>, Error<E>>,
}

impl<K: Eq + Hash, V, E> Drop for LandingGuard<K, V, E> {
    fn drop(&mut self) {
        let mut flights = self.inner.flights.lock();
        if flights
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            flights.remove(&self.key);
        }
        drop(flights);
        let outcome = match &self.result {
            Ok(_) => Outcome::Ok,
            Err(Error::Failed(_)) => Outcome::Error,
            Err(Error::Panicked(_)) => Outcome::Panic,
            Err(Error::TimedOut) => Outcome::Timeout,
            Err(_) => Outcome::Aborted,
        };
        let callers = self.flight.callers.load(Ordering::Relaxed);
        (self.inner.on_landing)(&Landing {
            outcome,
            callers,
            key: std::marker::PhantomData,
        });
        self.flight.result.send_replace(Some(self.result.clone()));
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no result")
    }
}

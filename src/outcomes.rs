//! What can become of a request, of a change, of a lease and of a call of the cache.
//!
//! The service and the cache decide which it was. [`crate::metrics`] counts it, and gives it a name. How a load ended is
//! the group's to say: [`crate::singleflight::Outcome`].

/// The source of the answer to a request for a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// The in-process copy that Redis or the database has just confirmed.
    Near,
    /// The in-process copy, while the cache could not be asked, or rejected writes and had no entry.
    Local,
    /// The database, by this caller's own load or change.
    Loaded,
    /// The database, by a load that was not this caller's own: another caller's, another replica's, or one here that had
    /// just ended.
    Shared,
    /// A copy that may be old, and is marked so: a cached one that is being loaded again, the stand-in for a slow load, or
    /// the last-known-good. [`StaleReason`] tells them apart.
    Stale,
    /// Nowhere: there is no such template.
    NotFound,
    /// Nowhere: a limit was reached.
    Shed,
    /// Nowhere: the request was wrong, its caller hung up, or the database failed and there is no copy.
    Error,
}

/// Which limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedReason {
    /// `MAX_IN_FLIGHT`.
    InFlight,
    /// `MAX_WAITERS`.
    Waiters,
    /// `DB_QUEUE_TIMEOUT`.
    DbQueue,
    /// `REQUEST_TIMEOUT`, the deadline of the flight, or the longest that a load without a flight may take.
    Deadline,
}

/// Why an answer was stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleReason {
    /// The load took longer than `SOFT_TIMEOUT`: the stand-in answered.
    Slow,
    /// The load failed or was refused: the last-known-good answered.
    Failed,
    /// `STALE_WHILE_REVALIDATE`: it is being loaded again.
    Revalidating,
}

/// Why a cached template is loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Its TTL is about to end.
    Early,
    /// Its TTL has ended, and the old value answers meanwhile.
    Stale,
}

/// How the replicas agreed on which of them loads a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// This replica got the lease.
    Won,
    /// Another replica loaded it.
    Waited,
    /// Another replica held the lease for too long.
    Expired,
    /// Redis could not be asked, or refused.
    Skipped,
}

/// How this process learned of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This process made the change.
    Local,
    /// The database notified it.
    Notified,
    /// Either, and Redis was told later because it was unreachable.
    Replayed,
}

/// The operation of a cache call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Look up.
    Get,
    /// Store.
    Set,
    /// Delete.
    Del,
}

/// Why a cache call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No answer in time.
    Timeout,
    /// No connection.
    Unavailable,
    /// An answer that is not one of ours.
    Corrupt,
    /// The server answered with an error.
    Error,
}

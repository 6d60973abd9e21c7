//! The closed sets of label values. Nothing that a caller sends becomes a label value.

use std::fmt::Debug;

/// A closed set of label values, or a pair of such sets.
pub trait Labels: Copy + Debug + PartialEq + 'static {
    /// The labels' names.
    const NAMES: &'static [&'static str];
    /// How many members there are.
    const COUNT: usize;
    /// Every member, in the order of [`Labels::index`].
    fn all() -> Vec<Self>;
    /// The label values, in the order of [`Labels::NAMES`].
    fn values(self) -> Vec<&'static str>;
    /// The position in [`Labels::all`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident is $label:literal { $($(#[$member_doc:meta])* $member:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$member_doc])* $member,)+ }

        impl $name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$member,)+];

            /// The label's value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$member => $value,)+ }
            }
        }

        impl Labels for $name {
            const NAMES: &'static [&'static str] = &[$label];
            const COUNT: usize = Self::ALL.len();
            fn all() -> Vec<Self> {
                Self::ALL.to_vec()
            }
            fn values(self) -> Vec<&'static str> {
                vec![self.as_str()]
            }
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

labels! {
    /// The source of the answer to a request for a template.
    Source is "source" {
        /// The cache.
        Hit = "hit",
        /// The in-process copy that Redis or the database has just confirmed.
        Near = "near",
        /// The in-process copy, while the cache could not be asked.
        Local = "local",
        /// The database, by this caller's own load or change.
        Loaded = "loaded",
        /// The database, by another caller's load.
        Shared = "shared",
        /// The last-known-good copy.
        Stale = "stale",
        /// Nowhere: there is no such template.
        NotFound = "not_found",
        /// Nowhere: a limit was reached.
        Shed = "shed",
        /// Nowhere: the request was wrong, its caller hung up, or the database failed and there is no copy.
        Error = "error",
    }
}

labels! {
    /// Why an answer was stale.
    StaleReason is "reason" {
        /// The load took longer than `SOFT_TIMEOUT`.
        Slow = "slow",
        /// The load failed or was refused.
        Failed = "failed",
        /// `STALE_WHILE_REVALIDATE`: it is being loaded again.
        Revalidating = "revalidating",
    }
}

labels! {
    /// The operation of a cache call.
    Operation is "op" {
        /// Look up.
        Get = "get",
        /// Store.
        Set = "set",
        /// Delete.
        Del = "del",
    }
}

labels! {
    /// Why a cache call failed.
    Reason is "reason" {
        /// No answer in time.
        Timeout = "timeout",
        /// No connection.
        Unavailable = "unavailable",
        /// An answer that is not one of ours.
        Corrupt = "corrupt",
        /// The server answered with an error.
        Error = "error",
    }
}

labels! {
    /// How a load ended.
    FlightOutcome is "outcome" {
        /// With a value, or with "there is no such template".
        Ok = "ok",
        /// With an error.
        Error = "error",
        /// With a panic.
        Panic = "panic",
        /// By its deadline.
        Timeout = "timeout",
        /// Unfinished, at the end of the process.
        Aborted = "aborted",
    }
}

labels! {
    /// Which limit refused a request.
    ShedReason is "reason" {
        /// `MAX_IN_FLIGHT`.
        InFlight = "in_flight",
        /// `MAX_WAITERS`.
        Waiters = "waiters",
        /// `DB_QUEUE_TIMEOUT`.
        DbQueue = "db_queue",
        /// `REQUEST_TIMEOUT`, or the flight's own deadline.
        Deadline = "deadline",
    }
}

labels! {
    /// How this process learned of a change.
    Origin is "origin" {
        /// This process made the change.
        Local = "local",
        /// The database notified it.
        Notified = "notified",
        /// Either, and Redis was told later because it was unreachable.
        Replayed = "replayed",
    }
}

labels! {
    /// How the replicas agreed on which of them loads a template.
    LeaseOutcome is "outcome" {
        /// This replica got the lease.
        Won = "won",
        /// Another replica loaded it.
        Waited = "waited",
        /// Another replica held the lease for too long.
        Expired = "expired",
        /// Redis could not be asked, or refused.
        Skipped = "skipped",
    }
}

labels! {
    /// Why a cached template is loaded again.
    Refresh is "reason" {
        /// Its TTL is about to end.
        Early = "early",
        /// Its TTL has ended, and the old value answers meanwhile.
        Stale = "stale",
    }
}

labels! {
    /// The service's routes.
    Route is "path" {
        /// Templates.
        TemplateDetails = "/template-details",
        /// The exposition.
        Metrics = "/metrics",
        /// Whether the process lives.
        Healthz = "/healthz",
        /// Whether the process should get traffic.
        Readyz = "/readyz",
        /// The page.
        Page = "/",
        /// The lab.
        Lab = "/lab",
        /// Anything else.
        Unmatched = "<unmatched>",
    }
}

labels! {
    /// The request methods.
    Method is "method" {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// OPTIONS.
        Options = "OPTIONS",
        /// Any other token.
        Other = "OTHER",
    }
}

impl Method {
    /// The member for a request's method.
    pub fn named(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.as_str() == name)
            .unwrap_or(Self::Other)
    }
}

impl<A: Labels, B: Labels> Labels for (A, B) {
    const NAMES: &'static [&'static str] = &{ [A::NAMES[0], B::NAMES[0]] };
    const COUNT: usize = A::COUNT * B::COUNT;
    fn all() -> Vec<Self> {
        A::all()
            .into_iter()
            .flat_map(|a| B::all().into_iter().map(move |b| (a, b)))
            .collect()
    }
    fn values(self) -> Vec<&'static str> {
        [self.0.values(), self.1.values()].concat()
    }
    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }
}

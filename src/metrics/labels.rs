//! The closed sets that label values come from. Nothing that a caller sends ever becomes a label value.

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
    /// Where the answer to a request for a template came from.
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
        /// Nowhere: the request was wrong, its sender hung up, or the database could not say and there is no copy.
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
    /// What the cache was asked to do.
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
        /// With a value, "there is none" included.
        Ok = "ok",
        /// With an error.
        Error = "error",
        /// With a panic.
        Panic = "panic",
        /// By its deadline.
        Timeout = "timeout",
        /// Before it was done: at the end of the process.
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
    /// How this process came to know of a change.
    Origin is "origin" {
        /// It made the change itself.
        Local = "local",
        /// The database said so.
        Notified = "notified",
        /// Either, and Redis was told later, when it could be reached again.
        Replayed = "replayed",
    }
}

labels! {
    /// How the replicas agreed on who loads a template.
    LeaseOutcome is "outcome" {
        /// This one got the lease.
        Won = "won",
        /// Another one loaded it.
        Waited = "waited",
        /// Another one had the lease for too long.
        Expired = "expired",
        /// They could not agree, because Redis could not be asked or refused to say.
        Skipped = "skipped",
    }
}

labels! {
    /// Why a template is loaded anew although it is cached.
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
        /// The one that the service is for.
        TemplateDetails = "/template-details",
        /// The exposition.
        Metrics = "/metrics",
        /// Whether the process lives.
        Healthz = "/healthz",
        /// Whether it should get traffic.
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
    /// The request methods that callers are known to use.
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

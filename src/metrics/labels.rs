//! The names of label values. They come from closed sets, so that nothing that a caller sends becomes a label value.
//!
//! What the members of a set mean is said in [`crate::outcomes`] and [`crate::singleflight`]. The sets of the `http_` series are here.

use std::fmt::Debug;

use crate::outcomes::{
    LeaseOutcome, Operation, Origin, Reason, Refresh, ShedReason, Source, StaleReason,
};
use crate::singleflight::Outcome;

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

/// States the label that a closed set is the values of, and the value that names each member.
macro_rules! names {
    ($($set:ty as $label:literal { $($member:ident = $value:literal),+ $(,)? })+) => { $(
        impl $set {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$member,)+];

            /// The label's value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$member => $value,)+ }
            }
        }

        const _: () = {
            let mut at = 0;
            while at < <$set>::ALL.len() {
                assert!(<$set>::ALL[at] as usize == at, "members are named in the order of their set");
                at += 1;
            }
        };

        impl Labels for $set {
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
    )+ };
}

names! {
    Source as "source" { Hit = "hit", Near = "near", Local = "local", Loaded = "loaded", Shared = "shared", Stale = "stale", NotFound = "not_found", Shed = "shed", Error = "error" }
    StaleReason as "reason" { Slow = "slow", Failed = "failed", Revalidating = "revalidating" }
    Operation as "op" { Get = "get", Set = "set", Del = "del" }
    Reason as "reason" { Timeout = "timeout", Unavailable = "unavailable", Corrupt = "corrupt", Error = "error" }
    Outcome as "outcome" { Ok = "ok", Error = "error", Panic = "panic", Timeout = "timeout", Aborted = "aborted" }
    ShedReason as "reason" { InFlight = "in_flight", Waiters = "waiters", DbQueue = "db_queue", Deadline = "deadline" }
    Origin as "origin" { Local = "local", Notified = "notified", Replayed = "replayed" }
    LeaseOutcome as "outcome" { Won = "won", Waited = "waited", Expired = "expired", Skipped = "skipped" }
    Refresh as "reason" { Early = "early", Stale = "stale" }
    Route as "path" { TemplateDetails = "/template-details", Metrics = "/metrics", Healthz = "/healthz", Readyz = "/readyz", Page = "/", Lab = "/lab", Unmatched = "<unmatched>" }
    Method as "method" { Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Patch = "PATCH", Delete = "DELETE", Options = "OPTIONS", Other = "OTHER" }
}

/// The service's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Templates.
    TemplateDetails,
    /// The exposition.
    Metrics,
    /// Whether the process lives.
    Healthz,
    /// Whether the process should get traffic.
    Readyz,
    /// The page.
    Page,
    /// The lab.
    Lab,
    /// Anything else.
    Unmatched,
}

/// The request methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// Any other token.
    Other,
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

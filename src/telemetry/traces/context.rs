//! W3C's Trace Context, and the decision whether a trace is sampled.
//!
//! Both are by hand: OpenTelemetry's propagator and samplers allocate a context for each request before they decide.

use opentelemetry::{SpanId, TraceId};

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Whether a caller's decision counts, where there is one.
    by_parent: bool,
    /// Of the others, those whose trace ids are lower than this in bits 1 to 63.
    below: u64,
}

impl Sampler {
    /// Records this share of the traces that begin here and, with `by_parent`, those that callers record.
    pub fn new(by_parent: bool, share: f64) -> Self {
        Self {
            by_parent,
            below: (share.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64,
        }
    }

    /// The id of the trace, if it is to be recorded.
    #[inline]
    pub(super) fn admit(self, parent: Option<&Parent>) -> Option<TraceId> {
        if let Some(parent) = parent.filter(|_| self.by_parent) {
            return parent.is_sampled.then_some(parent.trace_id);
        }
        if self.below == 0 {
            return None;
        }
        let trace_id = parent.map_or_else(new_trace_id, |parent| parent.trace_id);
        (u128::from_be_bytes(trace_id.to_bytes()) as u64 >> 1 < self.below).then_some(trace_id)
    }
}

/// The caller's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    trace_id: TraceId,
    pub(super) span_id: SpanId,
    is_sampled: bool,
}

impl Parent {
    /// Reads a `traceparent`: version, trace id, span id and flags, in lower case. A later version may say more behind that.
    pub(super) fn parse(header: &[u8]) -> Option<Self> {
        let (known, more) = header.split_at_checked(55)?;
        let version = known[..2].try_into().ok().and_then(hexadecimal::<2>)?;
        let is_whole = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        let dashes = [known[2], known[35], known[52]];
        if !is_whole || dashes != *b"---" {
            return None;
        }
        let trace_id = known[3..35].try_into().ok().and_then(hexadecimal::<32>)?;
        let span_id = known[36..52].try_into().ok().and_then(hexadecimal::<16>)?;
        let flags = known[53..].try_into().ok().and_then(hexadecimal::<2>)?;
        (trace_id != 0 && span_id != 0).then(|| Self {
            trace_id: TraceId::from(trace_id),
            span_id: SpanId::from(span_id as u64),
            is_sampled: flags & 1 == 1,
        })
    }
}

fn hexadecimal<const DIGITS: usize>(text: [u8; DIGITS]) -> Option<u128> {
    text.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

pub(super) fn new_trace_id() -> TraceId {
    TraceId::from(fastrand::u128(1..))
}

pub(super) fn new_span_id() -> SpanId {
    SpanId::from(fastrand::u64(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(header: &str) -> Option<Parent> {
        Parent::parse(header.as_bytes())
    }

    #[test]
    fn a_valid_header_is_read_and_a_later_version_may_say_more() {
        let parent = parse(SAMPLED).unwrap();
        assert_eq!(
            parent.trace_id.to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(parent.span_id.to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled);
        assert!(!parse(&SAMPLED.replace("-01", "-00")).unwrap().is_sampled);
        let later = SAMPLED.replace("00-0", "cc-0");
        for header in [later.clone(), format!("{later}-what-comes")] {
            assert_eq!(parse(&header), Some(parent), "{header}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        let trace_id = &SAMPLED[3..35];
        let span_id = &SAMPLED[36..52];
        for header in [
            String::new(),
            SAMPLED[..54].to_owned(),
            format!("{SAMPLED}-more"),
            format!("{SAMPLED} "),
            SAMPLED.to_uppercase(),
            SAMPLED.replace("00-0", "ff-0"),
            SAMPLED.replace("00-0", "cc-0") + "more",
            SAMPLED.replace("-01", "_01"),
            SAMPLED.replace("-01", "-0g"),
            SAMPLED.replace("-01", "-+1"),
            SAMPLED.replace(trace_id, &"0".repeat(32)),
            SAMPLED.replace(span_id, &"0".repeat(16)),
        ] {
            assert_eq!(parse(&header), None, "{header}");
        }
    }

    #[test]
    fn the_caller_decides_if_the_sampler_lets_it() {
        let [sampled, other] = ["-01", "-00"].map(|flags| parse(&SAMPLED.replace("-01", flags)));
        for (by_parent, share, expected) in [
            (true, 0.0, [true, false, false]),
            (true, 1.0, [true, false, true]),
            (false, 0.0, [false, false, false]),
            (false, 1.0, [true, true, true]),
        ] {
            let sampler = Sampler::new(by_parent, share);
            let admitted = [&sampled, &other, &None].map(|parent| sampler.admit(parent.as_ref()));
            let admitted = admitted.map(|trace_id| trace_id.is_some());
            assert_eq!(admitted, expected, "{by_parent} {share}");
        }
    }

    #[test]
    fn a_tenth_of_the_traces_is_a_tenth() {
        let sampler = Sampler::new(true, 0.1);
        let sampled = (0..10_000)
            .filter(|_| sampler.admit(None).is_some())
            .count();
        assert!((500..2_000).contains(&sampled), "{sampled}");
    }
}

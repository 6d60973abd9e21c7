//! The decoder on random bytes: it decodes what [`encode`] writes, and nothing else.

use bytes::Bytes;
use proptest::prelude::*;

use super::{HEAD, decode, encode};
use crate::freshness::{Content, Entry, Moment};
use crate::template::TemplateId;

fn ids() -> impl Strategy<Value = TemplateId> {
    prop_oneof![1..10_i64, 1..=i64::MAX]
        .prop_map(|number| TemplateId::new(number).expect("not below 1"))
}

fn entries() -> impl Strategy<Value = Entry> {
    let json = prop::collection::vec(any::<u8>(), 1..80).prop_map(Bytes::from);
    let content = prop_oneof![
        3 => json.prop_map(Content::Template),
        1 => Just(Content::Absent),
        1 => Just(Content::Tombstone),
    ];
    let version = prop_oneof![-1..3_i64, any::<i64>()];
    let numbers = (version, any::<u64>(), any::<u64>(), any::<u64>());
    (content, numbers).prop_map(
        |(content, (version, answered_at, expires_at, cost_micros))| Entry {
            version,
            content,
            answered_at: Moment(answered_at),
            expires_at: Moment(expires_at),
            cost_micros,
        },
    )
}

/// Random bytes behind their right checksum, so that the decoder looks at them too.
fn sealed(rest: &[u8]) -> Vec<u8> {
    [
        format!("td1 {:08x} ", crc32fast::hash(rest)).as_bytes(),
        rest,
    ]
    .concat()
}

/// A payload in which something was overwritten, cut out or put in; sealed again or not.
fn mutated() -> impl Strategy<Value = (TemplateId, Vec<u8>)> {
    let wound = (
        any::<prop::sample::Index>(),
        0..4_usize,
        "[0-9 +\\-\n.x]{0,3}",
    );
    let wounds = prop::collection::vec(wound, 1..4);
    (ids(), entries(), wounds, any::<bool>()).prop_map(|(id, entry, wounds, seal)| {
        let whole = encode(id, &entry);
        let mut payload = if seal { whole[HEAD..].to_vec() } else { whole };
        for (place, length, new) in wounds {
            let begin = place.index(payload.len() + 1);
            let end = (begin + length).min(payload.len());
            payload.splice(begin..end, new.into_bytes());
        }
        (id, if seal { sealed(&payload) } else { payload })
    })
}

/// Lines that look like ours, under the right checksum.
fn lookalikes() -> impl Strategy<Value = (TemplateId, Vec<u8>)> {
    let rest = "(0{0,2}7|\\+7|-7|7) (-?[0-9]{1,20}|\\+1|-0) [atcx] [0-9]{1,21} \\+?0?[0-9]{1,21}( 1){0,2}\n(\\{\\})?";
    (Just(TemplateId::new(7).expect("not below 1")), rest)
        .prop_map(|(id, rest)| (id, sealed(rest.as_bytes())))
}

fn payloads() -> impl Strategy<Value = (TemplateId, Vec<u8>)> {
    let anything = prop::collection::vec(any::<u8>(), 0..120);
    let sealed_anything = prop::collection::vec(any::<u8>(), 0..60).prop_map(|rest| sealed(&rest));
    prop_oneof![
        4 => mutated(),
        2 => lookalikes(),
        1 => (ids(), anything),
        1 => (ids(), sealed_anything),
    ]
}

proptest! {
    // More than proptest's own number, unless `PROPTEST_CASES` asks for more still.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4_096)))]

    #[test]
    fn only_what_would_be_encoded_so_is_decoded((id, payload) in payloads()) {
        if let Some(entry) = decode(id, Bytes::copy_from_slice(&payload)) {
            prop_assert_eq!(encode(id, &entry), payload);
        }
    }

    #[test]
    fn whatever_was_encoded_is_decoded_for_its_own_template_only(id in ids(), other in ids(), entry in entries()) {
        let payload = Bytes::from(encode(id, &entry));
        if other != id {
            prop_assert_eq!(decode(other, payload.clone()), None);
        }
        prop_assert_eq!(decode(id, payload), Some(entry));
    }
}

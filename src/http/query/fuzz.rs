//! The query's reader against a model of it that shares no code with it, on queries made at random.

use proptest::prelude::*;

use super::{LONGEST_QUERY, template_id};
use crate::template::TemplateId;

const LARGEST: &str = "9223372036854775807";

/// What the contract says of a query, byte by byte.
fn model(query: &str) -> Option<i64> {
    let mut ids = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name) == b"id").then(|| decoded(value))
    });
    let (id, another) = (ids.next()?, ids.next());
    if query.len() > LONGEST_QUERY || another.is_some() || !id.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = String::from_utf8(id).ok()?;
    let digits = digits.trim_start_matches('0');
    // Numbers without leading zeros are in the order of their lengths, then of their digits.
    let fits = (digits.len(), digits) <= (LARGEST.len(), LARGEST);
    (fits && !digits.is_empty()).then(|| {
        digits
            .bytes()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    })
}

/// Undoes `+` and `%37`; what only looks like that is left as it is.
fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        rest = after;
        bytes.push(match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                rest = &after[2..];
                (high * 16 + low) as u8
            }
            (b'+', ..) => b' ',
            _ => *first,
        });
    }
    bytes
}

/// Made of the parts that queries are made of, and of what looks like them.
fn queries() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => Just("id=".to_owned()),
        2 => Just("id".to_owned()),
        1 => Just("&".to_owned()),
        1 => Just("=".to_owned()),
        1 => Just("%69%64=".to_owned()),
        1 => Just("i%6".to_owned()),
        1 => Just(LARGEST.to_owned()),
        1 => Just("9223372036854775808".to_owned()),
        1 => Just("000".to_owned()),
        3 => (0..=i64::MAX).prop_map(|number| number.to_string()),
        2 => "[0-9]{1,3}",
        2 => any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        2 => any::<u8>().prop_map(|byte| format!("%{byte:02X}")),
        1 => "[-+%&=;#a-f]{1,4}",
        1 => any::<char>().prop_map(String::from),
        1 => (200_usize..300).prop_map(|length| "0".repeat(length)),
    ];
    prop_oneof![
        8 => prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
        1 => "(id|%69d)=[0-9]{0,20}(&[a-z]=[0-9])?",
    ]
}

proptest! {
    // More than proptest's own number, unless `PROPTEST_CASES` asks for more still.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4_096)))]

    #[test]
    fn a_query_is_read_exactly_as_the_contract_says(query in queries()) {
        let read = template_id(Some(&query)).ok().map(TemplateId::number);
        prop_assert_eq!(read, model(&query));
    }
}

#[test]
fn the_model_reads_what_it_should() {
    for (query, id) in [
        ("id=7", Some(7)),
        ("%69d=%30%37&a=b", Some(7)),
        ("id=7&id", None),
        ("id=+7", None),
    ] {
        assert_eq!(model(query), id, "{query}");
    }
    assert_eq!(model(&format!("id={LARGEST}")), Some(i64::MAX));
    assert_eq!(model("id=9223372036854775808"), None);
}

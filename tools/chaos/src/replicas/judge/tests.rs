//! What breaks a rule and what does not.

use super::*;

const JUDGE: Judge = Judge {
    life: Duration::from_millis(3),
    stale_may_be_older: false,
};

/// Versions 1, 2 and 4 were there, and in version 3 there was none.
fn states() -> States {
    let mut states = States::default();
    for (version, name) in [(1, Some("a")), (2, Some("b")), (3, None), (4, Some("d"))] {
        assert!(states.add(version, name.map(String::from), 0));
    }
    states
}

fn operation(replica: usize, began: u64, what: What) -> Operation {
    Operation {
        replica: Some(replica),
        id: 1,
        began,
        ended: began + 10,
        what,
    }
}

fn read(replica: usize, began: u64, version: i64, name: &str) -> Operation {
    let (name, source) = (name.into(), "hit");
    operation(
        replica,
        began,
        What::Saw {
            version,
            name,
            source,
        },
    )
}

fn write(replica: usize, began: u64, said: i64, name: &str) -> Operation {
    let (name, replacing) = (name.into(), None);
    operation(
        replica,
        began,
        What::Wrote {
            name,
            said,
            replacing,
        },
    )
}

fn broken(mut operations: Vec<Operation>) -> Vec<Rule> {
    let violations = JUDGE.judge(&mut operations, &states());
    violations
        .into_iter()
        .map(|violation| violation.rule)
        .collect()
}

#[test]
fn what_may_be_is_not_held_against_the_service() {
    for operations in [
        // At the same time, in either order.
        vec![read(0, 0, 2, "b"), read(0, 10, 1, "a")],
        // Elsewhere, and not for long.
        vec![write(0, 0, 2, "b"), read(1, 20, 1, "a")],
        vec![read(0, 0, 2, "b"), operation(0, 20, What::SawNone)],
        vec![operation(0, 0, What::SawNone), read(0, 20, 4, "d")],
    ] {
        assert_eq!(broken(operations), []);
    }
}

#[test]
fn each_rule_can_be_broken() {
    for (operations, rule) in [
        (
            vec![read(0, 0, 2, "b"), read(0, 11, 1, "a")],
            Rule::NeverBack,
        ),
        (
            vec![operation(0, 0, What::SawNone), read(0, 20, 2, "b")],
            Rule::NeverBack,
        ),
        (
            vec![write(0, 0, 4, "d"), operation(0, 20, What::SawNone)],
            Rule::OwnWrites,
        ),
        (
            vec![write(0, 0, 2, "b"), read(1, 3_011, 1, "a")],
            Rule::NotTooOld,
        ),
        (vec![read(0, 0, 2, "a")], Rule::Whole),
        (vec![read(0, 0, 3, "c")], Rule::Whole),
        (vec![write(0, 0, 1, "d")], Rule::Whole),
    ] {
        assert_eq!(broken(operations), [rule]);
    }
}

//! One rule at a time. What they come to together is checked against a model by the checkers.

use std::time::Duration;

use super::*;
use crate::template::{State, Template, UpdatedAt};

const TTL: Duration = Duration::from_secs(30);
const STALE_FOR: Duration = Duration::from_secs(60);

fn rules() -> Rules {
    Rules {
        ttl: TTL,
        negative_ttl: TTL,
        stale_for: STALE_FOR,
        ..Rules::default()
    }
}

fn copies() -> Copies {
    Copies::new(100, rules())
}

fn id(number: i64) -> TemplateId {
    TemplateId::new(number).unwrap()
}

fn named(number: i64, version: i64, answered_at: u64, name_bytes: usize) -> Entry {
    let row = Template {
        id: id(number),
        name: "x".repeat(name_bytes),
        updated_at: UpdatedAt(0),
        version,
    };
    Entry::new(
        State::Present(row),
        Moment(answered_at),
        TTL,
        Duration::ZERO,
    )
}

fn template(version: i64, answered_at: u64) -> Entry {
    named(1, version, answered_at, 10)
}

fn absent(version: i64) -> Entry {
    Entry::new(State::Absent { version }, Moment(0), TTL, Duration::ZERO)
}

fn tombstone(version: i64) -> Entry {
    Entry::tombstone(version, Moment(1), TTL)
}

#[test]
fn a_copy_answers_for_its_ttl_and_is_the_last_known_good_for_stale_for_longer() {
    let copies = copies();
    copies.store(id(1), &template(1, 0));
    let answers = [29_999, 30_000, 89_999, 90_000].map(Moment).map(|now| {
        let answer = copies.answer(id(1), now).is_some();
        (answer, copies.last_known_good(id(1), now).is_some())
    });
    let expected = [(true, true), (false, true), (false, true), (false, false)];
    assert_eq!(answers, expected);
}

#[test]
fn an_absence_is_never_answered_past_its_ttl() {
    let copies = copies();
    copies.store(id(1), &absent(0));
    assert!(copies.answer(id(1), Moment(1)).is_some());
    assert!(copies.answer(id(1), Moment(30_000)).is_none());
    assert!(copies.last_known_good(id(1), Moment(30_000)).is_none());
}

#[test]
fn a_lower_version_never_replaces_a_higher_one() {
    let copies = copies();
    copies.store(id(1), &template(2, 1_000));
    assert_eq!(copies.store(id(1), &template(1, 500)), Stored::Superseded);
    assert_eq!(copies.store(id(1), &absent(1)), Stored::Superseded);
    assert_eq!(
        copies.answer(id(1), Moment(1_000)),
        Some(template(2, 1_000))
    );
}

#[test]
fn a_lower_version_is_believed_once_the_higher_one_has_refused_it_for_long_enough() {
    let copies = copies();
    copies.store(id(1), &template(5, 0));
    assert_eq!(
        copies.store(id(1), &template(1, 29_999)),
        Stored::Superseded
    );
    assert_eq!(copies.store(id(1), &template(1, 30_000)), Stored::Yes);
    assert_eq!(copies.known_version(id(1)), Some(1));
}

#[test]
fn a_superseded_copy_does_not_answer_but_may_be_the_last_known_good() {
    let copies = copies();
    copies.store(id(1), &template(1, 0));
    assert_eq!(copies.note(id(1), &tombstone(2)), Noted::News);
    assert_eq!(copies.note(id(1), &tombstone(2)), Noted::Known);
    assert_eq!(copies.answer(id(1), Moment(2)), None);
    assert!(copies.last_known_good(id(1), Moment(2)).is_some());
    assert_eq!(copies.store(id(1), &template(1, 2)), Stored::Superseded);
    assert_eq!(copies.store(id(1), &template(2, 2)), Stored::Yes);
    assert!(copies.answer(id(1), Moment(3)).is_some());
}

#[test]
fn a_state_replaces_a_tombstone_of_its_version_whichever_came_first() {
    for answered_at in [0, 1, 2] {
        let copies = copies();
        copies.note(id(1), &tombstone(2));
        assert_eq!(copies.store(id(1), &template(2, answered_at)), Stored::Yes);
        assert!(copies.answer(id(1), Moment(2)).is_some());
    }
}

#[test]
fn an_entry_from_before_a_gap_does_not_answer() {
    let copies = copies();
    copies.store(id(1), &template(1, 5));
    copies.ignore_before(Moment(5));
    assert_eq!(copies.answer(id(1), Moment(6)), None);
    assert!(copies.last_known_good(id(1), Moment(6)).is_some());
    copies.store(id(1), &template(1, 6));
    assert!(copies.answer(id(1), Moment(7)).is_some());
}

#[test]
fn a_load_that_was_overtaken_leaves_a_tombstone_only() {
    let copies = copies();
    let began = copies.begin_load();
    assert_eq!(copies.judge_load(began, false), MayStore::Yes);
    assert_eq!(copies.judge_load(began, true), MayStore::TombstoneOnly);
    copies.ignore_before(Moment(5));
    assert_eq!(copies.judge_load(began, false), MayStore::TombstoneOnly);
}

#[test]
fn only_what_a_load_has_brought_meanwhile_counts_as_learnt() {
    let copies = copies();
    copies.store(id(1), &template(1, 1_000));
    assert!(copies.learnt_since(id(1), Moment(1_000)).is_some());
    assert!(copies.learnt_since(id(1), Moment(1_001)).is_none());
    copies.note(id(2), &tombstone(1));
    assert!(copies.learnt_since(id(2), Moment(0)).is_none());
}

#[test]
fn without_room_nothing_is_stored_and_every_template_may_exist() {
    let copies = Copies::new(0, rules());
    assert_eq!(copies.store(id(1), &template(1, 0)), Stored::No);
    assert_eq!(copies.note(id(1), &tombstone(1)), Noted::News);
    assert_eq!(copies.answer(id(1), Moment(1)), None);
    assert_eq!(copies.last_known_good(id(1), Moment(1)), None);
    assert!(copies.may_exist(id(1)));
}

#[test]
fn a_flood_of_absent_ids_evicts_no_template() {
    let copies = copies();
    for number in 1..=50 {
        copies.store(id(number), &named(number, 1, 0, 10));
    }
    for number in 1_000..20_000 {
        copies.store(id(number), &absent(0));
    }
    let is_there = |number: &i64| copies.answer(id(*number), Moment(0)).is_some();
    assert_eq!((1..=50).filter(is_there).count(), 50);
    assert!(copies.map.unwrap().others.len() <= 100);
}

#[test]
fn the_number_of_templates_and_their_bytes_are_bounded() {
    let copies = copies();
    let store_all = |version, name_bytes| {
        for number in 1..=1_000 {
            copies.store(id(number), &named(number, version, 0, name_bytes));
        }
        copies.map.as_ref().unwrap().templates.len()
    };
    assert!(store_all(1, 10) <= 100);
    assert!(store_all(2, 10 * 1024) <= 10);
}

#[test]
fn a_template_that_came_or_went_is_in_one_place_only() {
    let copies = copies();
    for entry in [absent(0), template(1, 0), absent(2)] {
        assert_eq!(copies.store(id(1), &entry), Stored::Yes);
        assert_eq!(copies.answer(id(1), Moment(0)), Some(entry));
        let map = copies.map.as_ref().unwrap();
        assert_eq!(map.templates.len() + map.others.len(), 1);
    }
}

const NEAR_FOR: Duration = Duration::from_millis(500);

#[test]
fn a_near_copy_answers_for_near_for_after_each_confirmation() {
    let copies = Copies::new(
        100,
        Rules {
            near_for: NEAR_FOR,
            ..rules()
        },
    );
    let near = |now| copies.near(id(1), Moment(now)).is_some();
    copies.store(id(1), &template(1, 1_000));
    assert_eq!([1_499, 1_500].map(near), [true, false]);
    copies.confirm(id(1), &template(1, 1_000), Moment(1_600));
    assert_eq!([2_099, 2_100].map(near), [true, false]);
    // Its TTL ends first.
    copies.confirm(id(1), &template(1, 1_000), Moment(30_900));
    assert_eq!([30_999, 31_000].map(near), [true, false]);
}

#[test]
fn a_change_or_a_gap_ends_a_near_copy_until_it_is_confirmed_again() {
    let copies = Copies::new(
        100,
        Rules {
            near_for: NEAR_FOR,
            ..rules()
        },
    );
    let near = |now| copies.near(id(1), Moment(now)).map(|entry| entry.version);
    copies.store(id(1), &template(1, 10));
    copies.note(id(1), &tombstone(2));
    assert_eq!(near(11), None);
    copies.store(id(1), &template(2, 12));
    assert_eq!(near(12), Some(2));
    copies.ignore_before(Moment(13));
    assert_eq!(near(14), None);
    copies.confirm(id(1), &template(2, 12), Moment(15));
    assert_eq!(near(15), Some(2));
}

#[test]
fn only_the_highest_version_that_no_gap_made_doubtful_stands_in_for_a_load() {
    let copies = copies();
    let stands_in = |now| copies.stand_in(id(1), Moment(now)).is_some();
    copies.store(id(1), &template(1, 0));
    assert_eq!([30_000, 89_999, 90_000].map(stands_in), [true, true, false]);
    copies.note(id(1), &tombstone(2));
    assert!(!stands_in(30_000));
    copies.store(id(1), &template(2, 2));
    assert!(stands_in(30_000));
    copies.ignore_before(Moment(3));
    assert!(!stands_in(30_000));
}

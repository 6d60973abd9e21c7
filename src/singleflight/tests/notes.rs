//! What a load leaves for its callers to see.

use super::*;
use crate::singleflight::Note;
use std::sync::Mutex;

fn number(note: Option<&Note>) -> Option<u32> {
    note?.downcast_ref().copied()
}

#[tokio::test]
async fn a_loads_first_note_is_there_for_its_callers_however_they_leave_and_for_the_hook() {
    let landed = Arc::new(Mutex::new(None));
    let hook = Arc::clone(&landed);
    let gate = Gate::new();
    let group: TextGroup = Group::builder()
        .on_landing(move |landing| *hook.lock().unwrap() = number(landing.note))
        .build();
    let leader = group.start("key", |loading| {
        loading.leave_note(Arc::new(7u32));
        loading.leave_note(Arc::new(8u32));
        gate.load(1)
    });
    let follower = group.start("key", |_| never_called());
    assert_eq!(number(group.note("key").as_ref()), Some(7));
    gate.open();
    for report in [leader.await, follower.await] {
        assert_eq!(number(part(report).note.as_ref()), Some(7));
    }
    assert_eq!(*landed.lock().unwrap(), Some(7));
    assert!(group.note("key").is_none());
}

#[tokio::test]
async fn nothing_is_left_of_a_note_when_its_flight_has_landed_and_its_callers_have_gone() {
    let (group, note) = (TextGroup::new(), Arc::new(()));
    let left = Arc::clone(&note);
    let report = group.report("key", |loading| {
        loading.leave_note(left);
        async { Ok(7) }
    });
    drop(report.await);
    assert_eq!(Arc::strong_count(&note), 1);
}

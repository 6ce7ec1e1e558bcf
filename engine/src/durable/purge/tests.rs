use super::{
    super::tests::{KEY, LENGTH, OLD, OTHER, READ, blob, found, nothing, swap, swapped, terms, vacant},
    *,
};
use alloc::vec::Vec;
use std::vec;

/// Runs a purge through its answers, and wants these questions after the first read, and this end.
#[track_caller]
fn check(answers: Vec<Told>, asked: Vec<Ask>, end: PurgeEnd) {
    let (mut purge, ask) = DurablePurge::begin(KEY, terms());
    assert_eq!(ask, READ);
    let mut seen = vec![];
    for told in answers {
        match purge.on_told(told) {
            PurgeStep::Ask(ask) => seen.push(ask),
            PurgeStep::Ended(ended) => {
                assert_eq!((seen, ended), (asked, end));
                return;
            }
        }
    }
    panic!("{seen:?} and no end")
}

/// What is stored goes, entry first, then the blob; whether the blob went does not change the answer.
#[test]
fn the_blob_goes_after_the_entry() {
    let stored = || vacant(5, 2).leasing(OTHER, 9_000).naming(OLD).until(1_400);
    let purged = vacant(1_000, 3).until(1_100);
    let asked = || vec![swap(Some(5), purged.clone()), Ask::Delete { blob: blob(OLD) }];
    let removed = PurgeEnd::Removed(LENGTH);
    check(vec![found(stored(), 1_000), swapped(1_001), Told::Deleted], asked(), removed);
    check(vec![found(stored(), 1_000), swapped(1_001), Told::Unknown], asked(), removed);
}

/// A key of which nothing is stored is purged all the same: a fetch may be under way somewhere (failure F1).
#[test]
fn what_is_not_stored_is_purged_too() {
    let remembered = vacant(1_000, 1).until(1_100);
    check(vec![nothing(1_000), swapped(1_001)], vec![swap(None, remembered)], PurgeEnd::Absent);
}

/// After a conflict or a lost answer it reads again; a generation raised since counts as its own, nothing
/// less does.
#[test]
fn a_purge_is_confirmed_by_the_index_only() {
    let stored = || vacant(5, 2).naming(OLD).until(1_400);
    let first = || swap(Some(5), vacant(1_000, 3).until(1_100));
    let delete = || Ask::Delete { blob: blob(OLD) };
    let raised = found(vacant(1_000, 3).until(1_100), 1_002);
    for answer in [Told::Conflict, Told::Unknown] {
        check(
            vec![found(stored(), 1_000), answer.clone(), raised.clone(), Told::Deleted],
            vec![first(), READ, delete()],
            PurgeEnd::Removed(LENGTH),
        );
        check(
            vec![found(stored(), 1_000), answer.clone(), found(stored(), 1_002), Told::Unknown],
            vec![first(), READ, swap(Some(5), vacant(1_002, 3).until(1_102))],
            PurgeEnd::Failed,
        );
        check(
            vec![found(stored(), 1_000), answer.clone(), Told::Unknown],
            vec![first(), READ],
            PurgeEnd::Failed,
        );
        // What another upload published meanwhile goes, too.
        check(
            vec![
                found(vacant(5, 2).until(1_400), 1_000),
                answer,
                found(stored(), 1_002),
                swapped(1_003),
                Told::Deleted,
            ],
            vec![first(), READ, swap(Some(5), vacant(1_002, 3).until(1_102)), delete()],
            PurgeEnd::Removed(LENGTH),
        );
    }
}

/// A body in the row goes with it: there is no blob to delete.
#[test]
fn a_body_in_the_row_goes_with_it() {
    let mut stored = vacant(5, 2).naming(OLD).until(1_400);
    let manifest = alloc::sync::Arc::make_mut(&mut stored.entry).manifest.as_mut().expect("it has one");
    manifest.in_row = Some("body".into());
    let purged = vacant(1_000, 3).until(1_100);
    check(vec![found(stored, 1_000), swapped(1_001)], vec![swap(Some(5), purged)], PurgeEnd::Removed(LENGTH));
}

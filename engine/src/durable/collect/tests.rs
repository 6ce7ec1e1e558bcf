use super::{
    super::tests::{OLD, OTHER, OURS, READ, blob, found, nothing, swap, swapped, terms, vacant},
    *,
};
use crate::language::id::RecordName;
use std::vec;

/// One sweep: each question with its answer, and what it came to.
#[track_caller]
fn sweep(collector: &mut Collector, steps: Vec<(Ask, Told)>, expected: Collected) {
    let mut ask = collector.begin();
    for (at, (wanted, told)) in steps.into_iter().enumerate() {
        assert_eq!(ask, wanted, "question {at}");
        match collector.on_told(told) {
            CollectStep::Ask(next) => ask = next,
            CollectStep::Ended(collected) => {
                assert_eq!(collected, expected);
                return;
            }
        }
    }
    panic!("{ask:?} and no end")
}

fn list(after: Option<BlobName>) -> Ask {
    Ask::List { after }
}

fn listed(blobs: &[BlobName]) -> Told {
    Told::Listed { blobs: blobs.to_vec() }
}

/// A sweep over one blob, whose steps between the two listings are these.
#[track_caller]
fn one(collector: &mut Collector, steps: Vec<(Ask, Told)>, expected: Collected) {
    let mut all = vec![(list(None), listed(&[blob(OURS)]))];
    all.extend(steps);
    all.push((list(Some(blob(OURS))), listed(&[])));
    sweep(collector, all, expected);
}

const SEEN: Collected = Collected { seen: 1, deleted: 0, in_grace: 0, failed: 0 };

/// What is named or leased stays, and so does what cannot be judged; nothing is asked of the store for it.
#[test]
fn what_is_live_or_unknown_stays() {
    let mut collector = Collector::new(terms());
    for stored in [
        vacant(5, 2).naming(OURS).until(1_001),
        vacant(5, 2).leasing(OURS, 1_001).until(1_400),
        vacant(5, 2).leasing(OURS, 1_001).naming(OLD).until(900),
    ] {
        one(&mut collector, vec![(READ, found(stored, 1_000))], SEEN);
    }
    one(&mut collector, vec![(READ, Told::Unknown)], Collected { failed: 1, ..SEEN });
    let failed = Collected { seen: 0, failed: 1, ..SEEN };
    sweep(&mut collector, vec![(list(None), Told::Unknown)], failed);
}

/// A blob that nothing names goes when its grace is over, counted from the sweep that first saw it so.
#[test]
fn an_orphan_goes_after_its_grace() {
    let mut collector = Collector::new(terms());
    let named = || found(vacant(5, 2).naming(OURS).until(9_000), 1_010);
    let replaced = |now| found(vacant(5, 2).naming(OTHER).until(9_000), now);
    let in_grace = Collected { in_grace: 1, ..SEEN };
    let delete = || Ask::Delete { blob: blob(OURS) };
    one(&mut collector, vec![(READ, nothing(1_000))], in_grace);
    one(&mut collector, vec![(READ, named())], SEEN);
    one(&mut collector, vec![(READ, replaced(1_020))], in_grace);
    one(&mut collector, vec![(READ, replaced(1_069))], in_grace);
    let failed = Collected { failed: 1, ..SEEN };
    one(&mut collector, vec![(READ, replaced(1_070)), (delete(), Told::Unknown)], failed);
    let deleted = Collected { deleted: 1, ..SEEN };
    one(&mut collector, vec![(READ, nothing(1_071)), (delete(), Told::Deleted)], deleted);
    // It is forgotten with that.
    one(&mut collector, vec![(READ, nothing(2_000))], in_grace);
}

/// A suspect that others deleted is forgotten, wherever in the listing it stood.
#[test]
fn suspects_that_went_are_forgotten() {
    for others in [vec![], vec![blob(OTHER)], vec![blob(RecordName(0))]] {
        let mut collector = Collector::new(terms());
        one(&mut collector, vec![(READ, nothing(1_000))], Collected { in_grace: 1, ..SEEN });
        let mut steps = vec![(list(None), listed(&others))];
        for other in &others {
            let live = found(vacant(5, 2).naming(other.name).until(9_000), 1_100);
            steps.extend([(READ, live), (list(Some(*other)), listed(&[]))]);
        }
        sweep(&mut collector, steps, Collected { seen: others.len() as u64, ..SEEN });
        assert_eq!(collector.suspects, BTreeMap::new(), "{others:?}");
    }
}

/// What ran out is first taken from the entry; only then the blob's grace begins. Who is faster keeps it.
#[test]
fn what_ran_out_is_taken_before_it_is_deleted() {
    let leased = || vacant(5, 2).leasing(OURS, 1_000).naming(OTHER).until(1_400);
    let without = || swap(Some(5), vacant(5, 2).naming(OTHER).until(1_400));
    let taken = |ask: Ask| match ask {
        Ask::Swap { expected, mut stored } => {
            alloc::sync::Arc::make_mut(&mut stored.entry).version = Version(1_000);
            Ask::Swap { expected, stored }
        }
        ask => panic!("{ask:?}"),
    };
    let expired = || vacant(5, 2).leasing(OTHER, 1_500).naming(OURS).until(1_000);
    let emptied = || swap(Some(5), vacant(1_000, 2).leasing(OTHER, 1_500).until(1_500));
    for (stored, ask) in [(leased(), taken(without())), (expired(), emptied())] {
        let mut collector = Collector::new(terms());
        for answer in [Told::Conflict, Told::Unknown] {
            let steps = vec![(READ, found(stored.clone(), 1_000)), (ask.clone(), answer)];
            one(&mut collector, steps, Collected { failed: 1, ..SEEN });
            assert_eq!(collector.suspects, BTreeMap::new());
        }
        let steps = vec![(READ, found(stored, 1_000)), (ask, swapped(1_003))];
        one(&mut collector, steps, Collected { in_grace: 1, ..SEEN });
        assert_eq!(collector.suspects, BTreeMap::from([(blob(OURS), WallTime::from_unix_millis(1_003))]));
    }
}

/// A sweep goes from listing to listing until one is empty.
#[test]
fn a_sweep_sees_every_page() {
    let live = |name| found(vacant(5, 2).naming(name).until(9_000), 1_000);
    let steps = vec![
        (list(None), listed(&[blob(OURS), blob(OTHER)])),
        (READ, live(OURS)),
        (READ, live(OTHER)),
        (list(Some(blob(OTHER))), listed(&[blob(OLD)])),
        (READ, live(OLD)),
        (list(Some(blob(OLD))), listed(&[])),
    ];
    sweep(&mut Collector::new(terms()), steps, Collected { seen: 3, ..SEEN });
}

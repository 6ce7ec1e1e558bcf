use super::{
    super::tests::{LENGTH, NOW, OLD, READ, at, blob, found, nothing, swap, terms, vacant},
    *,
};
use crate::{durable::Version, language::units::ByteCount};
use alloc::vec::Vec;
use std::vec;

const KEY: CacheKey = super::super::tests::KEY;

/// Runs a lookup through its answers: what it asked after the first read, and what came of it.
fn run(answers: Vec<Told>) -> (Vec<Ask>, Looked) {
    let (mut lookup, ask) = Lookup::begin(KEY);
    assert_eq!(ask, READ);
    let mut asked = vec![];
    for told in answers {
        match lookup.on_told(told, &terms()) {
            LookupStep::Ask(ask) => asked.push(ask),
            LookupStep::Done(looked) => return (asked, looked),
        }
    }
    panic!("{asked:?} and no end")
}

#[track_caller]
fn check(answers: Vec<Told>, asked: Vec<Ask>, reason: DurableMiss, besides: Option<Ask>) {
    let seen = match &answers[0] {
        Told::Entry { found, now } => Some(Seen { key: KEY, stored: found.clone(), now: *now }),
        _ => None,
    };
    assert_eq!(run(answers), (asked, Looked { outcome: LookedFor::Miss(reason), seen, besides }));
}

fn stored(expires: u64) -> Stored {
    vacant(5, 2).leasing(super::super::tests::OTHER, 5_000).naming(OLD).until(expires)
}

/// Every way to miss, with what it asks of the store, and what it repairs (failure R1).
#[test]
fn every_miss_has_its_reason() {
    let open = || vec![Ask::Open { blob: blob(OLD) }];
    let read = || found(stored(1_100), 1_000);
    let leased = vacant(6, 2).leasing(super::super::tests::OTHER, 5_000).until(5_000);
    let repair = || Some(swap(Some(5), leased.clone()));
    let torn = |length| Told::Opened { length: ByteCount(length) };

    check(vec![nothing(1_000)], vec![], DurableMiss::Absent, None);
    check(vec![found(vacant(5, 2).until(1_100), 1_000)], vec![], DurableMiss::Absent, None);
    check(vec![found(stored(1_000), 1_000)], vec![], DurableMiss::Expired, None);
    check(vec![Told::Unknown], vec![], DurableMiss::IndexFailed, None);
    check(vec![read(), Told::Unknown], open(), DurableMiss::BlobFailed, None);
    // The repair's version is the index's clock's, because that is ahead of the entry's.
    let repaired = |ask: Option<Ask>| {
        ask.map(|ask| match ask {
            Ask::Swap { expected, mut stored } => {
                alloc::sync::Arc::make_mut(&mut stored.entry).version = Version(1_000);
                Ask::Swap { expected, stored }
            }
            ask => ask,
        })
    };
    check(vec![read(), Told::NoBlob], open(), DurableMiss::Lost, repaired(repair()));
    check(vec![read(), torn(LENGTH.0 - 1)], open(), DurableMiss::Torn, repaired(repair()));
    check(vec![read(), torn(LENGTH.0 + 1)], open(), DurableMiss::Torn, repaired(repair()));
}

/// A hit moves the expiry by `idle` but never past `total`, and does not write for a small gain (D3).
#[test]
fn a_hit_touches_within_bounds() {
    // Stored at 1,000; idle 400, total 1,000.
    for (now, expires, touched) in [
        (1_000, 1_400, None),
        (1_049, 1_400, None),
        (1_050, 1_400, Some(1_450)),
        (1_390, 1_400, Some(1_790)),
        (1_780, 1_790, Some(2_000)),
        (1_990, 2_000, None),
    ] {
        let (asked, looked) = run(vec![found(stored(expires), now), Told::Opened { length: LENGTH }]);
        assert_eq!(asked, [Ask::Open { blob: blob(OLD) }]);
        let manifest = stored(expires).entry.manifest.clone().expect("it is stored");
        assert_eq!((manifest.stored_at, looked.outcome), (NOW, LookedFor::Hit(manifest)));
        let touch = |expires| Ask::Touch { key: KEY, version: Version(5), expires: at(expires) };
        assert_eq!(looked.besides, touched.map(touch), "at {now}");
        assert_eq!(looked.seen.expect("the index answered").now, at(now));
    }
}

/// A 304 changes the head of what was seen, keeps all else, and counts as an access (D3); what has expired
/// since, is not there, or was never seen is not freshened.
#[test]
fn a_freshening_changes_the_head_alone() {
    let seen = |stored| Seen { key: KEY, stored, now: at(1_100) };
    let younger = |name| {
        let mut record = Record::clone(&super::super::tests::record(name));
        record.freshness.as_of = at(1_150);
        Arc::new(record)
    };
    let freshened = |version: u64, expires: u64| {
        let mut entry = vacant(version, 2).leasing(super::super::tests::OTHER, 5_000).naming(OLD);
        let manifest = entry.manifest.as_mut().expect("it names the old one");
        (manifest.record, manifest.version) = (younger(OLD), Version(5));
        Some(swap(Some(5), entry.until(expires)))
    };
    let millis = Duration::from_millis;
    // Stored at 1,000; idle 400, total 1,000.
    for (elapsed, expires, expected) in [
        (50, 1_400, freshened(1_150, 1_550)),
        (50, 1_900, freshened(1_150, 1_900)),
        (850, 1_990, freshened(1_950, 2_000)),
        (299, 1_400, freshened(1_399, 1_799)),
        (300, 1_400, None),
    ] {
        let seen = seen(Some(stored(expires)));
        assert_eq!(seen.freshen(younger(OLD), millis(elapsed), &terms()), expected, "{elapsed} ms later");
    }
    assert_eq!(seen(None).freshen(younger(OLD), millis(1), &terms()), None);
    assert_eq!(seen(Some(vacant(5, 2).until(1_400))).freshen(younger(OLD), millis(1), &terms()), None);
}

/// What has its body in the row is found by the row alone.
#[test]
fn a_body_in_the_row_is_found_by_one_read() {
    let mut stored = stored(1_400);
    let manifest = alloc::sync::Arc::make_mut(&mut stored.entry).manifest.as_mut().expect("it has one");
    manifest.in_row = Some("body".into());
    let manifest = manifest.clone();
    let (asked, looked) = run(vec![found(stored.clone(), 1_000)]);
    assert_eq!((asked, looked.outcome), (vec![], LookedFor::Hit(manifest)));
    let (_, looked) = run(vec![found(stored, 1_400)]);
    assert_eq!(looked.outcome, LookedFor::Miss(DurableMiss::Expired));
}

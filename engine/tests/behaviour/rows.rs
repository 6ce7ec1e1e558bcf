//! Small bodies of the durable tier lie in their rows: one write stores one, one read finds it, and no blob
//! is left over.

use crate::durable::{assert_idle, ends, verdicts};
use crate::rig::{Rig, key, with_rows};
use std::{sync::Arc, time::Duration};
use tiergate_engine::durable::{Ask, BlobFate, PublishEnd};
use tiergate_engine::{DurableEvent, End, Event, FillVerdict, LaneEnd, Outcome, RawConfig, TierId};

/// What goes into a row, at most.
const MOST: u64 = 64;

/// The durable store with nothing above it.
fn alone() -> RawConfig {
    RawConfig { l0: None, ..with_rows(MOST) }
}

/// Asks, and wants L3's answer, whole.
#[track_caller]
fn hit(rig: &mut Rig, length: u64) {
    let reader = rig.get("/a");
    let client = rig.client(reader);
    let outcome = client.reply.as_ref().map(|reply| reply.outcome);
    assert_eq!(outcome, Some(Outcome::Hit { tier: TierId::L3 }));
    assert_eq!((client.end, client.received()), (Some(End::Complete), length));
}

/// A fill is one read and one write, a hit one read, of a length that was known or not, empty or as large as
/// a row takes; another edge finds the same, and promotes it.
#[test]
fn one_write_stores_and_one_read_finds() {
    for (length, is_known) in [(MOST, true), (30, false), (0, true), (0, false)] {
        let mut first = Rig::new(alone());
        first.get("/a");
        match is_known {
            true => first.answer("/a", length, 20),
            false => first.answer_chunked("/a", length, 20),
        }
        assert_eq!(verdicts(&first), [FillVerdict::Stored], "{length}");
        assert!(
            matches!(ends(&first)[..], [(PublishEnd::Won { .. }, BlobFate::InRow)]),
            "{:?}",
            ends(&first)
        );
        assert!(matches!(first.durable_tier.asked[..], [Ask::Read { .. }, Ask::Swap { .. }]));
        assert!(first.durable_tier.store.borrow().blobs.is_empty());
        let mut second = Rig::beside(&first, with_rows(0), 8);
        hit(&mut second, length);
        assert!(
            matches!(second.durable_tier.asked[..], [Ask::Read { .. }]),
            "{:?}",
            second.durable_tier.asked
        );
        let promoted = u64::from(length > 0);
        let again = second.get("/a");
        assert_eq!(second.client(again).received(), length);
        let reads = second.durable_tier.asked.len() as u64;
        assert_eq!(reads, 2 - promoted, "what has bytes is in L0 by now");
        assert_idle(&first);
        assert_idle(&second);
    }
}

/// One byte more than a row takes, whether that was known or turned out, is a blob as ever.
#[test]
fn what_is_too_large_for_a_row_is_a_blob() {
    for is_known in [true, false] {
        let mut rig = Rig::new(alone());
        rig.get("/a");
        match is_known {
            true => rig.answer("/a", MOST + 1, 20),
            false => rig.answer_chunked("/a", MOST + 1, 20),
        }
        assert_eq!(verdicts(&rig), [FillVerdict::Stored], "{is_known}");
        assert!(matches!(ends(&rig)[..], [(PublishEnd::Won { .. }, BlobFate::Named)]), "{:?}", ends(&rig));
        assert_eq!(rig.durable_tier.store.borrow().blobs.len(), 1);
        hit(&mut rig, MOST + 1);
        assert_idle(&rig);
    }
}

/// F1: a purge while the body arrives, here or at another edge, keeps it out; one of what is stored takes it.
#[test]
fn f1_a_purge_keeps_a_row_out_and_takes_one() {
    for elsewhere in [false, true] {
        let mut rig = Rig::new(alone());
        let mut other = Rig::beside(&rig, alone(), 8);
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        rig.send("/a", 30, 20);
        if elsewhere {
            other.purge("/a")
        } else {
            rig.purge("/a")
        };
        rig.end("/a");
        assert_eq!(verdicts(&rig), [FillVerdict::Dropped(LaneEnd::Superseded)], "{elsewhere}");
        assert!(rig.durable_tier.store.borrow().rows[&key("/a")].entry.manifest.is_none());
        // A purge counts for what is of the same moment, too.
        [&mut rig, &mut other].into_iter().for_each(|rig| rig.pass_time(Duration::from_secs(1)));
        rig.get("/a");
        rig.answer("/a", 40, 20);
        hit(&mut other, 40);
        rig.purge("/a");
        other.get("/a");
        assert_eq!(other.asked.len(), 1, "what was purged is fetched");
        other.answer("/a", 50, 20);
        assert!(rig.durable_tier.store.borrow().blobs.is_empty());
        assert_idle(&rig);
        assert_idle(&other);
    }
}

/// Of two edges that store a key at once one wins, and the other is told so.
#[test]
fn con1_one_row_wins() {
    let mut first = Rig::new(alone());
    let mut second = Rig::beside(&first, alone(), 8);
    first.get("/a");
    second.get("/a");
    first.answer("/a", 60, 30);
    second.answer("/a", 50, 30);
    assert_eq!(verdicts(&second), [FillVerdict::Dropped(LaneEnd::Outrun)]);
    assert!(matches!(ends(&second)[..], [(PublishEnd::Lost { .. }, BlobFate::InRow)]));
    hit(&mut second, 60);
    assert_idle(&first);
    assert_idle(&second);
}

/// A row whose body is not what was stored is a miss, is told, and goes.
#[test]
fn a_row_with_other_bytes_is_a_miss_and_goes() {
    for rotten in [&b"no span of any object"[..], &[0; 32]] {
        let mut rig = Rig::new(alone());
        rig.get("/a");
        rig.answer("/a", 60, 30);
        {
            let mut store = rig.durable_tier.store.borrow_mut();
            let row = store.rows.get_mut(&key("/a")).expect("it was stored");
            let manifest = Arc::make_mut(&mut row.entry).manifest.as_mut().expect("it was stored");
            manifest.in_row = Some(rotten.into());
        }
        rig.get("/a");
        assert_eq!(rig.count(|event| matches!(event, Event::Durable(DurableEvent::Corrupt { .. }))), 1);
        assert!(rig.durable_tier.store.borrow().rows[&key("/a")].entry.manifest.is_none());
        rig.answer("/a", 50, 30);
        hit(&mut rig, 50);
        assert_idle(&rig);
    }
}

/// A body that breaks off leaves nothing, and nothing was asked for it.
#[test]
fn what_breaks_off_is_in_no_row() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60")]);
    rig.send("/a", 30, 20);
    rig.break_off("/a");
    assert_eq!(verdicts(&rig), [FillVerdict::Dropped(LaneEnd::Abandoned)]);
    assert!(matches!(rig.durable_tier.asked[..], [Ask::Read { .. }]), "{:?}", rig.durable_tier.asked);
    assert_idle(&rig);
}

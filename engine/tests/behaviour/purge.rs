//! A purge removes what is stored, and what began before it never arrives.

use crate::rig::{Rig, l0_only, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{
    ByteCount, CopyEvent, End, Event, LaneEnd, PurgeEvent, PurgeOutcome, ResidenceEvent, TierId,
};

fn stored(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. })))
}

/// F2, R10: it reaches every tier and says what it saw there.
#[test]
fn f2_a_purge_tells_what_it_saw_in_each_tier() {
    let mut rig = Rig::new(with_disk());
    let absent = rig.purge("/a");
    assert_eq!(rig.purged[&absent], [(TierId::L0, PurgeOutcome::Absent), (TierId::L2, PurgeOutcome::Absent)]);
    rig.get("/a");
    rig.answer("/a", 100, 30);
    let there = rig.purge("/a");
    let [(TierId::L0, PurgeOutcome::Removed(size)), (TierId::L2, PurgeOutcome::RemovedUnseen)] =
        rig.purged[&there][..]
    else {
        panic!("{:?}", rig.purged[&there])
    };
    assert!(size > ByteCount(100), "the head counts");
    assert!(rig.tiers[&TierId::L2].records.is_empty());
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2);
    rig.assert_idle_but_fetching();
}

/// F1: a fill that began before a purge reaches its readers but no tier; who asks later gets a new one.
#[test]
fn f1_a_purge_during_a_fill_is_not_undone() {
    for raw in [l0_only(), with_disk(), with_shared()] {
        let mut rig = Rig::new(raw);
        let before = rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "100")]);
        rig.send("/a", 50, 10);
        let old = rig.fetch("/a");
        rig.pass_time(Duration::from_millis(5));
        rig.purge("/a");
        let after = rig.get("/a");
        assert_eq!(rig.asked.len(), 2, "who asks after a purge does not join what began before");
        rig.pass_time(Duration::from_millis(5));
        rig.answer("/a", 70, 10);
        assert_eq!(rig.client(after).span().expect("one span").version, 2);
        let kept = stored(&rig);
        let newest = rig.fetch("/a");
        assert_ne!(newest, old);
        rig.fetches.remove(&newest);
        rig.send("/a", 50, 10);
        rig.end("/a");
        assert_eq!(rig.client(before).span().expect("one span").version, 1);
        assert_eq!(rig.client(before).end, Some(End::Complete));
        assert_eq!(stored(&rig), kept, "what began before is kept nowhere");
        let later = rig.get("/a");
        assert_eq!(rig.client(later).span().expect("one span").version, 2);
        rig.assert_idle();
    }
}

/// F1: a purge while the disk is publishing takes the record back, and is done only then.
#[test]
fn f1_a_purge_during_a_commit_takes_it_back() {
    for raw in [with_disk(), with_shared()] {
        let mut rig = Rig::new(raw);
        let tier = rig.engine_tier();
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        rig.send("/a", 50, 10);
        rig.tiers.get_mut(&tier).expect("configured").is_held = true;
        rig.end("/a");
        let purge = rig.purge("/a");
        assert!(!rig.purged.contains_key(&purge), "the tier has not answered");
        rig.release_tier(tier);
        assert!(rig.purged.contains_key(&purge));
        assert!(rig.tiers[&tier].records.is_empty());
        rig.get("/a");
        assert_eq!(rig.asked.len(), 2);
        rig.assert_idle_but_fetching();
    }
}

/// F1: a promotion that began before a purge does not arrive.
#[test]
fn f1_a_purge_during_a_promotion_stops_it() {
    let mut raw = with_disk();
    raw.l0.as_mut().expect("L0 is on by default").capacity = ByteCount(250);
    raw.fill.read_size = ByteCount(30);
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.answer("/a", 100, 30);
    rig.get("/b");
    rig.answer("/b", 200, 30);
    let reader = rig.get_slowly("/a");
    rig.demand(reader);
    rig.purge("/a");
    while rig.client(reader).end.is_none() {
        rig.demand(reader);
    }
    assert_eq!(rig.client(reader).end, Some(End::Complete), "the record stays open for its reader");
    assert_eq!(
        rig.count(|event| matches!(
            event,
            Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::Superseded, .. })
        )),
        1
    );
    rig.get("/a");
    assert_eq!(rig.asked.len(), 3);
}

/// A record from before a purge that somebody else publishes into the shared store afterwards is known by its
/// birth.
#[test]
fn what_others_publish_late_is_not_used() {
    let mut rig = Rig::new(with_shared());
    rig.get("/a");
    rig.answer("/a", 100, 30);
    let late = rig.tiers[&TierId::L1].records.clone();
    let current = rig.tiers[&TierId::L1].current.clone();
    rig.pass_time(Duration::from_millis(5));
    rig.purge("/a");
    let shared = rig.tiers.get_mut(&TierId::L1).expect("configured");
    shared.records = late;
    shared.current = current;
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2);
}

/// While a purge is with a tier, that tier is not asked for the key.
#[test]
fn a_purge_under_way_hides_the_lower_tiers() {
    let mut raw = with_shared();
    raw.l0 = None;
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.answer("/a", 100, 30);
    rig.tiers.get_mut(&TierId::L1).expect("configured").is_held = true;
    rig.purge("/a");
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2, "it goes to the origin at once");
}

/// A tier that cannot say whether it removed the key is told as such.
#[test]
fn a_purge_that_a_tier_fails_is_not_confirmed() {
    let mut rig = Rig::new(with_shared());
    rig.tiers.get_mut(&TierId::L1).expect("configured").fails = true;
    let purge = rig.purge("/a");
    assert_eq!(rig.purged[&purge], [(TierId::L0, PurgeOutcome::Absent), (TierId::L1, PurgeOutcome::Failed)]);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Purge(PurgeEvent::PurgeEnded { confirmed: false, .. }))),
        1
    );
}

/// F2: a record whose delete failed is out of the index but not off the disk; the next purge removes it for
/// good.
#[test]
fn f2_a_purge_reaches_what_the_index_has_forgotten() {
    let mut rig = Rig::new(with_disk());
    rig.get("/a");
    rig.answer("/a", 100, 30);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
    rig.purge("/a");
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = false;
    assert_eq!(rig.tiers[&TierId::L2].records.len(), 1);
    let again = rig.purge("/a");
    assert_eq!(
        rig.purged[&again],
        [(TierId::L0, PurgeOutcome::Absent), (TierId::L2, PurgeOutcome::RemovedUnseen)]
    );
    assert!(rig.tiers[&TierId::L2].records.is_empty());
}

/// The calendar is cut to milliseconds when a record is written and when it is read, which can make it look
/// younger than the purge that came after it. In doubt it was purged.
#[test]
fn a_birth_that_rounding_made_younger_counts_as_purged() {
    let mut other_edge = Rig::new(with_shared());
    other_edge.pass_time(Duration::from_micros(905));
    other_edge.get("/a");
    other_edge.pass_time(Duration::from_micros(9_095));
    other_edge.answer("/a", 100, 30);
    let published = &other_edge.tiers[&TierId::L1];

    let mut rig = Rig::new(with_shared());
    rig.pass_time(Duration::from_micros(924));
    rig.purge("/a");
    let shared = rig.tiers.get_mut(&TierId::L1).expect("configured");
    shared.records = published.records.clone();
    shared.current = published.current.clone();
    rig.pass_time(Duration::from_micros(19_076));
    rig.get("/a");
    assert_eq!(rig.asked, ["/a"], "the record is from before the purge");
}

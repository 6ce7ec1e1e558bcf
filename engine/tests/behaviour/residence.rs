//! What is resident, byte for byte: overwrites, evictions, what is too large, and recovery.

use crate::rig::{Rig, key, l0_only, with_disk};
use std::sync::Arc;
use std::time::Duration;
use tiergate_engine::{
    ByteCount, Event, Eviction, Head, Input, RawConfig, Record, RecordName, Rejection, Removal,
    StoredFreshness, TierId, WallTime,
};

fn resident(rig: &Rig, wanted: TierId) -> (u64, u64) {
    let last = rig.events.iter().rev().find_map(|event| match event {
        Event::Resident { tier, bytes, objects, .. } if *tier == wanted => Some((bytes.0, *objects)),
        _ => None,
    });
    last.unwrap_or((0, 0))
}

fn fill(rig: &mut Rig, target: &str, length: u64) {
    rig.get(target);
    rig.answer_chunked(target, length, 50);
}

/// What the head of [`fill`]'s responses costs: `cache-control` and `max-age=60`.
const HEAD: u64 = 13 + 10;

fn small(capacity: u64, eviction: Eviction) -> RawConfig {
    let mut raw = l0_only();
    let l0 = raw.l0.as_mut().expect("L0 is on by default");
    l0.capacity = ByteCount(capacity);
    l0.eviction = eviction.into();
    raw
}

/// A1: an overwrite costs the new size only.
#[test]
fn a1_an_overwrite_is_not_counted_twice() {
    let mut rig = Rig::new(with_disk());
    fill(&mut rig, "/a", 100);
    rig.pass_time(Duration::from_secs(61));
    fill(&mut rig, "/a", 30);
    for tier in [TierId::L0, TierId::L2] {
        assert_eq!(resident(&rig, tier), (30 + HEAD, 1), "{tier:?}");
    }
    assert_eq!(rig.tiers[&TierId::L2].records.len(), 1, "the older record is deleted");
    assert_eq!(rig.count(|event| matches!(event, Event::Removed { why: Removal::Replaced, .. })), 2);
    rig.assert_idle();
}

/// A4: what is larger than the whole tier evicts nobody, its length known or not.
#[test]
fn a4_what_cannot_fit_evicts_nobody() {
    let mut rig = Rig::new(small(300, Eviction::Lru));
    fill(&mut rig, "/a", 100);
    fill(&mut rig, "/b", 290);
    rig.get("/c");
    rig.answer("/c", 290, 50);
    assert_eq!(resident(&rig, TierId::L0), (100 + HEAD, 1));
    assert_eq!(rig.count(|event| matches!(event, Event::Rejected { why: Rejection::OverCapacity, .. })), 2);
    assert_eq!(rig.count(|event| matches!(event, Event::Removed { .. })), 0);
}

/// A5: a full tier makes room.
#[test]
fn a5_a_full_tier_evicts_then_admits() {
    let mut rig = Rig::new(small(2 * (100 + HEAD), Eviction::Lru));
    for target in ["/a", "/b"] {
        fill(&mut rig, target, 100);
    }
    rig.get("/a");
    fill(&mut rig, "/c", 100);
    assert_eq!(resident(&rig, TierId::L0), (2 * (100 + HEAD), 2));
    rig.get("/a");
    rig.get("/c");
    assert_eq!(rig.asked, ["/a", "/b", "/c"], "b was used least recently");
}

fn record(target: &str, name: u128, length: u64, age_s: u64) -> Record {
    let head = Head { status: 200, fields: [("cache-control", "max-age=60")].into_iter().collect() };
    Record {
        key: key(target),
        target: key(target),
        name: RecordName(name),
        head: Arc::new(head),
        length: ByteCount(length),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(1_000_000_000_000 - age_s * 1000),
            age_then: Duration::ZERO,
            lifetime: Duration::from_secs(60),
        },
    }
}

/// A2, A6, D5: after a restart the sum is that of what the disk holds, ages go on, and what is over capacity leaves.
#[test]
fn d5_recovery_rebuilds_the_sum() {
    let mut raw = with_disk();
    raw.l2.as_mut().expect("the disk is on").capacity = ByteCount(2 * (100 + HEAD));
    let mut rig = Rig::new(raw);
    let records = [record("/a", 1, 100, 30), record("/b", 2, 100, 20), record("/c", 3, 100, 70)];
    for record in &records {
        let disk = rig.tiers.get_mut(&TierId::L2).expect("configured");
        let body = vec![tiergate_engine::Symbol { object: 0, version: 9, offset: 0, size: 100 }];
        disk.records.insert(record.name, (Arc::new(record.clone()), body));
        disk.current.insert(record.key, record.name);
    }
    rig.feed(Input::Recovered { tier: TierId::L2, records: records.to_vec(), bans: vec![] });
    assert_eq!(resident(&rig, TierId::L2), (2 * (100 + HEAD), 2));
    assert_eq!(rig.tiers[&TierId::L2].records.len(), 2, "who left the index left the disk");
    let fresh = rig.get("/b");
    assert_eq!(rig.client(fresh).reply.as_ref().expect("it is served").age, Duration::from_secs(20));
    rig.get("/c");
    assert_eq!(rig.asked, ["/c"], "c is stale, and the disk is not even asked");
}

/// A purge of an unknown key after a restart takes nothing from the sum.
#[test]
fn a2_a_purge_of_nothing_changes_no_sum() {
    let mut rig = Rig::new(with_disk());
    fill(&mut rig, "/a", 100);
    rig.purge("/b");
    assert_eq!(resident(&rig, TierId::L2), (100 + HEAD, 1));
    rig.purge("/a");
    rig.purge("/a");
    assert_eq!(resident(&rig, TierId::L2), (0, 0));
    rig.assert_idle();
}

/// A3: whatever a tier refuses, and whenever, nothing is counted twice: no permit, no byte, no object.
#[test]
fn a3_failures_leave_every_count_right() {
    for fails_after in 0..12 {
        let mut rig = Rig::new(RawConfig { l1: Some(Default::default()), ..with_disk() });
        for round in 0..12 {
            let disk = rig.tiers.get_mut(&TierId::L2).expect("configured");
            disk.fails = round == fails_after;
            rig.tiers.get_mut(&TierId::L1).expect("configured").fails = round % 3 == fails_after % 3;
            rig.get(["/a", "/b", "/c"][round % 3]);
            if let Some((_, fetch)) = rig.fetches.iter().next_back()
                && rig.asked.len() > rig.count(|event| matches!(event, Event::HeadArrived { .. }))
            {
                let target = fetch.target.clone();
                rig.answer_chunked(&target, 100, 30);
            }
            // A delete that fails leaves its record on the disk: that is the purge's to say, not the sum's.
            if round % 4 == 3 && round != fails_after {
                rig.purge("/b");
            }
            rig.pass_time(Duration::from_secs(25));
        }
        rig.assert_idle();
        let disk = &rig.tiers[&TierId::L2];
        let whole = disk.current.len() as u64;
        assert_eq!(resident(&rig, TierId::L2), (whole * (100 + HEAD), whole), "fails after {fails_after}");
    }
}

/// A6: what a crash left twice is kept once, so that no number of restarts makes the disk grow.
#[test]
fn a6_restarts_do_not_grow_the_disk() {
    let mut records = vec![record("/a", 1, 100, 40), record("/a", 2, 100, 10), record("/b", 3, 100, 20)];
    for _ in 0..3 {
        let mut rig = Rig::new(with_disk());
        for record in &records {
            let disk = rig.tiers.get_mut(&TierId::L2).expect("configured");
            disk.records.insert(record.name, (Arc::new(record.clone()), Vec::new()));
            disk.current.insert(record.key, record.name);
        }
        rig.feed(Input::Recovered { tier: TierId::L2, records: records.clone(), bans: vec![] });
        assert_eq!(resident(&rig, TierId::L2), (2 * (100 + HEAD), 2));
        records = rig.tiers[&TierId::L2].records.values().map(|(record, _)| Record::clone(record)).collect();
        let names: Vec<_> = records.iter().map(|record| record.name.0).collect();
        assert_eq!(names, [2, 3], "the older of two is deleted");
        rig.assert_idle();
    }
}

/// A8: however long a body and however slow its reader, a response in flight holds no more than its window.
#[test]
fn a8_a_body_in_flight_is_held_in_a_window_only() {
    let window = 64 << 10;
    let mut raw = with_disk();
    raw.fill.window = ByteCount(window);
    raw.l0.as_mut().expect("L0 is on by default").gate = ByteCount(window);
    let mut rig = Rig::new(raw);
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    for sent in 1..200 {
        rig.send("/big", 16 << 10, 16 << 10);
        if sent % 3 == 0 {
            rig.demand(slow);
        }
        assert!(rig.engine.audit().window_bytes <= window, "{:?}", rig.engine.audit());
    }
}

//! What is resident, byte for byte, whoever decides who leaves: overwrites, evictions, what is too large, and recovery.

use crate::rig::{Rig, key, object, with_disk};
use std::sync::Arc;
use std::time::Duration;
use tiergate_engine::{
    ByteCount, Event, Eviction, Head, Input, RawConfig, Record, RecordName, Rejection, Removal,
    StoredFreshness, Symbol, TierId, WallTime,
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

/// What an object of [`fill`] with 100 bytes costs, and how many of them a tier of [`small`] holds. So many, because
/// S3-FIFO admits nothing larger than a tenth of a tier.
const OBJECT: u64 = 100 + HEAD;
const OBJECTS_MAX: u64 = 20;
const TIERS: [TierId; 2] = [TierId::L0, TierId::L2];

/// L0 and a disk, both small and under one policy.
fn small(eviction: Eviction) -> RawConfig {
    let mut raw = with_disk();
    let (l0, l2) = (raw.l0.as_mut().expect("L0 is on"), raw.l2.as_mut().expect("the disk is on"));
    (l0.capacity, l2.capacity) = (ByteCount(OBJECTS_MAX * OBJECT), ByteCount(OBJECTS_MAX * OBJECT));
    (l0.eviction, l2.eviction) = (eviction.into(), eviction.into());
    raw
}

/// A1: an overwrite costs the new size only.
#[test]
fn a1_an_overwrite_is_not_counted_twice() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        for length in [100, 30, 170] {
            fill(&mut rig, "/a", length);
            for tier in TIERS {
                assert_eq!(resident(&rig, tier), (length + HEAD, 1), "{tier:?} under {eviction:?}");
            }
            rig.pass_time(Duration::from_secs(61));
        }
        assert_eq!(rig.tiers[&TierId::L2].records.len(), 1, "the older records are deleted");
        let replaced = rig.count(|event| matches!(event, Event::Removed { why: Removal::Replaced, .. }));
        assert_eq!(replaced, 2 * 2, "{eviction:?}");
        assert_eq!(rig.count(|event| matches!(event, Event::Removed { .. })), replaced, "{eviction:?}");
        rig.assert_idle();
    }
}

/// A1: what is replaced while it is being sent counts no longer, and goes on being sent, whole.
#[test]
fn a1_a_replacement_is_not_counted_beside_what_is_being_sent() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(RawConfig { l0: None, ..small(eviction) });
        fill(&mut rig, "/a", 100);
        let reader = rig.get_slowly("/a");
        rig.demand(reader);
        rig.pass_time(Duration::from_secs(61));
        fill(&mut rig, "/a", 30);
        assert_eq!(resident(&rig, TierId::L2), (30 + HEAD, 1), "{eviction:?}");
        while rig.client(reader).end.is_none() {
            rig.demand(reader);
        }
        let older = Symbol { object: object("/a"), version: 1, offset: 0, size: 100 };
        assert_eq!(rig.client(reader).span(), Some(older), "{eviction:?}");
        assert_eq!(resident(&rig, TierId::L2), (30 + HEAD, 1), "{eviction:?}");
        rig.assert_idle();
    }
}

/// A4: what is larger than the whole tier evicts nobody, its length known or not.
#[test]
fn a4_what_cannot_fit_evicts_nobody() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        fill(&mut rig, "/a", 100);
        let too_large = OBJECTS_MAX * OBJECT - HEAD + 1;
        fill(&mut rig, "/b", too_large);
        rig.get("/c");
        rig.answer("/c", too_large, 500);
        for tier in TIERS {
            assert_eq!(resident(&rig, tier), (OBJECT, 1), "{tier:?} under {eviction:?}");
            let rejected = rig.count(
                |event| matches!(event, Event::Rejected { tier: of, why: Rejection::OverCapacity, .. } if *of == tier),
            );
            assert_eq!(rejected, 2, "{tier:?} under {eviction:?}");
        }
        assert_eq!(rig.tiers[&TierId::L2].records.len(), 1, "{eviction:?}");
        assert_eq!(rig.count(|event| matches!(event, Event::Removed { .. })), 0, "{eviction:?}");
        rig.assert_idle();
    }
}

/// A5: a full tier makes room, as much as is needed, and the newcomer is in.
#[test]
fn a5_a_full_tier_evicts_then_admits() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        for newcomer in 1..=2 * OBJECTS_MAX {
            let target = format!("/{newcomer}");
            fill(&mut rig, &target, 100);
            let objects = newcomer.min(OBJECTS_MAX);
            for tier in TIERS {
                assert_eq!(resident(&rig, tier), (objects * OBJECT, objects), "{tier:?} under {eviction:?}");
            }
            rig.get(&target);
            assert_eq!(rig.asked.len() as u64, newcomer, "{target} under {eviction:?}");
        }
        assert_eq!(rig.tiers[&TierId::L2].records.len() as u64, OBJECTS_MAX, "{eviction:?}");
        rig.assert_idle();
    }
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
    raw.l2.as_mut().expect("the disk is on").capacity = ByteCount(2 * OBJECT);
    let mut rig = Rig::new(raw);
    let records = [record("/a", 1, 100, 30), record("/b", 2, 100, 20), record("/c", 3, 100, 70)];
    for record in &records {
        let disk = rig.tiers.get_mut(&TierId::L2).expect("configured");
        let body = vec![tiergate_engine::Symbol { object: 0, version: 9, offset: 0, size: 100 }];
        disk.records.insert(record.name, (Arc::new(record.clone()), body));
        disk.current.insert(record.key, record.name);
    }
    rig.feed(Input::Recovered { tier: TierId::L2, records: records.to_vec(), bans: vec![] });
    assert_eq!(resident(&rig, TierId::L2), (2 * OBJECT, 2));
    assert_eq!(rig.tiers[&TierId::L2].records.len(), 2, "who left the index left the disk");
    let fresh = rig.get("/b");
    assert_eq!(rig.client(fresh).reply.as_ref().expect("it is served").age, Duration::from_secs(20));
    rig.get("/c");
    assert_eq!(rig.asked, ["/c"], "c is stale, and the disk is not even asked");
}

/// A purge of an unknown key after a restart takes nothing from the sum.
#[test]
fn a2_a_purge_of_nothing_changes_no_sum() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        fill(&mut rig, "/a", 100);
        rig.purge("/b");
        assert_eq!(resident(&rig, TierId::L2), (OBJECT, 1), "{eviction:?}");
        rig.purge("/a");
        rig.purge("/a");
        assert_eq!(resident(&rig, TierId::L2), (0, 0), "{eviction:?}");
        fill(&mut rig, "/b", 100);
        assert_eq!(resident(&rig, TierId::L2), (OBJECT, 1), "{eviction:?}");
        rig.assert_idle();
    }
}

/// A3: whatever a tier refuses, and whenever, nothing is counted twice: no permit, no byte, no object.
#[test]
fn a3_failures_leave_every_count_right() {
    let cases = Eviction::ALL.into_iter().flat_map(|eviction| (0..12).map(move |after| (eviction, after)));
    for (eviction, fails_after) in cases {
        let mut rig = Rig::new(RawConfig { l1: Some(Default::default()), ..small(eviction) });
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
        let sum = (whole * OBJECT, whole);
        assert_eq!(resident(&rig, TierId::L2), sum, "fails after {fails_after}, under {eviction:?}");
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
        assert_eq!(resident(&rig, TierId::L2), (2 * OBJECT, 2));
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

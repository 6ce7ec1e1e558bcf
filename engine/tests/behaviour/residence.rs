//! What is resident in L0, byte for byte, whoever decides who leaves: overwrites, evictions, and what is too
//! large; and when a local tier is asked after a start.

use crate::rig::{Rig, key, object, with_disk};
use std::sync::Arc;
use std::time::Duration;
use tiergate_engine::{
    ByteCount, CopyEvent, Event, Eviction, FetchEvent, Head, PurgeOutcome, RawConfig, Record, RecordName,
    Rejection, Removal, ResidenceEvent, ResilienceEvent, StoredFreshness, Symbol, TierId, WallTime,
};

fn resident(rig: &Rig, wanted: TierId) -> (u64, u64) {
    let last = rig.events.iter().rev().find_map(|event| match event {
        Event::Residence(ResidenceEvent::Resident { tier, bytes, objects, .. }) if *tier == wanted => {
            Some((bytes.0, *objects))
        }
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

/// What an object of [`fill`] with 100 bytes costs, and how many of them L0 of [`small`] holds. So many,
/// because S3-FIFO admits nothing larger than a tenth of a tier.
const OBJECT: u64 = 100 + HEAD;
const OBJECTS_MAX: u64 = 20;

/// L0 and a disk, both small; who leaves the disk is its own affair.
fn small(eviction: Eviction) -> RawConfig {
    let mut raw = with_disk();
    let (l0, l2) = (raw.l0.as_mut().expect("L0 is on"), raw.l2.as_mut().expect("the disk is on"));
    (l0.capacity, l2.capacity) = (ByteCount(OBJECTS_MAX * OBJECT), ByteCount(OBJECTS_MAX * OBJECT));
    l0.eviction = eviction.into();
    raw
}

/// A1: an overwrite costs the new size only.
#[test]
fn a1_an_overwrite_is_not_counted_twice() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        for length in [100, 30, 170] {
            fill(&mut rig, "/a", length);
            assert_eq!(resident(&rig, TierId::L0), (length + HEAD, 1), "{eviction:?}");
            rig.pass_time(Duration::from_secs(61));
        }
        let replaced = rig.count(|event| {
            matches!(event, Event::Residence(ResidenceEvent::Removed { why: Removal::Replaced, .. }))
        });
        assert_eq!(replaced, 2, "{eviction:?}");
        assert_eq!(
            rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Removed { .. }))),
            replaced,
            "{eviction:?}"
        );
        rig.assert_idle();
    }
}

/// A1: what is replaced while it is being sent goes on being sent, whole.
#[test]
fn a1_a_replacement_leaves_alone_what_is_being_sent() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    fill(&mut rig, "/a", 100);
    let reader = rig.get_slowly("/a");
    rig.demand(reader);
    rig.pass_time(Duration::from_secs(61));
    fill(&mut rig, "/a", 30);
    while rig.client(reader).end.is_none() {
        rig.demand(reader);
    }
    let older = Symbol { object: object("/a"), version: 1, offset: 0, size: 100 };
    assert_eq!(rig.client(reader).span(), Some(older));
    rig.assert_idle();
}

/// A4: what is larger than all of L0 evicts nobody, its length known or not.
#[test]
fn a4_what_cannot_fit_evicts_nobody() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        fill(&mut rig, "/a", 100);
        let too_large = OBJECTS_MAX * OBJECT - HEAD + 1;
        fill(&mut rig, "/b", too_large);
        rig.get("/c");
        rig.answer("/c", too_large, 500);
        assert_eq!(resident(&rig, TierId::L0), (OBJECT, 1), "{eviction:?}");
        let rejected = |event: &Event| {
            matches!(
                event,
                Event::Copy(CopyEvent::Rejected { tier: TierId::L0, why: Rejection::OverCapacity, .. })
            )
        };
        assert_eq!(rig.count(rejected), 2, "{eviction:?}");
        assert_eq!(
            rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Removed { .. }))),
            0,
            "{eviction:?}"
        );
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
            assert_eq!(resident(&rig, TierId::L0), (objects * OBJECT, objects), "{eviction:?}");
            rig.get(&target);
            assert_eq!(rig.asked.len() as u64, newcomer, "{target} under {eviction:?}");
        }
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

/// A local tier is neither looked up nor written to before it has joined; a purge reaches it all the same.
/// Afterwards it answers with what it has kept, whose ages have gone on.
#[test]
fn a_local_tier_is_asked_once_it_has_joined() {
    let raw = RawConfig { l0: None, ..with_disk() };
    let mut rig = Rig::starting(raw);
    for (target, name) in [("/a", 1), ("/b", 2), ("/c", 3)] {
        let record = record(target, name, 100, 20);
        let body = vec![Symbol { object: object(target), version: 9, offset: 0, size: 100 }];
        let disk = rig.tiers.get_mut(&TierId::L2).expect("configured");
        disk.current.insert(record.key, record.name);
        disk.records.insert(record.name, (Arc::new(record), body));
    }
    fill(&mut rig, "/a", 50);
    let purge = rig.purge("/c");
    assert_eq!(rig.purged[&purge], [(TierId::L2, PurgeOutcome::RemovedUnseen)]);
    assert_eq!((rig.asked.as_slice(), rig.tiers[&TierId::L2].lookups), (&["/a".to_owned()][..], 0));
    let rejected = rig.count(|event| {
        matches!(event, Event::Copy(CopyEvent::Rejected { tier: TierId::L2, why: Rejection::NotJoined, .. }))
    });
    assert_eq!(rejected, 1);
    rig.join();
    let found = rig.get("/b");
    assert_eq!(rig.client(found).reply.as_ref().expect("it is served").age, Duration::from_secs(20));
    rig.get("/c");
    assert_eq!(rig.asked, ["/a", "/c"]);
    let joined = |event: &Event| {
        matches!(event, Event::Resilience(ResilienceEvent::TierJoined { tier: TierId::L2, objects: 2, .. }))
    };
    assert_eq!(rig.count(joined), 1);
}

/// A purge of an unknown key takes nothing from the sum.
#[test]
fn a2_a_purge_of_nothing_changes_no_sum() {
    for eviction in Eviction::ALL {
        let mut rig = Rig::new(small(eviction));
        fill(&mut rig, "/a", 100);
        rig.purge("/b");
        assert_eq!(resident(&rig, TierId::L0), (OBJECT, 1), "{eviction:?}");
        rig.purge("/a");
        rig.purge("/a");
        assert_eq!(resident(&rig, TierId::L0), (0, 0), "{eviction:?}");
        fill(&mut rig, "/b", 100);
        assert_eq!(resident(&rig, TierId::L0), (OBJECT, 1), "{eviction:?}");
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
                && rig.asked.len()
                    > rig.count(|event| matches!(event, Event::Fetch(FetchEvent::HeadArrived { .. })))
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

//! Byte gates and lanes: no tier takes what is too large for it, and a lane that lost anything never commits.

use crate::rig::{Rig, object, with_disk, with_shared};
use tiergate_engine::{
    ByteCount, CopyEvent, End, Event, LaneEnd, RawConfig, Rejection, ResidenceEvent, Symbol, TierId,
};

fn gated(l0_gate: u64, l2_gate: u64) -> RawConfig {
    let mut raw = with_disk();
    raw.l0.as_mut().expect("L0 is on by default").gate = ByteCount(l0_gate);
    raw.l2.as_mut().expect("the disk is on").gate = ByteCount(l2_gate);
    raw
}

fn stored(rig: &Rig, wanted: TierId) -> usize {
    rig.count(
        |event| matches!(event, Event::Residence(ResidenceEvent::Stored { tier, .. }) if *tier == wanted),
    )
}

/// M1: a known length at the gate is admitted, one byte more builds no lane at all.
#[test]
fn m1_a_known_length_is_checked_before_the_first_byte() {
    for (length, into_l0, into_l2) in [(100, 1, 1), (101, 0, 1), (200, 0, 1), (201, 0, 0)] {
        let mut rig = Rig::new(gated(100, 200));
        let client = rig.get("/a");
        rig.answer("/a", length, 7);
        assert_eq!(
            (stored(&rig, TierId::L0), stored(&rig, TierId::L2)),
            (into_l0, into_l2),
            "{length} bytes"
        );
        let rejected = |event: &Event| {
            matches!(event, Event::Copy(CopyEvent::Rejected { why: Rejection::OverGate, .. }))
        };
        assert_eq!(rig.count(rejected), 2 - into_l0 - into_l2, "{length} bytes");
        assert_eq!(rig.count(|event| matches!(event, Event::Copy(CopyEvent::LaneDropped { .. }))), 0);
        assert_eq!(rig.client(client).received(), length);
        rig.assert_idle();
    }
}

/// M2: an unknown length starts, and the tier is dropped when the running total crosses its gate.
#[test]
fn m2_an_unknown_length_is_checked_as_it_grows() {
    for (length, into_l0, into_l2) in [(100, 1, 1), (101, 0, 1), (200, 0, 1), (201, 0, 0)] {
        let mut rig = Rig::new(gated(100, 200));
        let client = rig.get("/a");
        rig.answer_chunked("/a", length, 7);
        assert_eq!(
            (stored(&rig, TierId::L0), stored(&rig, TierId::L2)),
            (into_l0, into_l2),
            "{length} bytes"
        );
        let dropped = |event: &Event| {
            matches!(event, Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::OverGate, .. }))
        };
        assert_eq!(rig.count(dropped), 2 - into_l0 - into_l2, "{length} bytes");
        assert_eq!(rig.client(client).received(), length);
        rig.assert_idle();
    }
}

/// M3, T5: a shared store that does not keep up loses its copy at the first chunk too many; nobody waits for
/// it.
#[test]
fn t5_a_lane_that_lost_a_chunk_never_commits() {
    let mut raw = with_shared();
    raw.l0 = None;
    raw.fill.lane_chunks_max = 3;
    let mut rig = Rig::new(raw);
    rig.tiers.get_mut(&TierId::L1).expect("configured").is_held = true;
    let client = rig.get("/a");
    rig.release_tier(TierId::L1);
    rig.tiers.get_mut(&TierId::L1).expect("configured").is_held = true;
    rig.head("/a", 200, &[("cache-control", "max-age=60")]);
    rig.send("/a", 30, 10);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Copy(CopyEvent::LaneDropped { .. }))),
        0,
        "three may wait"
    );
    rig.send("/a", 10, 10);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::Full, .. }))),
        1
    );
    rig.send("/a", 60, 10);
    rig.end("/a");
    assert_eq!(
        rig.client(client).span(),
        Some(Symbol { object: object("/a"), version: 1, offset: 0, size: 100 })
    );
    rig.release_tier(TierId::L1);
    assert!(rig.tiers[&TierId::L1].records.is_empty());
    rig.assert_idle();
}

/// C1: whatever a tier refuses, the client's response is the same.
#[test]
fn c1_a_tier_that_fails_changes_no_response() {
    for tier in [TierId::L1, TierId::L2] {
        let raw = if tier == TierId::L1 { with_shared() } else { with_disk() };
        let mut rig = Rig::new(RawConfig { l0: None, ..raw });
        rig.tiers.get_mut(&tier).expect("configured").fails = true;
        for _ in 0..2 {
            let client = rig.get("/a");
            rig.answer("/a", 50, 10);
            assert_eq!(rig.client(client).end, Some(End::Complete));
            assert_eq!(rig.client(client).received(), 50);
        }
        assert_eq!(rig.asked.len(), 2, "nothing was stored");
        rig.assert_idle();
    }
}

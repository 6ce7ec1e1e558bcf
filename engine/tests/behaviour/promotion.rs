//! Hits below L0: they stream, and copy into L0 what is read to its end.

use crate::rig::{Rig, key, object, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{
    AbortReason, BreakerState, ByteCount, CopyEvent, End, Event, LaneEnd, Method, MissReason, Outcome,
    Promotion, RawBreaker, RawConfig, Rejection, ReplyBody, RequestEvent, ResidenceEvent, ResilienceEvent,
    Symbol, TierId,
};

/// A disk that holds `/a` (100 bytes), under an L0 that has lost it to `/b`.
fn only_on_disk(mut raw: RawConfig) -> Rig {
    raw.l0.as_mut().expect("L0 is on by default").capacity = ByteCount(250);
    raw.fill.read_size = ByteCount(30);
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.answer("/a", 100, 30);
    rig.get("/b");
    rig.answer("/b", 200, 30);
    rig.events.clear();
    rig
}

fn promoted(rig: &Rig) -> usize {
    rig.count(|event| {
        matches!(event, Event::Residence(ResidenceEvent::Stored { tier: TierId::L0, from: Some(_), .. }))
    })
}

/// A hit in a lower tier is served whole and then answers from L0; C2: the response ends before the copy is
/// visible.
#[test]
fn c2_a_hit_below_is_promoted_once_it_was_read() {
    for (raw, tier) in [(with_disk(), TierId::L2), (with_shared(), TierId::L1)] {
        let mut rig = only_on_disk(raw);
        let client = rig.get("/a");
        assert_eq!(rig.client(client).reply.as_ref().expect("it is served").outcome, Outcome::Hit { tier });
        assert_eq!(
            rig.client(client).span(),
            Some(Symbol { object: object("/a"), version: 1, offset: 0, size: 100 })
        );
        assert_eq!(promoted(&rig), 1);
        let at = |wanted: fn(&Event) -> bool| rig.events.iter().position(wanted).expect("it happened");
        assert!(
            at(|event| matches!(event, Event::Request(RequestEvent::Served { .. })))
                < at(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. })))
        );
        let again = rig.get("/a");
        assert_eq!(
            rig.client(again).reply.as_ref().expect("it is served").outcome,
            Outcome::Hit { tier: TierId::L0 }
        );
        assert_eq!(rig.asked, ["/a", "/b"]);
        rig.assert_idle();
    }
}

/// F4: a promotion does not restart the lifetime.
#[test]
fn f4_promotion_keeps_the_age() {
    let mut rig = only_on_disk(with_disk());
    rig.pass_time(Duration::from_secs(50));
    rig.get("/a");
    rig.pass_time(Duration::from_secs(9));
    let old = rig.get("/a");
    assert_eq!(rig.client(old).reply.as_ref().expect("it is served").age, Duration::from_secs(59));
    rig.pass_time(Duration::from_secs(1));
    let stale = rig.get("/a");
    rig.answer("/a", 10, 10);
    let expected = Outcome::Miss { reason: MissReason::Stale, collapsed: false, storing: true };
    assert_eq!(rig.client(stale).reply.as_ref().expect("it is served").outcome, expected);
}

/// T6: a reader that leaves half way promotes nothing, and what it opened is closed.
#[test]
fn t6_a_reader_that_leaves_promotes_nothing() {
    let mut rig = only_on_disk(with_disk());
    let client = rig.get_slowly("/a");
    rig.demand(client);
    rig.demand(client);
    rig.leave(client);
    assert_eq!(promoted(&rig), 0);
    assert_eq!(
        rig.count(|event| matches!(
            event,
            Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::Abandoned, .. })
        )),
        1
    );
    rig.assert_idle();
}

/// T7: a reader that reads nothing commits nothing.
#[test]
fn t7_nothing_read_means_nothing_promoted() {
    let mut rig = only_on_disk(with_disk());
    let head = rig.ask(tiergate_engine::Method::Head, "/a", &[], true);
    rig.leave(head);
    assert_eq!(promoted(&rig), 0);
    assert_eq!(rig.count(|event| matches!(event, Event::Copy(CopyEvent::LaneOpened { .. }))), 0);
    rig.assert_idle();
}

/// P3: `never` opens nothing; a gate refuses by name.
#[test]
fn promotion_obeys_policy_and_gate() {
    let mut never = with_disk();
    never.promotion.l2_to_l0 = Promotion::Never;
    let mut rig = only_on_disk(never);
    rig.get("/a");
    assert_eq!(
        rig.count(|event| matches!(
            event,
            Event::Copy(CopyEvent::LaneOpened { .. } | CopyEvent::Rejected { .. })
        )),
        0
    );

    let mut gated = with_disk();
    gated.l0.as_mut().expect("L0 is on by default").gate = ByteCount(99);
    let mut rig = only_on_disk(gated);
    rig.get("/a");
    assert_eq!(promoted(&rig), 0);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Copy(CopyEvent::Rejected { why: Rejection::OverGate, .. }))),
        1
    );
}

/// Two readers at once copy once.
#[test]
fn one_reader_promotes_at_a_time() {
    let mut rig = only_on_disk(with_disk());
    let slow = rig.get_slowly("/a");
    let fast = rig.get("/a");
    assert_eq!(rig.client(fast).received(), 100);
    assert_eq!(promoted(&rig), 0, "the slow one copies");
    while rig.client(slow).end.is_none() {
        rig.demand(slow);
    }
    assert_eq!(promoted(&rig), 1);
    rig.assert_idle();
}

/// R1: a record that the index promises but the disk has lost is a miss, and is forgotten.
#[test]
fn r1_a_lost_record_is_a_miss() {
    let mut rig = only_on_disk(with_disk());
    rig.tiers.get_mut(&TierId::L2).expect("configured").records.clear();
    let client = rig.get("/a");
    rig.answer("/a", 40, 40);
    assert_eq!(
        rig.client(client).span(),
        Some(Symbol { object: object("/a"), version: 3, offset: 0, size: 40 })
    );
    rig.assert_idle();
}

/// A read that fails in the middle breaks the response visibly, and the record is deleted, so that nobody
/// else comes to it. Rot is told as such, and says nothing against the tier.
#[test]
fn a_failed_read_is_seen_and_not_repeated() {
    for rots in [false, true] {
        let mut raw = with_disk();
        raw.resilience.breaker = RawBreaker { failures_in_a_row: 1, ..RawBreaker::default() };
        let mut rig = only_on_disk(raw);
        let client = rig.get_slowly("/a");
        rig.demand(client);
        rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
        rig.demand(client);
        let held = rig.tiers.get_mut(&TierId::L2).expect("configured");
        (held.fails, held.rots) = (!rots, rots);
        rig.answer_tier(TierId::L2, |_| 0);
        let held = rig.tiers.get_mut(&TierId::L2).expect("configured");
        (held.fails, held.rots) = (false, false);
        rig.release_tier(TierId::L2);
        assert_eq!(rig.client(client).end, Some(End::Aborted(AbortReason::TierRead(TierId::L2))));
        assert!(rig.tiers[&TierId::L2].records.values().all(|(record, _)| record.key != key("/a")));
        let told = |event: &Event| {
            matches!(event, Event::Resilience(ResilienceEvent::FoundRotten { tier: TierId::L2, .. }))
        };
        let failed = |event: &Event| matches!(event, Event::Resilience(ResilienceEvent::TierFailed { .. }));
        let opened = |event: &Event| {
            matches!(
                event,
                Event::Resilience(ResilienceEvent::BreakerChanged { state: BreakerState::Open { .. }, .. })
            )
        };
        let seen = (rig.count(told), rig.count(failed), rig.count(opened));
        assert_eq!(seen, if rots { (1, 0, 0) } else { (0, 1, 1) });
        rig.get("/a");
        assert_eq!(rig.asked, ["/a", "/b", "/a"]);
        assert_eq!(promoted(&rig), 0);
    }
}

/// A body that comes along with the lookup is served at once, and read by nobody: the whole to whom asks for
/// it, a part, and the head alone. C2: the response ends before the copy into L0 is visible.
#[test]
fn a_body_that_comes_along_is_not_read() {
    let body = Symbol { object: object("/a"), version: 1, offset: 0, size: 100 };
    let asks = [
        (Method::Get, &[][..], Some(body), 1),
        (Method::Get, &[("range", "bytes=10-19")][..], Some(Symbol { offset: 10, size: 10, ..body }), 0),
        // The front leaves it out, as it does for a hit in L0.
        (Method::Head, &[][..], Some(body), 0),
    ];
    for (raw, tier) in [(with_disk(), TierId::L2), (with_shared(), TierId::L1)] {
        for (method, fields, expected, copies) in asks {
            let mut rig = only_on_disk(raw.clone());
            rig.tiers.get_mut(&tier).expect("configured").brings_bodies = true;
            let client = rig.ask(method, "/a", fields, false);
            let reply = rig.client(client).reply.as_ref().expect("it is served");
            assert_eq!(reply.outcome, Outcome::Hit { tier });
            assert!(matches!(reply.body, ReplyBody::Whole(_)));
            assert_eq!(rig.client(client).span(), expected, "{method:?} {fields:?}");
            assert_eq!((rig.tiers[&tier].read, rig.tiers[&tier].open_records()), (0, 0));
            assert_eq!(promoted(&rig), copies, "{method:?} {fields:?}");
            let at = |wanted: fn(&Event) -> bool| rig.events.iter().position(wanted);
            let served = at(|event| matches!(event, Event::Request(RequestEvent::Served { .. })));
            assert!(
                served < at(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. })))
                    || copies == 0
            );
            rig.assert_idle();
        }
    }
}

/// A body along that is shorter than its record says is not the record's: it is not served, and the record
/// goes.
#[test]
fn a_body_of_another_length_is_not_served() {
    let mut rig = only_on_disk(with_disk());
    let disk = rig.tiers.get_mut(&TierId::L2).expect("configured");
    disk.brings_bodies = true;
    for (record, body) in disk.records.values_mut().filter(|(record, _)| record.key == key("/a")) {
        assert_eq!(record.length, ByteCount(100));
        body.pop();
    }
    rig.get("/a");
    assert_eq!(rig.asked, ["/a", "/b", "/a"]);
    assert!(rig.tiers[&TierId::L2].records.values().all(|(record, _)| record.key != key("/a")));
}

/// Many who ask while the tier looks share one lookup.
#[test]
fn lookups_collapse() {
    let mut rig = only_on_disk(with_disk());
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    let clients: Vec<_> = (0..5).map(|_| rig.get("/a")).collect();
    rig.release_tier(TierId::L2);
    for client in clients {
        assert_eq!(rig.client(client).received(), 100);
    }
    assert_eq!(
        rig.count(|event| matches!(event, Event::Request(RequestEvent::Hit { tier: TierId::L2, .. }))),
        5
    );
    rig.assert_idle();
}

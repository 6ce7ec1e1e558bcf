//! Bodies come whole or visibly broken, and they are the ones that were stored: whatever tier they come from.

use crate::rig::{Rig, key, l0_only, object, with_disk, with_shared};
use std::{collections::BTreeSet, time::Duration};
use tiergate_engine::{
    AbortReason, ByteCount, CopyEvent, End, Event, OriginFailure, RawConfig, Symbol, TierId,
};

/// Everything below L0, so that each answer is read from a tier.
fn without_memory(raw: RawConfig) -> RawConfig {
    RawConfig { l0: None, ..raw }
}

fn version(version: u32, size: u64) -> Option<Symbol> {
    Some(Symbol { object: object("/a"), version, offset: 0, size })
}

/// T2: two fills of one key write at once, each under a name of its own, and each record holds one body.
#[test]
fn t2_two_fills_of_one_key_never_share_a_name() {
    let mut rig = Rig::new(without_memory(with_disk()));
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    for length in [100, 70] {
        rig.get("/a");
        rig.answer_lookups(TierId::L2);
        rig.answer("/a", length, 10);
        rig.pass_time(Duration::from_secs(60));
    }
    let names: BTreeSet<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Copy(CopyEvent::LaneOpened { tier: TierId::L2, name, .. }) => *name,
            _ => None,
        })
        .collect();
    assert_eq!(names.len(), 2, "one name for each fill");
    rig.release_tier(TierId::L2);
    for (record, body) in rig.tiers[&TierId::L2].records.values() {
        let versions: BTreeSet<_> = body.iter().map(|chunk| chunk.version).collect();
        assert_eq!(versions.len(), 1, "{} mixes {versions:?}", record.name.0);
    }
    rig.assert_idle();
}

/// T9: a reader that began with one version ends with it, though a newer one has taken its place meanwhile.
#[test]
fn t9_a_reader_stays_with_the_record_that_it_opened() {
    let mut rig = Rig::new(without_memory(with_disk()));
    rig.get("/a");
    rig.answer("/a", 100, 10);
    let reader = rig.get_slowly("/a");
    rig.demand(reader);
    rig.pass_time(Duration::from_secs(60));
    rig.get("/a");
    rig.answer("/a", 100, 10);
    let next = rig.get("/a");
    assert_eq!(rig.client(next).span(), version(2, 100), "the newer one is what is stored");
    while rig.client(reader).end.is_none() {
        rig.demand(reader);
    }
    assert_eq!(rig.client(reader).span(), version(1, 100));
    rig.assert_idle();
}

/// T10: a tier that hands over less than was asked for is asked on from there, and what is copied from it is
/// whole.
#[test]
fn t10_a_short_read_is_read_on() {
    let mut raw = with_disk();
    raw.l0.as_mut().expect("L0 is on by default").capacity = ByteCount(250);
    let mut rig = Rig::new(raw);
    rig.get("/a");
    // The rig's disk hands over one stored chunk at a time, however much is asked for.
    rig.answer("/a", 100, 7);
    rig.get("/b");
    rig.answer("/b", 200, 200);
    let below = rig.get("/a");
    assert_eq!(rig.client(below).body.len(), 15);
    assert_eq!(rig.client(below).span(), version(1, 100));
    let above = rig.get("/a");
    assert_eq!(rig.client(above).span(), version(1, 100), "L0's copy has every byte once");
    assert_eq!(rig.asked, ["/a", "/b"]);
    rig.assert_idle();
}

/// T11: after its head a client gets bytes of that body or the end of it, and an error is an end that it can
/// see.
#[test]
fn t11_after_the_head_an_error_only_breaks_off() {
    let mut rig = Rig::new(l0_only());
    let [fast, slow] = [rig.get("/a"), rig.get_slowly("/a")];
    rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "100")]);
    rig.send("/a", 60, 20);
    rig.demand(slow);
    rig.break_off("/a");
    for (client, received) in [(fast, 60), (slow, 20)] {
        let client = rig.client(client);
        assert_eq!(client.span(), version(1, received), "no byte but the body's own");
        assert_eq!(client.end, Some(End::Aborted(AbortReason::Origin(OriginFailure::Broken))));
        assert_eq!(client.reply.as_ref().map(|reply| reply.head.status), Some(200), "one head");
        assert!(client.refusal.is_none());
    }
    rig.assert_idle();
}

/// T13: a tier that answers with another key's record, as one with short hashes would, is not believed.
#[test]
fn t13_a_record_of_another_key_is_a_miss() {
    for (raw, tier) in [(with_shared(), TierId::L1), (with_disk(), TierId::L2)] {
        let mut rig = Rig::new(without_memory(raw));
        for target in ["/a", "/b"] {
            rig.get(target);
            rig.answer(target, 100, 100);
        }
        let held = rig.tiers.get_mut(&tier).expect("configured");
        let (a, b) = (held.current[&key("/a")], held.current[&key("/b")]);
        let other = held.records[&b].clone();
        held.records.insert(a, other);
        let client = rig.get("/a");
        assert_eq!(rig.asked, ["/a", "/b", "/a"], "{tier:?}");
        rig.answer("/a", 50, 50);
        assert_eq!(rig.client(client).span(), version(3, 50), "{tier:?}");
        rig.assert_idle();
    }
}

/// T14: the head comes back as it was stored: every line, in order, `Content-Encoding` with it.
#[test]
fn t14_the_whole_head_comes_back_from_every_tier() {
    let fields = [
        ("cache-control", "max-age=60"),
        ("content-encoding", "br"),
        ("content-type", "text/plain; charset=utf-8"),
        ("link", "</a.css>; rel=preload"),
        ("link", "</b.css>; rel=preload"),
        ("x-empty", ""),
        ("content-length", "100"),
    ];
    for raw in [l0_only(), without_memory(with_shared()), without_memory(with_disk())] {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        rig.head("/a", 203, &fields);
        rig.send("/a", 100, 100);
        rig.end("/a");
        let again = rig.get("/a");
        let head = &rig.client(again).reply.as_ref().expect("it is served").head;
        assert_eq!(head.status, 203);
        let lines: Vec<_> = head.fields.iter().collect();
        assert_eq!(lines, fields.map(|(name, value)| (name, value.as_bytes())));
        assert_eq!(rig.asked.len(), 1);
    }
}

/// The last byte that was promised is the end: who reads it and asks again at once finds what was stored, and
/// nothing more is asked of the origin.
#[test]
fn the_last_byte_that_was_promised_is_the_end() {
    let mut rig = Rig::new(l0_only());
    let first = rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "100")]);
    rig.send("/a", 100, 40);
    assert_eq!(rig.client(first).end, Some(End::Complete));
    let second = rig.get("/a");
    assert_eq!((rig.client(second).span(), rig.asked.len()), (version(1, 100), 1));
    rig.assert_idle();
}

//! The fast path: fresh L0 hits only, and only for requests that may be answered so.

use crate::rig::{Rig, key, l0_only};
use std::time::Duration;
use tiergate_engine::{ByteCount, Method};

fn through_the_door(rig: &mut Rig, method: Method, fields: &[(&str, &str)]) -> Option<ByteCount> {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    rig.engine.fresh_hit(rig.now, key("/a"), method, fields).map(|resident| resident.length)
}

/// P1: a fresh hit comes out without an effect or an event; all else is told to ask properly.
#[test]
fn p1_a_fresh_hit_queues_nothing() {
    let mut rig = Rig::new(l0_only());
    assert_eq!(through_the_door(&mut rig, Method::Get, &[]), None);
    rig.get("/a");
    rig.answer("/a", 100, 30);
    assert_eq!(through_the_door(&mut rig, Method::Get, &[("accept", "*/*")]), Some(ByteCount(100)));
    assert!(rig.engine.poll_effect().is_none());
    assert!(rig.engine.poll_event().is_none());
    for field in ["range", "authorization", "if-none-match", "if-modified-since", "if-match", "if-range"] {
        assert_eq!(through_the_door(&mut rig, Method::Get, &[(field, "x")]), None, "{field}");
    }
    assert_eq!(through_the_door(&mut rig, Method::Head, &[]), Some(ByteCount(100)), "for its head");
    assert_eq!(through_the_door(&mut rig, Method::Other, &[]), None);
    rig.pass_time(Duration::from_secs(60));
    assert_eq!(through_the_door(&mut rig, Method::Get, &[]), None, "it is stale");
}

/// A hit through the door is a use: it keeps the object from being evicted.
#[test]
fn the_door_counts_uses() {
    let mut raw = l0_only();
    let l0 = raw.l0.as_mut().expect("L0 is on by default");
    l0.capacity = ByteCount(300);
    l0.eviction = tiergate_engine::Eviction::Lru.into();
    let mut rig = Rig::new(raw);
    for target in ["/a", "/b"] {
        rig.get(target);
        rig.answer_chunked(target, 100, 100);
    }
    assert!(through_the_door(&mut rig, Method::Get, &[]).is_some());
    rig.get("/c");
    rig.answer_chunked("/c", 100, 100);
    assert!(through_the_door(&mut rig, Method::Get, &[]).is_some(), "b left instead");
}

//! The fast path: fresh L0 hits only, and only for requests that may be answered so.

use crate::rig::{Rig, key, l0_only};
use std::time::Duration;
use tiergate_engine::{ByteCount, Length, Method};

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
    assert_eq!(through_the_door(&mut rig, Method::Get, &[("authorization", "x")]), None);
    assert_eq!(through_the_door(&mut rig, Method::Head, &[]), Some(ByteCount(100)), "for its head");
    assert_eq!(through_the_door(&mut rig, Method::Other, &[]), None);
    rig.pass_time(Duration::from_secs(60));
    assert_eq!(through_the_door(&mut rig, Method::Get, &[]), None, "it is stale");
}

/// What conditions and a range leave of a fresh hit comes out the same way, as the proper way in would have
/// it; several ranges are left to that.
#[test]
fn conditions_and_a_range_are_judged_at_the_door() {
    let mut rig = Rig::new(l0_only());
    rig.get("/a");
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    rig.head(
        "/a",
        200,
        &[("cache-control", "max-age=60"), ("content-length", "100"), ("etag", "\"v\""), modified],
    );
    rig.send("/a", 100, 100);
    rig.end("/a");
    for (method, field, status, length) in [
        (Method::Get, ("if-none-match", "\"v\""), 304, 0),
        (Method::Head, ("if-none-match", "\"v\""), 304, 0),
        (Method::Get, ("if-none-match", "\"w\""), 200, 100),
        (Method::Get, ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"), 304, 0),
        (Method::Get, ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT"), 200, 100),
        (Method::Get, ("if-match", "\"w\""), 412, 0),
        (Method::Get, ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT"), 412, 0),
        (Method::Get, ("range", "bytes=10-19"), 206, 10),
        (Method::Head, ("range", "bytes=10-19"), 200, 100),
        (Method::Get, ("range", "bytes=100-"), 416, 0),
        (Method::Get, ("range", "lines=1"), 200, 100),
    ] {
        let fields = [(field.0, field.1.as_bytes())];
        let hit = rig.engine.fresh_hit(rig.now, key("/a"), method, fields.into_iter());
        let hit = hit.map(|resident| (resident.head.status, resident.length));
        assert_eq!(hit, Some((status, ByteCount(length))), "{method:?} {field:?}");
        let asked = rig.ask(method, "/a", &[field], false);
        let reply = rig.client(asked).reply.as_ref().map(|reply| (reply.head.status, reply.length));
        assert_eq!(reply, Some((status, Length::Known(ByteCount(length)))), "{method:?} {field:?}");
    }
    assert_eq!(through_the_door(&mut rig, Method::Get, &[("range", "bytes=0-1,3-4")]), None);
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

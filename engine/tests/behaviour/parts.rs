//! Ranges: a part of what L0 holds whole; everything else is the origin's.

use crate::rig::{Rig, l0_only, object, with_disk};
use tiergate_engine::{Method, RawConfig, Symbol};

/// `/a` of 100 bytes in chunks of 30, fresh and stored.
fn stored(raw: RawConfig) -> Rig {
    let mut rig = Rig::new(raw);
    rig.get("/a");
    let fields = [("cache-control", "max-age=60"), ("etag", "\"v1\""), ("content-length", "100")];
    rig.head("/a", 200, &fields);
    rig.send("/a", 100, 30);
    rig.end("/a");
    rig
}

/// RFC 9110 section 14: each range gets exactly its bytes, with a head that says so.
#[test]
fn a_range_is_served_from_what_is_whole() {
    let mut rig = stored(l0_only());
    for (range, status, offset, size) in [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=25-64", 206, 25, 40),
        ("bytes=30-", 206, 30, 70),
        ("bytes=-1", 206, 99, 1),
        ("bytes=99-500", 206, 99, 1),
        ("bytes=100-", 416, 0, 0),
        ("pages=1-2", 200, 0, 100),
    ] {
        let client = rig.ask(Method::Get, "/a", &[("range", range)], false);
        let reply = rig.client(client).reply.as_ref().expect("it was served");
        assert_eq!(reply.head.status, status, "{range}");
        let lengths: Vec<_> = reply.head.fields.all("content-length").collect();
        assert_eq!(lengths, [size.to_string().as_bytes()], "{range}");
        let expected = Symbol { object: object("/a"), version: 1, offset, size };
        assert_eq!(rig.client(client).span(), (size > 0).then_some(expected), "{range}");
    }
    assert_eq!(rig.asked.len(), 1);
    rig.assert_idle();
}

/// T12: a range of what L0 does not hold whole goes around, several at once do too, and nothing of it is stored.
#[test]
fn other_ranges_go_around() {
    let mut rig = stored(with_disk());
    let absent = rig.ask(Method::Get, "/b", &[("range", "bytes=0-1")], false);
    let several = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1,5-6")], false);
    for client in [absent, several] {
        assert!(rig.client(client).is_passed);
    }
    assert_eq!(rig.asked, ["/a"]);
}

/// If-Range: the part if the validator is the stored one, the whole if not.
#[test]
fn if_range_decides_between_part_and_whole() {
    let mut rig = stored(l0_only());
    for (tag, size) in [("\"v1\"", 2), ("\"v2\"", 100), ("W/\"v1\"", 100)] {
        let client = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1"), ("if-range", tag)], false);
        assert_eq!(rig.client(client).received(), size, "{tag}");
    }
}

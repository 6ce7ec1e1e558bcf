//! Ranges: parts of what a tier holds whole; everything else is the origin's.

use crate::rig::{Rig, l0_only, object, parts_pass, with_disk, with_shared};
use tiergate_engine::{Chunk, Method, RawConfig, Symbol};

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

/// T12: with `on_range: never`, a range of what no tier holds whole goes around, and nothing of it is stored.
#[test]
fn t12_a_range_of_what_is_not_stored_goes_around() {
    for raw in [l0_only(), with_disk(), with_shared()] {
        let mut rig = stored(parts_pass(raw));
        let absent = rig.ask(Method::Get, "/b", &[("range", "bytes=0-1")], false);
        assert!(rig.client(absent).is_passed);
        assert_eq!(rig.asked, ["/a"]);
        rig.assert_idle();
    }
}

/// T12: with `on_range: never`, a range does not wait for a whole that is being fetched, and a fetch for
/// everybody never asks for a part.
#[test]
fn t12_no_fetch_asks_for_a_part() {
    for raw in [l0_only(), with_disk()] {
        let mut rig = Rig::new(parts_pass(raw));
        let whole = rig.ask(Method::Get, "/a", &[("if-range", "\"v1\"")], false);
        let part = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1")], false);
        assert!(rig.client(part).is_passed);
        let fill = rig.fetch("/a");
        assert!(!rig.fetches[&fill].head.fields.contains("if-range"));
        rig.answer("/a", 100, 30);
        assert_eq!(rig.client(whole).received(), 100);
        rig.assert_idle();
    }
}

/// RFC 9110 section 14.6: several ranges come as parts of exactly their bytes, in the order asked for, from
/// any tier; and ranges that come to more than the whole, or too many of them, come as the whole (section
/// 14.2).
#[test]
fn several_ranges_are_parts_of_one_answer() {
    let below = |raw: RawConfig| RawConfig { l0: None, ..raw };
    for raw in [l0_only(), below(with_disk()), below(with_shared())] {
        let mut rig = stored(raw);
        let client = rig.ask(Method::Get, "/a", &[("range", "bytes=50-69,0-9,-1")], false);
        let client = rig.client(client);
        let head = &client.reply.as_ref().expect("it was served").head;
        assert_eq!(head.status, 206);
        assert!(
            head.fields.only("content-type").is_some_and(|kind| kind.starts_with(b"multipart/byteranges"))
        );
        assert_eq!(head.fields.only("content-length"), Some(client.received().to_string().as_bytes()));
        let bytes = client.body.iter().filter(|chunk| chunk.object != Symbol::TEXT);
        let joined = Symbol::compact(bytes.copied().collect());
        let spans: Vec<_> = joined.iter().map(|chunk| (chunk.version, chunk.offset, chunk.size)).collect();
        assert_eq!(spans, [(1, 50, 20), (1, 0, 10), (1, 99, 1)]);
        for too_much in
            ["bytes=0-80,10-90", "bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0"]
        {
            let whole = rig.ask(Method::Get, "/a", &[("range", too_much)], false);
            let reply = rig.client(whole).reply.as_ref().expect("it was served");
            assert_eq!((reply.head.status, rig.client(whole).received()), (200, 100), "{too_much}");
        }
        assert_eq!(rig.asked.len(), 1);
        rig.assert_idle();
    }
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

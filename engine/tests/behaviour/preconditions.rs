//! `If-Match` and `If-Unmodified-Since`: judged by what is stored, and by the origin where nothing is.

use crate::rig::{Rig, l0_only, parts_pass, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{Bypass, Event, Method, RawConfig, RequestEvent, TierId};

const TAGGED: [(&str, &str); 4] = [
    ("cache-control", "max-age=60"),
    ("etag", "\"v1\""),
    ("last-modified", "Sat, 08 Sep 2001 01:46:40 GMT"),
    ("content-length", "100"),
];

fn stored(raw: RawConfig) -> Rig {
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.head("/a", 200, &TAGGED);
    rig.send("/a", 100, 30);
    rig.end("/a");
    rig
}

fn went_around(event: &Event) -> bool {
    matches!(event, Event::Request(RequestEvent::Passed { bypass: Bypass::Precondition, .. }))
}

/// What is stored answers 412 where the condition fails, and as ever where it holds, whichever tier has it.
#[test]
fn what_is_stored_judges_a_precondition() {
    let cases = [
        (Method::Get, "if-match", "\"v1\"", 200, 100),
        (Method::Get, "if-match", "*", 200, 100),
        (Method::Get, "if-match", "\"v2\"", 412, 0),
        (Method::Get, "if-match", "W/\"v1\"", 412, 0),
        (Method::Head, "if-match", "\"v2\"", 412, 0),
        (Method::Get, "if-unmodified-since", "Sat, 08 Sep 2001 01:46:40 GMT", 200, 100),
        (Method::Get, "if-unmodified-since", "Sat, 08 Sep 2001 01:46:39 GMT", 412, 0),
    ];
    for raw in [l0_only(), RawConfig { l0: None, ..with_disk() }, RawConfig { l0: None, ..with_shared() }] {
        let mut rig = stored(raw);
        for (method, name, value, status, size) in cases {
            let client = rig.ask(method, "/a", &[(name, value)], false);
            let reply = rig.client(client).reply.as_ref().expect("it is answered");
            assert_eq!((reply.head.status, rig.client(client).received()), (status, size), "{name}: {value}");
            let hit = |event: &Event| matches!(event, Event::Request(RequestEvent::Hit { request, .. }) if *request == client);
            assert_eq!(rig.count(hit), 1, "{name}: {value}");
        }
        assert_eq!((rig.asked.len(), rig.count(went_around)), (1, 0));
        rig.assert_idle();
    }
}

/// Nothing stored, or nothing that may be used: the origin judges, and nobody waits for its answer.
#[test]
fn the_origin_judges_what_is_not_stored() {
    for raw in [l0_only(), with_disk()] {
        let mut rig = stored(raw);
        for method in [Method::Get, Method::Head] {
            let absent = rig.ask(method, "/b", &[("if-match", "\"v1\"")], false);
            assert!(rig.client(absent).is_passed);
        }
        rig.pass_time(Duration::from_secs(60));
        let stale = rig.ask(Method::Get, "/a", &[("if-unmodified-since", "x")], false);
        assert!(rig.client(stale).is_passed);
        assert_eq!((rig.asked.len(), rig.count(went_around)), (1, 3));
        rig.assert_idle();
    }
}

/// What may be served stale does not tell which representation the origin has: it judges no precondition.
#[test]
fn what_is_stale_judges_no_precondition() {
    for raw in [l0_only(), RawConfig { l0: None, ..with_disk() }] {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        let words = ("cache-control", "max-age=1, stale-while-revalidate=60");
        rig.head("/a", 200, &[words, ("etag", "\"v1\""), ("content-length", "0")]);
        rig.end("/a");
        rig.pass_time(Duration::from_secs(2));
        let newer = rig.ask(Method::Get, "/a", &[("if-match", "\"v2\"")], false);
        assert!(rig.client(newer).is_passed);
        assert_eq!(rig.asked.len(), 1);
        let any = rig.get("/a");
        assert_eq!(rig.client(any).reply.as_ref().map(|reply| reply.head.status), Some(200));
        let late = rig.ask(Method::Get, "/a", &[("if-match", "\"v2\"")], false);
        assert!(rig.client(late).is_passed, "while it is revalidated");
    }
}

/// A fill under way answers nobody who has a precondition: its body is sent whatever that says.
#[test]
fn a_precondition_joins_no_fill() {
    for method in [Method::Get, Method::Head] {
        let mut rig = Rig::new(l0_only());
        rig.get("/a");
        let waits = rig.ask(method, "/a", &[("if-match", "\"v2\"")], false);
        assert!(rig.client(waits).is_passed, "{method:?}, before the head");
        rig.head("/a", 200, &TAGGED);
        let late = rig.ask(method, "/a", &[("if-match", "\"v2\"")], false);
        assert!(rig.client(late).is_passed, "{method:?}, after the head");
        rig.send("/a", 100, 30);
        rig.end("/a");
        rig.assert_idle();
    }
}

/// Nor does one that looked for the target, and finds a fetch of its variant under way already: its names
/// were learned from another fetch meanwhile.
#[test]
fn a_precondition_joins_no_variant() {
    let raw = || RawConfig { l0: None, ..parts_pass(with_shared()) };
    let vary = [("vary", "foo"), ("cache-control", "max-age=60"), ("content-length", "10")];
    for (name, value) in [("if-match", "\"v2\""), ("range", "bytes=0-1")] {
        let mut other_edge = Rig::new(raw());
        other_edge.ask(Method::Get, "/a", &[("foo", "1")], false);
        other_edge.head("/a", 200, &vary);
        other_edge.send("/a", 10, 10);
        other_edge.end("/a");
        let mut rig = Rig::new(raw());
        rig.ask(Method::Get, "/a", &[("cookie", "user=1")], false);
        rig.head("/a", 200, &[("cache-control", "private"), ("content-length", "0")]);
        rig.end("/a");
        let shared = rig.tiers.get_mut(&TierId::L1).expect("it is configured");
        let filled = other_edge.tiers.remove(&TierId::L1).expect("it is configured");
        (shared.records, shared.current, shared.is_held) = (filled.records, filled.current, true);
        rig.ask(Method::Get, "/a", &[("cookie", "user=1")], false);
        let waits = rig.ask(Method::Get, "/a", &[("foo", "2"), (name, value)], false);
        rig.head("/a", 200, &vary);
        rig.ask(Method::Get, "/a", &[("foo", "2")], false);
        rig.answer_tier(TierId::L1, |held| held - 1);
        assert_eq!(rig.asked.len(), 3, "the variant is asked for");
        assert!(!rig.client(waits).is_passed, "it still looks for the target");
        rig.release_tier(TierId::L1);
        assert!(rig.client(waits).is_passed, "{name}");
    }
}

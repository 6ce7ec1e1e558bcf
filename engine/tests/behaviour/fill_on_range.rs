//! `fill.on_range: whole`: who wants a part of what is not stored, or its head, has the whole fetched, once,
//! for everybody who comes after.

use crate::rig::{Rig, l0_only, object, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{
    ByteCount, End, Event, Length, Method, OnAbandon, OriginFailure, Outcome, RawConfig, RawFill, Refusal,
    RequestEvent, RequestId, Symbol,
};

const MIB: u64 = 1 << 20;

fn part(rig: &mut Rig, target: &str, range: &str) -> RequestId {
    rig.ask(Method::Get, target, &[("range", range)], false)
}

/// The head of a fresh response of this length.
fn begin(rig: &mut Rig, target: &str, length: u64) {
    let length = length.to_string();
    rig.head(
        target,
        200,
        &[("cache-control", "max-age=60"), ("etag", "\"v1\""), ("content-length", &length)],
    );
}

fn status(rig: &Rig, request: RequestId) -> u16 {
    rig.client(request).reply.as_ref().expect("it was served").head.status
}

fn span(rig: &Rig, request: RequestId) -> Option<(u64, u64)> {
    rig.client(request).span().map(|span| (span.offset, span.size))
}

fn every_tier() -> [RawConfig; 3] {
    let below = |raw: RawConfig| RawConfig { l0: None, ..raw };
    [l0_only(), below(with_disk()), below(with_shared())]
}

/// One fetch, without the range; the part is served as it arrives, and what comes after is a hit.
#[test]
fn a_range_fetches_the_whole_once() {
    for raw in every_tier() {
        let mut rig = Rig::new(raw);
        let client = part(&mut rig, "/a", "bytes=25-64");
        let asked = &rig.fetches[&rig.fetch("/a")].head.fields;
        assert!(!asked.contains("range"));
        begin(&mut rig, "/a", 100);
        let reply = rig.client(client).reply.as_ref().expect("it was served");
        assert_eq!((reply.head.status, reply.length), (206, Length::Known(ByteCount(40))));
        assert_eq!(reply.head.fields.only("content-range"), Some(&b"bytes 25-64/100"[..]));
        assert_eq!(reply.head.fields.only("content-length"), Some(&b"40"[..]));
        rig.send("/a", 60, 30);
        assert_eq!(span(&rig, client), Some((25, 35)), "as far as it has come");
        rig.send("/a", 40, 40);
        assert_eq!(span(&rig, client), Some((25, 40)));
        assert_eq!(rig.client(client).end, Some(End::Complete));
        let (again, whole) = (part(&mut rig, "/a", "bytes=-1"), rig.get("/a"));
        assert_eq!((span(&rig, again), span(&rig, whole)), (Some((99, 1)), Some((0, 100))));
        assert_eq!((rig.asked.len(), rig.client(whole).end), (1, Some(End::Complete)));
        rig.assert_idle();
    }
}

/// A part that is read to its end ends at once, though the whole goes on: for the tiers, and whatever
/// `on_abandon` says of those who want the whole.
#[test]
fn the_whole_goes_on_after_the_part() {
    for on_abandon in [OnAbandon::Finish, OnAbandon::Cancel] {
        let raw = l0_only();
        let mut rig = Rig::new(RawConfig { fill: RawFill { on_abandon, ..raw.fill }, ..raw });
        let client = part(&mut rig, "/a", "bytes=0-9");
        begin(&mut rig, "/a", 100);
        rig.send("/a", 30, 30);
        assert_eq!(rig.client(client).end, Some(End::Complete));
        rig.send("/a", 70, 30);
        assert!(rig.cancelled.is_empty());
        let hit = rig.get("/a");
        assert_eq!((rig.asked.len(), rig.client(hit).received()), (1, 100));
        rig.assert_idle();
    }
}

/// A `HEAD` has the whole fetched by a `GET`, gets the head, and leaves the body to the tiers.
#[test]
fn a_head_request_fills() {
    for raw in every_tier() {
        let mut rig = Rig::new(raw);
        let client = rig.ask(Method::Head, "/a", &[], true);
        assert_eq!(rig.fetches[&rig.fetch("/a")].head.method, Method::Get);
        begin(&mut rig, "/a", 100);
        assert_eq!(status(&rig, client), 200);
        rig.leave(client);
        rig.send("/a", 100, 30);
        let hit = rig.get("/a");
        assert_eq!((rig.asked.len(), rig.client(hit).received()), (1, 100));
        rig.assert_idle();
    }
}

/// A `HEAD` joins whatever is fetched, before its head has come and after.
#[test]
fn a_head_request_joins() {
    let mut rig = Rig::new(l0_only());
    let whole = rig.get("/a");
    let early = rig.ask(Method::Head, "/a", &[], true);
    begin(&mut rig, "/a", 100);
    let late = rig.ask(Method::Head, "/a", &[], true);
    for head in [early, late] {
        assert_eq!((status(&rig, head), rig.client(head).is_passed), (200, false));
        rig.leave(head);
    }
    rig.send("/a", 100, 30);
    assert_eq!((rig.asked.len(), rig.client(whole).received()), (1, 100));
    rig.assert_idle();
}

/// Parts and wholes share one fetch, whoever comes first; each gets its own bytes, also those that have left
/// the window.
#[test]
fn parts_and_wholes_share_a_fetch() {
    for raw in [l0_only(), with_disk()] {
        let raw = RawConfig { fill: RawFill { window: ByteCount::kib(64), ..raw.fill }, ..raw };
        let mut rig = Rig::new(raw);
        let early = part(&mut rig, "/a", "bytes=10-19");
        let whole = rig.get("/a");
        let waits = part(&mut rig, "/a", "bytes=150000-");
        begin(&mut rig, "/a", 200_000);
        rig.send("/a", 190_000, 10_000);
        let late = part(&mut rig, "/a", "bytes=195000-195009");
        let behind = part(&mut rig, "/a", "bytes=100-149");
        rig.send("/a", 10_000, 10_000);
        for (request, expected) in [
            (early, (10, 10)),
            (whole, (0, 200_000)),
            (waits, (150_000, 50_000)),
            (late, (195_000, 10)),
            (behind, (100, 50)),
        ] {
            // Without a disk, what has left the window is the origin's to give.
            let expected = if rig.client(request).is_passed { None } else { Some(expected) };
            assert_eq!(span(&rig, request), expected, "{request:?}");
        }
        assert!(!rig.client(late).is_passed && !rig.client(waits).is_passed);
        assert_eq!(rig.asked.len(), 1);
        rig.assert_idle();
    }
}

/// What lies far behind what has come, and what cannot be told yet, goes around; the whole is fetched all the
/// same.
#[test]
fn what_cannot_be_served_soon_goes_around() {
    for range in ["bytes=3000000-3000009", "bytes=0-1,5-6", "bytes=9000000-"] {
        let mut rig = Rig::new(with_disk());
        let client = part(&mut rig, "/a", range);
        assert!(!rig.client(client).is_passed, "{range}: nothing is known yet");
        begin(&mut rig, "/a", 4 * MIB);
        assert!(rig.client(client).is_passed, "{range}");
        let meanwhile = part(&mut rig, "/a", range);
        assert!(rig.client(meanwhile).is_passed, "{range}");
        rig.send("/a", 4 * MIB, 64 << 10);
        let hit = part(&mut rig, "/a", "bytes=3000000-3000009");
        assert_eq!((rig.asked.len(), span(&rig, hit)), (1, Some((3_000_000, 10))));
        rig.assert_idle();
    }
    for range in ["bytes=0-9", "bytes=-10"] {
        let mut rig = Rig::new(with_disk());
        let client = part(&mut rig, "/a", range);
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        assert!(rig.client(client).is_passed, "{range} of what has no length yet");
        rig.send("/a", 100, 30);
        rig.end("/a");
        let hit = part(&mut rig, "/a", "bytes=0-9");
        assert_eq!((rig.asked.len(), span(&rig, hit)), (1, Some((0, 10))));
        rig.assert_idle();
    }
}

/// Beyond the bound nothing is fetched for a part, and it is remembered: the next one asks for itself. Who
/// wants the whole gets it as ever.
#[test]
fn what_is_too_large_is_not_fetched_for_a_part() {
    let bounded = |raw: RawConfig| {
        let fill = RawFill { on_range_max: ByteCount(1000), on_abandon: OnAbandon::Finish, ..raw.fill };
        RawConfig { fill, ..raw }
    };
    for method in [Method::Get, Method::Head] {
        let mut rig = Rig::new(bounded(with_disk()));
        let range = [("range", "bytes=0-9")];
        let fields = if method == Method::Get { &range[..] } else { &[] };
        let first = rig.ask(method, "/a", fields, true);
        begin(&mut rig, "/a", 1001);
        assert_eq!(status(&rig, first), if method == Method::Get { 206 } else { 200 });
        rig.leave(first);
        assert_eq!(rig.cancelled, ["/a"]);
        let second = rig.ask(method, "/a", fields, true);
        assert!(rig.client(second).is_passed);
        let whole = rig.get("/a");
        assert_eq!(rig.asked.len(), 2);
        begin(&mut rig, "/a", 1001);
        rig.send("/a", 1001, 100);
        assert_eq!(rig.client(whole).received(), 1001);
        let third = rig.ask(method, "/a", fields, true);
        assert!(!rig.client(third).is_passed, "it is stored now");
        rig.leave(third);
    }
    // Once somebody wanted the whole, it is fetched for the tiers though that one leaves.
    let mut rig = Rig::new(bounded(with_disk()));
    let client = part(&mut rig, "/a", "bytes=0-9");
    let whole = rig.get_slowly("/a");
    begin(&mut rig, "/a", 1001);
    rig.leave(whole);
    rig.send("/a", 1001, 100);
    assert_eq!((span(&rig, client), rig.cancelled.len()), (Some((0, 10)), 0));
    let hit = rig.get("/a");
    assert_eq!((rig.asked.len(), rig.client(hit).received()), (1, 1001));
    // Without a length, as soon as too much has come.
    let mut rig = Rig::new(bounded(with_disk()));
    let client = part(&mut rig, "/a", "bytes=0-9");
    rig.head("/a", 200, &[("cache-control", "max-age=60")]);
    assert!(rig.client(client).is_passed);
    rig.send("/a", 1000, 500);
    assert!(rig.cancelled.is_empty());
    rig.send("/a", 1, 1);
    assert_eq!(rig.cancelled, ["/a"]);
    rig.assert_idle();
}

/// What no tier may keep is fetched for nobody but who reads it, and the next part asks for itself.
#[test]
fn what_is_not_kept_is_not_fetched_again() {
    let gated = RawConfig {
        l0: Some(tiergate_engine::RawMemoryTier { gate: ByteCount(10), ..Default::default() }),
        ..l0_only()
    };
    for (raw, words) in [(gated, "max-age=60"), (l0_only(), "no-store")] {
        let mut rig = Rig::new(raw);
        let first = part(&mut rig, "/a", "bytes=0-9");
        rig.head("/a", 200, &[("cache-control", words), ("content-length", "100")]);
        rig.send("/a", 30, 30);
        assert_eq!(
            (span(&rig, first), &rig.cancelled[..]),
            (Some((0, 10)), &["/a".to_owned()][..]),
            "{words}"
        );
        let second = part(&mut rig, "/a", "bytes=0-9");
        assert!(rig.client(second).is_passed, "{words}");
        rig.assert_idle();
    }
}

/// An answer that is no success has no parts: it is served as it is.
#[test]
fn an_error_is_served_whole() {
    let mut rig = Rig::new(l0_only());
    let client = part(&mut rig, "/a", "bytes=5-9");
    rig.head("/a", 404, &[("cache-control", "max-age=60"), ("content-length", "20")]);
    rig.send("/a", 20, 20);
    assert_eq!((status(&rig, client), span(&rig, client)), (404, Some((0, 20))));
    rig.assert_idle();
}

/// A stale response is asked about with its validator, and what is agreed on is served in parts; what has
/// changed is fetched whole.
#[test]
fn a_range_revalidates_the_whole() {
    for raw in every_tier() {
        for (answer, version) in [(304, 1), (200, 2)] {
            let mut rig = Rig::new(raw.clone());
            rig.get("/a");
            begin(&mut rig, "/a", 100);
            rig.send("/a", 100, 30);
            rig.pass_time(Duration::from_secs(61));
            let client = part(&mut rig, "/a", "bytes=90-");
            let asked = &rig.fetches[&rig.fetch("/a")].head.fields;
            assert!(asked.contains("if-none-match") && !asked.contains("range"));
            if answer == 304 {
                rig.head("/a", 304, &[("etag", "\"v1\""), ("cache-control", "max-age=60")]);
                let outcome = rig.client(client).reply.as_ref().map(|reply| reply.outcome);
                assert!(matches!(outcome, Some(Outcome::Revalidated { .. })));
            } else {
                begin(&mut rig, "/a", 100);
                rig.send("/a", 100, 30);
            }
            let got = rig.client(client).span().map(|span| (span.version, span.offset, span.size));
            assert_eq!((status(&rig, client), got), (206, Some((version, 90, 10))));
            rig.assert_idle();
        }
    }
}

/// If the origin does not answer, who wants a part is told so; and a body that breaks off breaks off for who
/// reads a part of it.
#[test]
fn a_part_shares_the_failure() {
    let mut rig = Rig::new(l0_only());
    let client = part(&mut rig, "/a", "bytes=0-9");
    rig.refuse("/a");
    assert_eq!(rig.client(client).refusal, Some(Refusal::Origin(OriginFailure::Unreachable)));
    let client = part(&mut rig, "/a", "bytes=50-59");
    begin(&mut rig, "/a", 100);
    rig.send("/a", 30, 30);
    rig.break_off("/a");
    assert!(matches!(rig.client(client).end, Some(End::Aborted(_))));
    rig.assert_idle();
}

/// A condition that protects is the origin's to judge: it never leads a fetch, and joins none.
#[test]
fn a_precondition_still_goes_around() {
    let mut rig = Rig::new(l0_only());
    let fields = [("range", "bytes=0-9"), ("if-match", "\"v1\"")];
    let client = rig.ask(Method::Get, "/a", &fields, false);
    assert!(rig.client(client).is_passed);
    rig.get("/a");
    let client = rig.ask(Method::Get, "/a", &fields, false);
    assert!(rig.client(client).is_passed && rig.asked.len() == 1);
}

/// A range with another validator is for the whole (RFC 9110 section 13.1.5), also while that arrives.
#[test]
fn if_range_is_judged_by_what_arrives() {
    let mut rig = Rig::new(l0_only());
    let conditions = [("\"v1\"", 206, (10, 10)), ("\"v2\"", 200, (0, 100))];
    let clients = conditions
        .map(|(tag, ..)| rig.ask(Method::Get, "/a", &[("range", "bytes=10-19"), ("if-range", tag)], false));
    begin(&mut rig, "/a", 100);
    rig.send("/a", 100, 30);
    for (client, (tag, expected, bytes)) in clients.into_iter().zip(conditions) {
        assert_eq!((status(&rig, client), span(&rig, client)), (expected, Some(bytes)), "{tag}");
    }
    assert_eq!(rig.asked.len(), 1);
    rig.assert_idle();
}

/// Those who wait for the head of what was asked for a part are told of one miss each, and what is sent to
/// them is counted.
#[test]
fn a_part_is_told_of_as_any_other() {
    let mut rig = Rig::new(l0_only());
    let client = part(&mut rig, "/a", "bytes=10-19");
    begin(&mut rig, "/a", 100);
    rig.send("/a", 100, 30);
    let missed = |event: &Event| matches!(event, Event::Request(RequestEvent::Missed { request, .. }) if *request == client);
    let served = |event: &Event| {
        matches!(event, Event::Request(RequestEvent::Served { request, sent, end: End::Complete, .. })
            if *request == client && *sent == ByteCount(10))
    };
    let follows = |event: &Event| {
        matches!(event, Event::Request(RequestEvent::FollowsPart { request, length, .. })
            if *request == client && *length == ByteCount(10))
    };
    assert_eq!((rig.count(missed), rig.count(follows), rig.count(served)), (1, 1, 1));
    assert_eq!(rig.client(client).body.iter().map(|chunk| chunk.object).collect::<Vec<_>>(), [object("/a")]);
    assert!(rig.client(client).body.iter().all(|chunk: &Symbol| chunk.size > 0));
}

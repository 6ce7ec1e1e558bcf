//! Stale responses: asked about, freshened, and served stale where a window allows it.

use crate::rig::{Rig, l0_only, object};
use std::time::Duration;
use tiergate_engine::{
    Event, Method, MissReason, Outcome, RawConfig, RawHttp, RequestEvent, RequestId, ResidenceEvent,
    StaleUse, Symbol, TierId,
};

const L0: TierId = TierId::L0;

/// `/a` of 100 bytes with these fields, stored, and then `later` seconds.
fn stored(raw: RawConfig, fields: &[(&str, &str)], later: u64) -> Rig {
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.head("/a", 200, &[fields, &[("content-length", "100")]].concat());
    rig.send("/a", 100, 50);
    rig.end("/a");
    rig.pass_time(Duration::from_secs(later));
    rig
}

fn outcome(rig: &Rig, request: RequestId) -> Outcome {
    rig.client(request).reply.as_ref().expect("it was served").outcome
}

fn first_version() -> Option<Symbol> {
    Some(Symbol { object: object("/a"), version: 1, offset: 0, size: 100 })
}

/// RFC 9111 section 4.3: a stale response is asked about with its validator, and a 304 gives it a new lease:
/// one more body is not sent. All who wait get it, and who comes next has a hit.
#[test]
fn a_304_freshens_what_is_stored() {
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=60"), ("etag", "\"v1\"")], 60);
    let clients = [rig.get("/a"), rig.get("/a")];
    let fill = rig.fetch("/a");
    let asked: Vec<_> = rig.fetches[&fill].head.fields.all("if-none-match").collect();
    assert_eq!(asked, [b"\"v1\""]);
    rig.head("/a", 304, &[("cache-control", "max-age=30"), ("etag", "\"v1\""), ("x-new", "1")]);
    for client in clients {
        assert_eq!(outcome(&rig, client), Outcome::Revalidated { tier: L0 });
        assert_eq!(rig.client(client).span(), first_version());
    }
    let again = rig.get("/a");
    let reply = rig.client(again).reply.as_ref().expect("it was served");
    assert_eq!(reply.outcome, Outcome::Hit { tier: L0 });
    assert!(reply.head.fields.contains("x-new"));
    assert_eq!(reply.fresh_for, Duration::from_secs(30));
    assert_eq!(rig.asked.len(), 2);
    rig.assert_idle();
}

/// A new response to the question takes the old one's place.
#[test]
fn a_200_replaces_what_is_stored() {
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=60"), ("etag", "\"v1\"")], 60);
    let client = rig.get("/a");
    rig.answer("/a", 70, 70);
    assert_eq!(rig.client(client).span().expect("one span").version, 2);
    let again = rig.get("/a");
    assert_eq!(rig.client(again).span().expect("one span").version, 2);
    rig.assert_idle();
}

/// F1: a purge while the origin is asked lets the answer freshen nothing.
#[test]
fn f1_a_purge_during_a_revalidation_is_not_undone() {
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=60"), ("etag", "\"v1\"")], 60);
    let before = rig.get("/a");
    rig.purge("/a");
    rig.head("/a", 304, &[("cache-control", "max-age=60")]);
    assert_eq!(rig.client(before).span(), first_version(), "who asked before is answered");
    rig.get("/a");
    assert_eq!(rig.asked.len(), 3, "and nothing is stored");
    assert_eq!(rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Freshened { .. }))), 0);
}

/// `no-cache`: stored, and asked about before each use, however young it is.
#[test]
fn no_cache_is_asked_about_each_time() {
    let mut rig = stored(l0_only(), &[("cache-control", "no-cache, max-age=60"), ("etag", "\"v1\"")], 1);
    for asked in 2..4 {
        let client = rig.get("/a");
        assert_eq!(rig.asked.len(), asked);
        rig.head("/a", 304, &[]);
        assert_eq!(outcome(&rig, client), Outcome::Revalidated { tier: L0 });
    }
    assert_eq!(
        rig.engine.fresh_hit(rig.now, crate::rig::key("/a"), Method::Get, [].into_iter()).map(|_| ()),
        None
    );
}

/// A `HEAD` that is served stale has the response revalidated by a `GET`, whose 304 leaves it stored: one to
/// a `HEAD` took it away, for what answers a `HEAD` cannot be stored.
#[test]
fn a_head_request_revalidates_with_a_get() {
    for method in [Method::Head, Method::Get] {
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10"), ("etag", "\"v1\"")];
        let mut rig = stored(l0_only(), &fields, 61);
        let client = rig.ask(method, "/a", &[], false);
        assert!(rig.client(client).reply.is_some());
        assert_eq!(rig.fetches[&rig.fetch("/a")].head.method, Method::Get);
        rig.head("/a", 304, &fields);
        let hit = rig.get("/a");
        assert!(rig.client(hit).reply.is_some() && rig.asked.len() == 2, "{method:?}");
        rig.assert_idle();
    }
}

/// RFC 5861 section 3: within its window a stale response is served at once, and one revalidation goes on
/// behind.
#[test]
fn stale_while_revalidate_serves_at_once() {
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=10"), ("etag", "\"v1\"")];
    let mut rig = stored(l0_only(), &fields, 65);
    let meanwhile = Outcome::Stale { tier: L0, why: StaleUse::WhileRevalidate };
    for _ in 0..3 {
        let client = rig.get("/a");
        assert_eq!(outcome(&rig, client), meanwhile);
        assert_eq!(rig.client(client).span(), first_version());
    }
    assert_eq!(rig.asked.len(), 2, "one revalidation for all three");
    rig.answer("/a", 70, 70);
    let after = rig.get("/a");
    assert_eq!(outcome(&rig, after), Outcome::Hit { tier: L0 });
    assert_eq!(rig.client(after).span().expect("one span").version, 2);
    rig.assert_idle();
}

/// Past the window the origin is asked first.
#[test]
fn past_its_window_a_stale_response_waits_for_the_origin() {
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=10"), ("etag", "\"v1\"")];
    let mut rig = stored(l0_only(), &fields, 70);
    let client = rig.get("/a");
    assert!(rig.client(client).reply.is_none());
    rig.answer("/a", 70, 70);
    let expected = Outcome::Miss { reason: MissReason::Stale, collapsed: false, storing: true };
    assert_eq!(outcome(&rig, client), expected);
}

/// RFC 5861 section 4: an origin that cannot be reached, or answers with an error, is stood in for, within
/// the window.
#[test]
fn stale_if_error_stands_in_for_the_origin() {
    let instead = Outcome::Stale { tier: L0, why: StaleUse::IfError };
    for status in [None, Some(500), Some(503)] {
        let mut rig = stored(l0_only(), &[("cache-control", "max-age=60")], 100);
        let clients = [rig.get("/a"), rig.get("/a")];
        match status {
            None => rig.refuse("/a"),
            Some(status) => rig.head("/a", status, &[]),
        }
        for client in clients {
            assert_eq!(outcome(&rig, client), instead);
            assert_eq!(rig.client(client).span(), first_version());
        }
        assert_eq!(rig.asked.len(), 2, "nobody asks a dead origin twice");
        rig.assert_idle();
    }
}

/// What forbids stale use is not served stale, and neither is anything past the window.
#[test]
fn stale_is_not_served_where_it_is_forbidden() {
    let long = RawConfig { http: RawHttp { stale_if_error_s: 50, ..RawHttp::default() }, ..l0_only() };
    for (raw, control, later) in [
        (l0_only(), "max-age=60, must-revalidate", 61),
        (l0_only(), "s-maxage=60", 61),
        (long.clone(), "max-age=60", 110),
        (long, "max-age=60, stale-if-error=5", 65),
    ] {
        let mut rig = stored(raw, &[("cache-control", control)], later);
        let client = rig.get("/a");
        rig.refuse("/a");
        assert!(rig.client(client).refusal.is_some(), "{control}");
    }
}

/// F7: a client's own validators are judged against what L0 has: lists, `*`, weak comparison.
#[test]
fn f7_a_client_that_has_it_gets_304() {
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=60"), ("etag", "\"v1\"")], 1);
    for (tags, status) in
        [("\"v1\"", 304), ("W/\"v1\"", 304), ("\"x\", \"v1\"", 304), ("*", 304), ("\"v2\"", 200)]
    {
        let client = rig.ask(Method::Get, "/a", &[("if-none-match", tags)], false);
        let reply = rig.client(client).reply.as_ref().expect("it was served");
        assert_eq!(reply.head.status, status, "{tags}");
        assert_eq!(rig.client(client).received(), if status == 304 { 0 } else { 100 });
    }
    assert_eq!(rig.asked.len(), 1);
}

/// A response without a lifetime but with `Last-Modified` lives for a tenth of what it has lasted.
#[test]
fn a_lifetime_is_guessed_from_last_modified() {
    // The rig's calendar begins at 2001-09-09 01:46:40 GMT; this is 1000 s before.
    let mut rig = stored(l0_only(), &[("last-modified", "Sun, 09 Sep 2001 01:30:00 GMT")], 99);
    let hit = rig.get("/a");
    assert_eq!(outcome(&rig, hit), Outcome::Hit { tier: L0 });
    rig.pass_time(Duration::from_secs(1));
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2);
}

/// What must be asked about before each use goes to nobody but who asked: it may well be theirs alone.
#[test]
fn what_must_be_asked_about_is_not_shared() {
    let mut rig = Rig::new(crate::rig::with_disk());
    let [leader, other] = [rig.get("/a"), rig.get("/a")];
    rig.head("/a", 200, &[("etag", "\"v1\""), ("content-length", "9")]);
    let late = rig.get("/a");
    assert_eq!(rig.asked.len(), 3, "each asks for itself");
    assert!(rig.client(leader).reply.is_some());
    assert!(rig.client(other).reply.is_none() && rig.client(late).reply.is_none());
    assert_eq!(
        rig.count(|event| matches!(event, Event::Request(RequestEvent::Collapsed { .. }))),
        1,
        "until the head has come"
    );
}

/// F5: a lifetime of zero is over at once: with a stale window it is served as stale and asked about, without
/// one it is asked for each time, and past the window it is not used at all.
#[test]
fn f5_a_lifetime_of_zero_is_never_a_hit() {
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=0, stale-while-revalidate=10")], 0);
    let meanwhile = rig.get("/a");
    assert_eq!(outcome(&rig, meanwhile), Outcome::Stale { tier: L0, why: StaleUse::WhileRevalidate });
    assert_eq!(rig.asked.len(), 2);
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=0, stale-while-revalidate=10")], 11);
    let late = rig.get("/a");
    assert!(rig.client(late).reply.is_none(), "the window is over");
    let mut rig = stored(l0_only(), &[("cache-control", "max-age=0")], 0);
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2);
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::Hit { .. }))), 0);
}

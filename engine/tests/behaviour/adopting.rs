//! The answer to a POST that says it is what a GET would get is reused for later GETs (RFC 9110 section
//! 9.3.3), as long as nothing younger is known of its key.

use crate::rig::{Rig, l0_only, with_disk, with_durable, with_shared};
use std::time::Duration;
use tiergate_engine::{
    Event, FetchEnd, FetchEvent, Method, NotAdopted, NotStorable, OnAbandon, OriginFailure, Outcome,
    PurgeMode, PurgeOutcome, RawCollapse, RawConfig, RawFill, RequestId, ResidenceEvent, Selector, SetCookie,
    Tag, TierId,
};

/// An answer of 100 bytes that is about `/a`.
const OWN: [(&str, &str); 3] =
    [("cache-control", "max-age=60"), ("content-location", "/a"), ("content-length", "100")];
const MOMENT: Duration = Duration::from_millis(100);

fn stored(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. })))
}

fn refusals(rig: &Rig) -> Vec<NotAdopted> {
    let why = |event: &Event| match event {
        Event::Fetch(FetchEvent::NotAdopted { why, .. }) => Some(*why),
        _ => None,
    };
    rig.events.iter().filter_map(why).collect()
}

fn ends(rig: &Rig) -> Vec<FetchEnd> {
    let end = |event: &Event| match event {
        Event::Fetch(FetchEvent::AdoptionEnded { end, .. }) => Some(*end),
        _ => None,
    };
    rig.events.iter().filter_map(end).collect()
}

fn version(rig: &Rig, request: RequestId) -> Option<u32> {
    rig.client(request).span().map(|span| span.version)
}

fn is_hit(rig: &Rig, request: RequestId) -> bool {
    let outcome = rig.client(request).reply.as_ref().map(|reply| reply.outcome);
    outcome == Some(Outcome::Hit { tier: TierId::L0 })
}

/// Whatever tiers there are, the POST's own purge goes first, and its answer is a hit for a GET and a HEAD:
/// as old as its request, and fresh for no longer than it says.
#[test]
fn a_post_is_reused_for_later_gets() {
    for raw in [l0_only(), with_disk(), with_shared(), with_durable()] {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        rig.answer("/a", 50, 50);
        rig.pass_time(MOMENT);
        let purge = rig.post("/a", MOMENT, &OWN);
        assert!(matches!(rig.purged[&purge][0], (TierId::L0, PurgeOutcome::Removed(_))));
        rig.send("/a", 100, 30);
        let (whole, head) = (rig.get("/a"), rig.ask(Method::Head, "/a", &[], false));
        assert_eq!((rig.client(whole).received(), version(&rig, whole)), (100, Some(2)));
        assert!(is_hit(&rig, whole) && is_hit(&rig, head));
        assert_eq!(rig.client(whole).reply.as_ref().expect("it was served").age, MOMENT);
        assert_eq!((rig.asked.len(), ends(&rig)), (1, vec![FetchEnd::Complete]));
        rig.pass_time(Duration::from_secs(60));
        rig.get("/a");
        assert_eq!(rig.asked.len(), 2, "it is stale");
        rig.answer("/a", 50, 50);
        rig.assert_idle();
    }
}

/// It lies in L0 alone: below, its birth would be taken for one from before its own purge.
#[test]
fn no_byte_tier_keeps_it() {
    let mut rig = Rig::new(with_disk());
    rig.post("/a", MOMENT, &OWN);
    rig.send("/a", 100, 100);
    assert!(is_hit_after(&mut rig));
    assert!(rig.tiers[&TierId::L2].records.is_empty());
    rig.assert_idle();
}

fn is_hit_after(rig: &mut Rig) -> bool {
    let request = rig.get("/a");
    is_hit(rig, request)
}

/// What may not be stored for a GET, or does not say that it is what a GET would get, or would have to be
/// revalidated at once, is not adopted; its key is purged all the same.
#[test]
fn the_usual_rules_decide() {
    let with = |more: &[(&'static str, &'static str)]| {
        let mut fields = Vec::from(OWN);
        fields.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        fields.extend(more);
        fields
    };
    let forbidden = NotAdopted::Forbidden;
    let cases: [(&[_], Vec<_>, NotAdopted); 10] = [
        (&[], with(&[("content-location", "/b")]), forbidden(NotStorable::Method)),
        (&[], with(&[("content-location", "http://other/a")]), forbidden(NotStorable::Method)),
        (&[], OWN[..1].to_vec(), forbidden(NotStorable::Method)),
        (&[], OWN[1..].to_vec(), forbidden(NotStorable::Method)),
        (&[], with(&[("cache-control", "no-store, max-age=60")]), forbidden(NotStorable::NoStore)),
        (&[], with(&[("cache-control", "private, max-age=60")]), forbidden(NotStorable::Private)),
        (&[], with(&[("vary", "*")]), forbidden(NotStorable::Vary)),
        (&[("authorization", "x")], OWN.to_vec(), forbidden(NotStorable::Authorization)),
        (&[], with(&[("cache-control", "max-age=0"), ("etag", "\"a\"")]), NotAdopted::Stale),
        (&[], with(&[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")]), NotAdopted::Stale),
    ];
    for (asked, fields, why) in cases {
        let mut rig = Rig::new(l0_only());
        rig.get("/a");
        rig.answer("/a", 50, 50);
        rig.post_with("/a", MOMENT, asked, &fields);
        assert_eq!((refusals(&rig), rig.fetches.len()), (vec![why], 1), "{fields:?}");
        assert!(!is_hit_after(&mut rig), "{fields:?}");
        rig.assert_idle_but_fetching();
    }
}

/// A guess at a lifetime is not enough, though the status and the date would allow one.
#[test]
fn a_guessed_lifetime_is_not_enough() {
    let mut rig = Rig::new(l0_only());
    let old = ("last-modified", "Thu, 01 Jan 1998 00:00:00 GMT");
    rig.post("/a", MOMENT, &[old, OWN[1], OWN[2]]);
    assert_eq!(refusals(&rig), [NotAdopted::Forbidden(NotStorable::Method)]);
    rig.assert_idle();
}

/// A cookie that is set counts as it does for a GET.
#[test]
fn cookies_count_as_for_a_get() {
    for (set_cookie, is_adopted) in [(SetCookie::Refuse, false), (SetCookie::FollowLifetime, true)] {
        let mut raw = l0_only();
        raw.http.set_cookie = set_cookie;
        let mut rig = Rig::new(raw);
        rig.post("/a", MOMENT, &[OWN[0], OWN[1], OWN[2], ("set-cookie", "a=1")]);
        assert_eq!(rig.fetches.len(), usize::from(is_adopted));
        assert_eq!(refusals(&rig).is_empty(), is_adopted);
    }
}

/// A purge while the body comes ends it at once, whatever it names, and so does another POST.
#[test]
fn a_purge_during_the_body_is_not_undone() {
    let tagged = [OWN[0], OWN[1], OWN[2], ("surrogate-key", "x")];
    for selector in
        [Selector::Key(crate::rig::key("/a")), Selector::Tag(Tag::new("x").expect("a tag")), Selector::All]
    {
        let mut rig = Rig::new(l0_only());
        rig.post("/a", MOMENT, &tagged);
        rig.send("/a", 50, 50);
        rig.purge_all_of(selector, PurgeMode::Hard);
        assert_eq!(
            (rig.cancelled.as_slice(), ends(&rig)),
            (&["/a".to_owned()][..], vec![FetchEnd::Cancelled])
        );
        assert!(!is_hit_after(&mut rig));
        assert_eq!(stored(&rig), 0);
        rig.assert_idle_but_fetching();
    }
    let mut rig = Rig::new(l0_only());
    rig.post("/a", MOMENT, &OWN);
    rig.send("/a", 50, 50);
    rig.pass_time(MOMENT * 2);
    rig.post("/a", MOMENT, &OWN);
    assert_eq!(rig.cancelled, ["/a"]);
    rig.send("/a", 100, 100);
    let hit = rig.get("/a");
    assert_eq!((version(&rig, hit), stored(&rig)), (Some(2), 1));
    rig.assert_idle();
}

/// A purge that came after the request was sent may be about what it is answered with.
#[test]
fn a_purge_before_the_head_is_not_undone() {
    let tagged = [OWN[0], OWN[1], OWN[2], ("surrogate-key", "x")];
    let purges = [
        (Selector::Key(crate::rig::key("/a")), true),
        (Selector::Key(crate::rig::key("/b")), false),
        (Selector::Tag(Tag::new("x").expect("a tag")), true),
        (Selector::Tag(Tag::new("y").expect("a tag")), false),
        (Selector::All, true),
    ];
    for (selector, counts) in purges {
        for (ago, is_after) in [(MOMENT, false), (MOMENT * 3, true)] {
            let mut rig = Rig::new(l0_only());
            rig.pass_time(MOMENT * 4);
            rig.purge_all_of(selector.clone(), PurgeMode::Hard);
            rig.pass_time(MOMENT * 2);
            rig.post("/a", ago, &tagged);
            let expected = if counts && is_after { vec![NotAdopted::Purged] } else { vec![] };
            assert_eq!(refusals(&rig), expected, "{selector:?} {ago:?}");
        }
    }
}

/// The calendar's jumps hide no purge: of a request's two times the earlier one counts.
#[test]
fn a_jump_of_the_calendar_hides_no_purge() {
    use tiergate_engine::{Input, WallTime};
    for jump in [1_000_000_000_000 - 500_000, 1_000_000_000_000 + 500_000] {
        for jumps_first in [true, false] {
            let mut rig = Rig::new(l0_only());
            rig.pass_time(MOMENT * 3);
            let wall = Input::WallClock { wall: WallTime::from_unix_millis(jump) };
            if jumps_first {
                rig.feed(wall.clone());
            }
            rig.purge("/a");
            if !jumps_first {
                rig.feed(wall);
            }
            rig.pass_time(MOMENT);
            rig.post("/a", MOMENT * 2, &OWN);
            assert_eq!(refusals(&rig), [NotAdopted::Purged], "{jump} {jumps_first}");
        }
    }
}

/// A body that breaks off, ends early or brings too much is not stored.
#[test]
fn only_a_whole_body_is_stored() {
    for (bytes, failure) in
        [(50, OriginFailure::Broken), (50, OriginFailure::TooShort), (101, OriginFailure::TooLong)]
    {
        let mut rig = Rig::new(l0_only());
        rig.post("/a", MOMENT, &OWN);
        rig.send("/a", bytes, bytes);
        match failure {
            OriginFailure::Broken => rig.break_off("/a"),
            OriginFailure::TooShort => rig.end("/a"),
            _ => {}
        }
        assert_eq!((ends(&rig), stored(&rig)), (vec![FetchEnd::Failed(failure)], 0));
        assert!(!is_hit_after(&mut rig));
        rig.assert_idle_but_fetching();
    }
}

/// Whoever comes while the body does is not kept waiting by it: it fetches, and what it gets is younger.
#[test]
fn what_is_fetched_meanwhile_is_younger() {
    for first in ["get", "post"] {
        let mut rig = Rig::new(l0_only());
        rig.post("/a", MOMENT, &OWN);
        let posted = rig.fetch("/a");
        rig.send("/a", 50, 50);
        let client = rig.get("/a");
        assert_eq!(rig.asked, ["/a"], "nobody joins it");
        let fetched = rig.fetch("/a");
        rig.head_of(fetched, 200, &[OWN[0], OWN[2]]);
        if first == "get" {
            rig.send_of(fetched, 100, 100);
            rig.send_of(posted, 50, 50);
        } else {
            rig.send_of(posted, 50, 50);
            rig.send_of(fetched, 100, 100);
        }
        assert_eq!((version(&rig, client), ends(&rig)), (Some(2), vec![FetchEnd::Cancelled]), "{first}");
        let hit = rig.get("/a");
        assert_eq!((version(&rig, hit), is_hit(&rig, hit), stored(&rig)), (Some(2), true, 1), "{first}");
        rig.assert_idle();
    }
}

/// A GET that was asked for before the POST was answered is closed by the purge: it serves who waited, and
/// takes nothing from what was adopted.
#[test]
fn what_was_fetched_before_is_older() {
    let mut rig = Rig::new(l0_only());
    let client = rig.get("/a");
    let before = rig.fetch("/a");
    rig.post("/a", MOMENT, &OWN);
    rig.send("/a", 100, 100);
    rig.head_of(before, 200, &[OWN[0], OWN[2]]);
    rig.send_of(before, 100, 100);
    assert_eq!(version(&rig, client), Some(2));
    let hit = rig.get("/a");
    assert_eq!((version(&rig, hit), stored(&rig)), (Some(1), 1));
    rig.assert_idle();
}

/// It is one of the fetches that may be under way, and has a bound in L0 as everything has; without L0 there
/// is no place for it.
#[test]
fn room_is_kept() {
    let raw = l0_only();
    let mut rig = Rig::new(RawConfig { collapse: RawCollapse { fills_max: 1, ..raw.collapse }, ..raw });
    rig.post("/b", MOMENT, &[OWN[0], ("content-location", "/b"), OWN[2]]);
    rig.post("/a", MOMENT, &OWN);
    assert_eq!(refusals(&rig), [NotAdopted::TooManyFills]);
    rig.send("/b", 100, 100);
    rig.pass_time(MOMENT * 2);
    rig.post("/a", MOMENT, &OWN);
    assert_eq!(refusals(&rig).len(), 1);
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    rig.post("/a", MOMENT, &OWN);
    assert_eq!(refusals(&rig), [NotAdopted::NoMemory]);
    let mut rig = Rig::new(l0_only());
    rig.post("/a", MOMENT, &[OWN[0], OWN[1], ("content-length", "99999999999")]);
    assert_eq!((ends(&rig), rig.cancelled.len()), (vec![FetchEnd::Cancelled], 1), "no tier would keep it");
    rig.assert_idle();
}

/// A client that takes its answer too slowly ends it: the deadline of every other chunk counts.
#[test]
fn a_body_that_stalls_is_given_up() {
    let mut rig = Rig::new(l0_only());
    rig.post("/a", MOMENT, &OWN);
    rig.send("/a", 50, 50);
    rig.pass_time(Duration::from_secs(3_600));
    assert_eq!(ends(&rig), [FetchEnd::Failed(OriginFailure::TimedOut)]);
    rig.assert_idle();
}

/// It goes on though nobody reads it, whatever is said of fetches that are abandoned.
#[test]
fn nobody_need_read_it() {
    for on_abandon in [OnAbandon::Finish, OnAbandon::Cancel] {
        let raw = l0_only();
        let mut rig = Rig::new(RawConfig { fill: RawFill { on_abandon, ..raw.fill }, ..raw });
        rig.post("/a", MOMENT, &OWN);
        rig.send("/a", 100, 10);
        assert!(is_hit_after(&mut rig));
        rig.assert_idle();
    }
}

/// An answer that depends on fields of its request is filed under what the POST had in them.
#[test]
fn variants_are_told_apart() {
    let mut rig = Rig::new(l0_only());
    let fields = [OWN[0], OWN[1], OWN[2], ("vary", "accept-language")];
    rig.post_with("/a", MOMENT, &[("accept-language", "en")], &fields);
    rig.send("/a", 100, 100);
    let english = rig.ask(Method::Get, "/a", &[("accept-language", "en")], false);
    let other = rig.ask(Method::Get, "/a", &[("accept-language", "cs")], false);
    assert!(is_hit(&rig, english) && !is_hit(&rig, other));
    rig.assert_idle_but_fetching();
}

/// An empty answer is one, too.
#[test]
fn an_empty_body_is_stored() {
    let mut rig = Rig::new(l0_only());
    rig.post("/a", MOMENT, &[OWN[0], OWN[1], ("content-length", "0")]);
    rig.end("/a");
    assert!(is_hit_after(&mut rig));
    rig.assert_idle();
}

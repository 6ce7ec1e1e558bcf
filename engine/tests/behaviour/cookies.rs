//! What may be one user's is served to nobody else: responses that set cookies, and what a cookie brought
//! that does not say how long it is fresh.

use crate::rig::{Rig, l0_only, with_disk};
use std::time::Duration;
use tiergate_engine::{
    CookieHeuristic, Event, FetchEvent, Method, NotStorable, Purpose, RawConfig, RequestId, SetCookie,
};

/// A day before the rig's calendar begins, so that a lifetime of hours is guessed.
const MODIFIED: (&str, &str) = ("last-modified", "Sat, 08 Sep 2001 01:46:40 GMT");
const LENGTH: (&str, &str) = ("content-length", "10");
const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn with_cookie(rig: &mut Rig) -> RequestId {
    rig.ask(Method::Get, "/a", &[("cookie", "user=1")], false)
}

fn answer(rig: &mut Rig, fields: &[(&str, &str)]) {
    rig.head("/a", 200, fields);
    rig.send("/a", 10, 10);
    rig.end("/a");
}

fn with_heuristic(choice: CookieHeuristic) -> RawConfig {
    let mut raw = with_disk();
    raw.http.heuristic_with_cookie = choice;
    raw
}

/// By default nothing that sets a cookie is kept, whatever its lifetime; a key allows it.
#[test]
fn a_response_that_sets_a_cookie_is_kept_by_choice() {
    for (choice, asked) in [(None, 2), (Some(SetCookie::Refuse), 2), (Some(SetCookie::FollowLifetime), 1)] {
        let mut raw = with_disk();
        if let Some(choice) = choice {
            raw.http.set_cookie = choice;
        }
        let mut rig = Rig::new(raw);
        rig.get("/a");
        answer(&mut rig, &[FRESH, ("set-cookie", "user=1"), LENGTH]);
        rig.get("/a");
        assert_eq!(rig.asked.len(), asked, "{choice:?}");
    }
}

/// Whoever waited for a response that sets a cookie gets one of its own.
#[test]
fn a_cookie_is_set_for_who_asked() {
    let mut rig = Rig::new(l0_only());
    let (first, second) = (rig.get("/a"), rig.get("/a"));
    assert_eq!(rig.asked.len(), 1, "they share a fetch so far");
    let fill = rig.fetch("/a");
    rig.head_of(fill, 200, &[FRESH, ("set-cookie", "user=1"), LENGTH]);
    rig.send_of(fill, 10, 10);
    assert_eq!(rig.client(first).received(), 10);
    assert!(rig.client(second).reply.is_none());
    answer(&mut rig, &[FRESH, ("set-cookie", "user=2"), LENGTH]);
    let reply = rig.client(second).reply.as_ref().expect("it is answered");
    assert_eq!(reply.head.fields.only("set-cookie"), Some(&b"user=2"[..]));
    rig.assert_idle();
}

/// No lifetime is guessed for what a cookie brought: nobody else gets it, fresh or in place of an error.
#[test]
fn what_a_cookie_brought_is_not_guessed_fresh() {
    for (choice, asked) in [(CookieHeuristic::Refuse, 2), (CookieHeuristic::Allow, 1)] {
        let mut rig = Rig::new(with_heuristic(choice));
        with_cookie(&mut rig);
        answer(&mut rig, &[MODIFIED, LENGTH]);
        let other = rig.get("/a");
        assert_eq!(rig.asked.len(), asked, "{choice:?}");
        if asked == 2 {
            rig.refuse("/a");
            assert!(rig.client(other).refusal.is_some(), "not the other one's page either");
        }
        rig.assert_idle();
    }
}

/// What says how long it is fresh is kept, cookie or not, and without a cookie lifetimes are guessed as ever.
#[test]
fn a_cookie_does_not_keep_the_rest_from_being_stored() {
    let mut rig = Rig::new(with_disk());
    with_cookie(&mut rig);
    answer(&mut rig, &[FRESH, LENGTH]);
    with_cookie(&mut rig);
    rig.get("/a");
    assert_eq!(rig.asked.len(), 1);
    let mut rig = Rig::new(with_disk());
    rig.get("/a");
    answer(&mut rig, &[MODIFIED, LENGTH]);
    with_cookie(&mut rig);
    assert_eq!(rig.asked.len(), 1);
}

/// A revalidation that happens to bear a cookie freshens what was guessed about without one.
#[test]
fn a_cookie_with_the_condition_changes_nothing() {
    let mut rig = Rig::new(with_disk());
    rig.get("/a");
    answer(&mut rig, &[MODIFIED, LENGTH]);
    rig.pass_time(Duration::from_secs(86_400));
    with_cookie(&mut rig);
    rig.head("/a", 304, &[]);
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2);
    rig.assert_idle();
}

/// A 304 that sets a cookie is for who asked: the others ask for themselves, and what was stored goes.
#[test]
fn a_304_that_sets_a_cookie_is_not_shared() {
    for raw in [l0_only(), RawConfig { l0: None, ..with_disk() }] {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        answer(&mut rig, &[FRESH, ("etag", "\"1\""), LENGTH]);
        rig.pass_time(Duration::from_secs(60));
        let (first, second) = (rig.get("/a"), rig.get("/a"));
        rig.head("/a", 304, &[("etag", "\"1\""), ("set-cookie", "user=1")]);
        assert_eq!(rig.client(first).received(), 10);
        assert!(rig.client(second).reply.is_none());
        answer(&mut rig, &[FRESH, LENGTH]);
        let reply = rig.client(second).reply.as_ref().expect("it is answered");
        assert!(!reply.head.fields.contains("set-cookie"));
        rig.assert_idle();
    }
}

/// What those get who say who they are is remembered for them alone: others share a fetch as ever.
#[test]
fn being_uncacheable_is_remembered_for_such_callers() {
    let mut rig = Rig::new(l0_only());
    with_cookie(&mut rig);
    answer(&mut rig, &[MODIFIED, LENGTH]);
    let found = |event: &Event| {
        matches!(event, Event::Fetch(FetchEvent::FoundUncacheable { why: NotStorable::Cookie, .. }))
    };
    assert_eq!(rig.count(found), 1);
    let alone =
        |event: &Event| matches!(event, Event::Fetch(FetchEvent::Fetched { purpose: Purpose::Private, .. }));
    with_cookie(&mut rig);
    with_cookie(&mut rig);
    assert_eq!(rig.count(alone), 2, "nobody waits for what is not shared");
    rig.get("/a");
    rig.get("/a");
    assert_eq!((rig.count(alone), rig.asked.len()), (2, 4));
}

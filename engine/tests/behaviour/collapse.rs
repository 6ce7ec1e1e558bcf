//! Concurrent misses share one fetch; what may not be shared is not.

use crate::rig::{Rig, l0_only, object, parts_pass};
use tiergate_engine::{
    AbortReason, End, Event, Method, MissReason, OriginFailure, Outcome, RawCollapse, RawConfig, Refusal,
    RequestEvent, ResidenceEvent, Symbol,
};

fn whole(target: &str, version: u32, size: u64) -> Option<Symbol> {
    Some(Symbol { object: object(target), version, offset: 0, size })
}

/// Ten clients want one absent object; the origin is asked once and everybody gets all of it.
#[test]
fn concurrent_misses_collapse_into_one_fetch() {
    let mut rig = Rig::new(l0_only());
    let clients: Vec<_> = (0..10).map(|_| rig.get("/logo")).collect();
    assert_eq!(rig.asked, ["/logo"]);
    rig.answer("/logo", 1000, 100);
    for client in clients {
        assert_eq!(rig.client(client).span(), whole("/logo", 1, 1000));
        assert_eq!(rig.client(client).end, Some(End::Complete));
    }
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::Collapsed { .. }))), 9);
    assert_eq!(rig.asked.len(), 1);
    rig.assert_idle();
}

/// The second request is a hit, and says how long it stays fresh.
#[test]
fn a_stored_response_answers_the_next_request() {
    let mut rig = Rig::new(l0_only());
    rig.get("/logo");
    rig.answer("/logo", 1000, 300);
    rig.pass_time(std::time::Duration::from_secs(20));
    let again = rig.get("/logo");
    let reply = rig.client(again).reply.as_ref().expect("it is served at once");
    assert_eq!(reply.outcome, Outcome::Hit { tier: tiergate_engine::TierId::L0 });
    assert_eq!((reply.age.as_secs(), reply.fresh_for.as_secs()), (20, 40));
    assert_eq!(rig.client(again).span(), whole("/logo", 1, 1000));
    assert_eq!(rig.asked.len(), 1);
}

/// A stored response past its lifetime is fetched anew, and the reason says so.
#[test]
fn a_stale_response_is_fetched_anew() {
    let mut rig = Rig::new(l0_only());
    rig.get("/logo");
    rig.answer("/logo", 10, 10);
    rig.pass_time(std::time::Duration::from_secs(60));
    let again = rig.get("/logo");
    rig.answer("/logo", 20, 20);
    let reply = rig.client(again).reply.as_ref().expect("it was served");
    let expected = Outcome::Miss { reason: MissReason::Stale, collapsed: false, storing: true };
    assert_eq!(reply.outcome, expected);
    assert_eq!(rig.client(again).span(), whole("/logo", 2, 20));
}

/// A leader that leaves before the head does not take its waiters with it.
#[test]
fn a_leader_that_leaves_strands_nobody() {
    let mut rig = Rig::new(l0_only());
    let leader = rig.get("/logo");
    let waiter = rig.get("/logo");
    rig.leave(leader);
    rig.answer("/logo", 100, 100);
    assert_eq!(rig.client(waiter).span(), whole("/logo", 1, 100));
    assert_eq!(rig.asked.len(), 1);
    rig.assert_idle();
}

/// When the leader's fetch fails, exactly one waiter asks anew; when that fails too, everybody is told.
#[test]
fn one_waiter_leads_after_a_failure_and_then_all_are_told() {
    let mut rig = Rig::new(l0_only());
    let clients: Vec<_> = (0..5).map(|_| rig.get("/logo")).collect();
    rig.refuse("/logo");
    assert_eq!(rig.asked.len(), 2);
    assert_eq!(rig.client(clients[0]).refusal, Some(Refusal::Origin(OriginFailure::Unreachable)));
    assert_eq!(rig.client(clients[1]).refusal, None);
    rig.refuse("/logo");
    assert_eq!(rig.asked.len(), 2, "no third leader");
    for client in clients {
        assert_eq!(rig.client(client).refusal, Some(Refusal::Origin(OriginFailure::Unreachable)));
    }
    rig.assert_idle();
}

/// A response that may not be stored goes to its leader alone; everybody else asks for themselves.
#[test]
fn what_may_not_be_stored_is_not_shared() {
    let mut rig = Rig::new(l0_only());
    let leader = rig.get("/me");
    let other = rig.get("/me");
    rig.head("/me", 200, &[("cache-control", "private, max-age=60"), ("content-length", "7")]);
    assert_eq!(rig.asked.len(), 2);
    let newest = rig.fetch("/me");
    let first = *rig.fetches.keys().find(|fill| **fill != newest).expect("two fetches run");
    rig.head("/me", 200, &[("cache-control", "private, max-age=60"), ("content-length", "9")]);
    rig.send("/me", 9, 9);
    rig.end("/me");
    assert_eq!(rig.client(other).span(), whole("/me", 2, 9));
    assert!(rig.client(leader).body.is_empty(), "the leader's own body has not come");
    rig.fetches.remove(&newest);
    assert!(rig.fetches.contains_key(&first));
    rig.send("/me", 7, 7);
    rig.end("/me");
    assert_eq!(rig.client(leader).span(), whole("/me", 1, 7));
    assert_eq!(rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))), 0);
    rig.get("/me");
    assert_eq!(rig.asked.len(), 3, "nothing was stored");
}

/// T3, T11: a body that breaks off ends visibly for everybody, and nothing of it is stored, length known or
/// not.
#[test]
fn t3_a_broken_fetch_is_seen_and_not_stored() {
    for fields in [
        &[("cache-control", "max-age=60")][..],
        &[("cache-control", "max-age=60"), ("content-length", "500")],
    ] {
        let mut rig = Rig::new(l0_only());
        let clients = [rig.get("/big"), rig.get("/big")];
        rig.head("/big", 200, fields);
        rig.send("/big", 300, 100);
        rig.break_off("/big");
        for client in clients {
            assert_eq!(
                rig.client(client).end,
                Some(End::Aborted(AbortReason::Origin(OriginFailure::Broken)))
            );
            assert_eq!(rig.client(client).received(), 300);
        }
        rig.assert_idle();
        rig.get("/big");
        assert_eq!(rig.asked.len(), 2, "nothing was stored");
    }
}

/// T1: an end before the promised length is a failure, and so is one byte too many.
#[test]
fn t1_the_promised_length_is_kept() {
    for (sent, failure) in [(499, OriginFailure::TooShort), (501, OriginFailure::TooLong)] {
        let mut rig = Rig::new(l0_only());
        let client = rig.get("/big");
        rig.head("/big", 200, &[("cache-control", "max-age=60"), ("content-length", "500")]);
        rig.send("/big", sent, 501);
        if failure == OriginFailure::TooShort {
            rig.end("/big");
        }
        assert_eq!(rig.client(client).end, Some(End::Aborted(AbortReason::Origin(failure))));
        assert_eq!(rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))), 0);
        rig.assert_idle();
    }
}

/// The limits on fetches and on waiters are answers, not queues.
#[test]
fn limits_refuse_clearly() {
    let collapse = RawCollapse { waiters_max: 2, fills_max: 1, ..RawCollapse::default() };
    let mut rig = Rig::new(RawConfig { collapse, ..l0_only() });
    let first = rig.get("/a");
    let second = rig.get("/a");
    let third = rig.get("/a");
    assert_eq!(rig.client(third).refusal, Some(Refusal::TooManyWaiters));
    let other = rig.get("/b");
    assert_eq!(rig.client(other).refusal, Some(Refusal::TooManyFills));
    rig.answer("/a", 10, 10);
    assert_eq!(rig.client(first).end, Some(End::Complete));
    assert_eq!(rig.client(second).end, Some(End::Complete));
    rig.assert_idle();
}

/// T7, T12: with `on_range: never`, HEAD is answered from what is stored, otherwise goes around; it never
/// begins a fetch.
#[test]
fn head_requests_do_not_fetch() {
    let mut rig = Rig::new(parts_pass(l0_only()));
    let absent = rig.ask(Method::Head, "/logo", &[], true);
    assert!(rig.client(absent).is_passed);
    assert!(rig.asked.is_empty());
    rig.get("/logo");
    rig.answer("/logo", 10, 10);
    let stored = rig.ask(Method::Head, "/logo", &[], true);
    assert!(rig.client(stored).reply.is_some());
    rig.assert_idle();
}

/// A shared fetch asks for the whole, whatever its leader has already.
#[test]
fn conditions_of_the_leader_stay_here() {
    let mut rig = Rig::new(l0_only());
    rig.ask(Method::Get, "/logo", &[("If-None-Match", "\"x\""), ("Accept", "*/*")], false);
    let fill = rig.fetch("/logo");
    let asked = &rig.fetches[&fill].head.fields;
    assert!(!asked.contains("if-none-match"));
    assert!(asked.contains("accept"));
}

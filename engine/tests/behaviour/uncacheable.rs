//! Keys whose response could not be stored: their requests do not wait for one another.

use crate::rig::{Rig, l0_only, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{
    Config, Event, FetchEvent, Method, MissReason, Outcome, Purpose, RawCollapse, RawConfig, RequestEvent,
};

/// `/a` was found uncacheable.
fn found(raw: RawConfig) -> Rig {
    let mut rig = Rig::new(raw);
    rig.get("/a");
    no_store(&mut rig);
    rig.events.clear();
    rig
}

fn no_store(rig: &mut Rig) {
    rig.head("/a", 200, &[("cache-control", "no-store"), ("content-length", "10")]);
    rig.send("/a", 10, 10);
    rig.end("/a");
}

fn shared(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::Fetch(FetchEvent::Fetched { purpose: Purpose::Shared, .. })))
}

/// Who asks while one such answer is under way asks at once, and no tier is looked in.
#[test]
fn an_uncacheable_key_does_not_collapse() {
    for raw in [l0_only(), with_disk(), with_shared()] {
        let mut rig = found(raw);
        let lookups: usize = rig.tiers.values().map(|tier| tier.lookups).sum();
        let clients = [rig.get("/a"), rig.get("/a"), rig.get("/a")];
        assert_eq!(rig.asked.len(), 4, "nobody waits");
        assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::Collapsed { .. }))), 0);
        assert_eq!(rig.tiers.values().map(|tier| tier.lookups).sum::<usize>(), lookups);
        no_store(&mut rig);
        let expected = Outcome::Miss { reason: MissReason::Uncacheable, collapsed: false, storing: false };
        assert_eq!(rig.client(clients[2]).reply.as_ref().expect("it was served").outcome, expected);
        let part = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1")], false);
        assert!(rig.client(part).is_passed);
        rig.assert_idle_but_fetching();
    }
}

/// A storable answer, a purge, or time ends it: then requests wait for one another again.
#[test]
fn being_uncacheable_ends() {
    let mut rig = found(l0_only());
    rig.get("/a");
    rig.answer("/a", 10, 10);
    let [_, joined] = [rig.get("/a"), rig.get("/a")];
    assert_eq!(shared(&rig), 1);
    rig.answer("/a", 10, 10);
    assert_eq!(rig.client(joined).received(), 10);
    rig.get("/a");
    assert_eq!(rig.asked.len(), 3, "it is stored");

    let mut rig = found(l0_only());
    rig.purge("/a");
    rig.get("/a");
    assert_eq!(shared(&rig), 1);

    let mut rig = found(l0_only());
    rig.pass_time(Duration::from_secs(59));
    rig.get("/a");
    assert_eq!(shared(&rig), 0);
    rig.refuse("/a");
    rig.pass_time(Duration::from_secs(1));
    rig.get("/a");
    assert_eq!(shared(&rig), 1);
}

/// An origin in trouble does not lose the shelter of collapsing.
#[test]
fn an_error_is_not_remembered() {
    let mut rig = Rig::new(l0_only());
    rig.get("/a");
    rig.head("/a", 503, &[("content-length", "0")]);
    rig.end("/a");
    rig.get("/a");
    assert_eq!(shared(&rig), 2);
    assert_eq!(rig.count(|event| matches!(event, Event::Fetch(FetchEvent::FoundUncacheable { .. }))), 0);
}

/// `collapse.uncacheable_s`: how long; 0 is never, and more than its bound is refused.
#[test]
fn the_memory_of_uncacheable_keys_is_configured() {
    let with = |uncacheable_s| {
        let collapse = RawCollapse { uncacheable_s, ..RawCollapse::default() };
        RawConfig { collapse, ..l0_only() }
    };
    let mut rig = found(with(0));
    rig.get("/a");
    assert_eq!(shared(&rig), 1);
    let mut rig = found(with(120));
    rig.pass_time(Duration::from_secs(119));
    rig.get("/a");
    assert_eq!(shared(&rig), 0);
    let refused = Config::try_from(with(121)).expect_err("it is out of bounds");
    assert_eq!((refused.field, refused.bound), ("collapse.uncacheable_s", "0 to 120"));
}

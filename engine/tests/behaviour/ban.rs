//! Purges by tag, by prefix and of everything, and soft ones: what they cover is not used, wherever it is
//! stored, and nothing else is touched.

use crate::rig::{Rig, key, l0_only, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{
    CopyEvent, End, Event, LaneEnd, Prefix, PurgeEvent, PurgeMode, PurgeOutcome, RawConfig, ResidenceEvent,
    Selector, SelectorKind, Tag, TierId,
};

const HARD: PurgeMode = PurgeMode::Hard;

fn tag(text: &str) -> Selector {
    Selector::Tag(Tag::new(text).expect("a tag"))
}

fn prefix(path: &str) -> Selector {
    Selector::Prefix(Prefix::new("example", path).expect("a prefix"))
}

/// Fetches `target` with a surrogate key, and lets some time pass.
fn store(rig: &mut Rig, target: &str, surrogate: &str) {
    rig.get(target);
    let fields = [
        ("cache-control", "max-age=60"),
        ("content-length", "60"),
        ("surrogate-key", surrogate),
        ("etag", "\"e\""),
    ];
    rig.head(target, 200, &fields);
    rig.send(target, 60, 30);
    rig.end(target);
    rig.pass_time(Duration::from_millis(5));
}

/// How often the origin was asked when both were asked for.
fn asked_again(rig: &mut Rig, targets: &[&str]) -> Vec<bool> {
    let mut asked = Vec::new();
    for target in targets {
        let before = rig.asked.len();
        rig.get(target);
        asked.push(rig.asked.len() > before);
    }
    asked
}

fn configs() -> Vec<RawConfig> {
    let lower = |raw: RawConfig| RawConfig { l0: None, ..raw };
    vec![l0_only(), with_disk(), with_shared(), lower(with_disk()), lower(with_shared())]
}

/// F2: each selector reaches what it covers in every tier, and only that; what is fetched afterwards stays.
#[test]
fn f2_a_ban_reaches_what_it_covers_in_every_tier() {
    let cases = [
        (tag("one"), [true, false]),
        (tag("two"), [false, true]),
        (prefix("/a"), [true, false]),
        (Selector::All, [true, true]),
    ];
    for raw in configs() {
        for (selector, expected) in &cases {
            let mut rig = Rig::new(raw.clone());
            store(&mut rig, "/a/x", "one both");
            store(&mut rig, "/b/x", "two both");
            rig.purge_all_of(selector.clone(), HARD);
            rig.pass_time(Duration::from_millis(5));
            assert_eq!(asked_again(&mut rig, &["/a/x", "/b/x"]), expected, "{selector:?}");
            for (target, is_gone) in ["/a/x", "/b/x"].into_iter().zip(expected) {
                if *is_gone {
                    rig.answer(target, 70, 30);
                }
            }
            assert_eq!(asked_again(&mut rig, &["/a/x", "/b/x"]), [false, false], "{selector:?}");
            rig.assert_idle();
        }
    }
}

/// R10: L0 says what was removed, a byte tier that what it has is barred.
#[test]
fn r10_a_ban_tells_what_it_saw() {
    let mut rig = Rig::new(with_disk());
    let absent = rig.purge_all_of(tag("one"), HARD);
    assert_eq!(rig.purged[&absent], [(TierId::L0, PurgeOutcome::Absent), (TierId::L2, PurgeOutcome::Barred)]);
    store(&mut rig, "/a", "one");
    let soft = rig.purge_all_of(tag("one"), PurgeMode::Soft);
    assert!(matches!(rig.purged[&soft][0], (TierId::L0, PurgeOutcome::Staled(_))), "{:?}", rig.purged[&soft]);
    let there = rig.purge_all_of(tag("one"), HARD);
    assert!(
        matches!(rig.purged[&there][0], (TierId::L0, PurgeOutcome::Removed(_))),
        "{:?}",
        rig.purged[&there]
    );
    let began = |event: &Event| {
        matches!(event, Event::Purge(PurgeEvent::PurgeBegan { what: SelectorKind::Tag, mode: HARD, .. }))
    };
    assert_eq!(rig.count(began), 2);
}

/// F1: a fill that began before a ban reaches its readers but no tier; who asks later gets a new one.
#[test]
fn f1_a_ban_during_a_fill_is_not_undone() {
    for raw in configs() {
        for selector in [tag("one"), prefix("/a"), Selector::All] {
            for has_head in [false, true] {
                let mut rig = Rig::new(raw.clone());
                let before = rig.get("/a");
                let fields =
                    [("cache-control", "max-age=60"), ("content-length", "60"), ("surrogate-key", "one")];
                if has_head {
                    rig.head("/a", 200, &fields);
                    rig.send("/a", 30, 10);
                }
                rig.purge_all_of(selector.clone(), HARD);
                rig.pass_time(Duration::from_millis(5));
                if !has_head {
                    rig.head("/a", 200, &fields);
                    rig.send("/a", 30, 10);
                }
                rig.send("/a", 30, 10);
                rig.end("/a");
                assert_eq!(rig.client(before).end, Some(End::Complete));
                assert_eq!(
                    rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))),
                    0,
                    "{selector:?}"
                );
                assert_eq!(asked_again(&mut rig, &["/a"]), [true], "{selector:?}");
                rig.answer("/a", 70, 30);
                assert_eq!(asked_again(&mut rig, &["/a"]), [false], "{selector:?}");
                rig.assert_idle();
            }
        }
    }
}

/// F1: what a ban does not cover goes on.
#[test]
fn f1_a_ban_leaves_other_fills_alone() {
    let mut rig = Rig::new(with_disk());
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "60"), ("xkey", "one")]);
    rig.purge_all_of(tag("two"), HARD);
    rig.purge_all_of(prefix("/b"), HARD);
    rig.send("/a", 60, 30);
    rig.end("/a");
    assert_eq!(asked_again(&mut rig, &["/a"]), [false]);
}

/// F1: a ban while a tier is publishing takes the record back, and is done only then.
#[test]
fn f1_a_ban_during_a_commit_takes_it_back() {
    for raw in [with_disk(), with_shared()] {
        let mut rig = Rig::new(raw);
        let tier = rig.engine_tier();
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60"), ("xkey", "one")]);
        rig.send("/a", 50, 10);
        rig.tiers.get_mut(&tier).expect("configured").is_held = true;
        rig.end("/a");
        let purge = rig.purge_all_of(tag("one"), HARD);
        assert!(!rig.purged.contains_key(&purge), "the tier has not answered");
        rig.release_tier(tier);
        assert!(rig.purged.contains_key(&purge));
        assert!(rig.tiers[&tier].records.is_empty());
    }
}

/// F1: a promotion that began before a ban does not arrive.
#[test]
fn f1_a_ban_during_a_promotion_stops_it() {
    let mut raw = with_disk();
    raw.l0.as_mut().expect("L0 is on by default").capacity = tiergate_engine::ByteCount(250);
    raw.fill.read_size = tiergate_engine::ByteCount(30);
    let mut rig = Rig::new(raw);
    store(&mut rig, "/a", "one");
    rig.get("/b");
    rig.answer("/b", 200, 30);
    let reader = rig.get_slowly("/a");
    rig.demand(reader);
    rig.purge_all_of(tag("one"), HARD);
    while rig.client(reader).end.is_none() {
        rig.demand(reader);
    }
    assert_eq!(rig.client(reader).end, Some(End::Complete), "the record stays open for its reader");
    assert_eq!(
        rig.count(|event| matches!(
            event,
            Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::Superseded, .. })
        )),
        1
    );
    assert_eq!(asked_again(&mut rig, &["/a"]), [true]);
}

/// F1: a revalidation that was asked for before a ban freshens nothing.
#[test]
fn f1_a_ban_during_a_revalidation_is_not_undone() {
    for raw in configs() {
        let mut rig = Rig::new(raw);
        store(&mut rig, "/a", "one");
        rig.pass_time(Duration::from_secs(61));
        let waiting = rig.get("/a");
        rig.purge_all_of(tag("one"), HARD);
        rig.pass_time(Duration::from_millis(5));
        rig.head("/a", 304, &[("etag", "\"e\""), ("cache-control", "max-age=60")]);
        assert_eq!(rig.client(waiting).end, Some(End::Complete));
        assert_eq!(asked_again(&mut rig, &["/a"]), [true]);
    }
}

/// A soft purge, by any selector, keeps what it covers until the origin was asked; a 304 revives it.
#[test]
fn r10_a_soft_purge_asks_the_origin_and_a_304_revives() {
    for raw in configs() {
        for selector in [Selector::Key(key("/a")), tag("one"), prefix("/a"), Selector::All] {
            let mut rig = Rig::new(raw.clone());
            store(&mut rig, "/a", "one");
            rig.purge_all_of(selector.clone(), PurgeMode::Soft);
            rig.pass_time(Duration::from_millis(5));
            let waiting = rig.get("/a");
            assert_eq!(rig.asked.len(), 2, "{selector:?}");
            assert_eq!(rig.client(waiting).end, None);
            rig.head("/a", 304, &[("etag", "\"e\""), ("cache-control", "max-age=60")]);
            assert_eq!(rig.client(waiting).span().expect("one span").version, 1);
            assert_eq!(asked_again(&mut rig, &["/a"]), [false], "{selector:?}");
            rig.assert_idle();
        }
    }
}

/// The windows for stale responses count from a soft purge.
#[test]
fn a_soft_purge_opens_the_windows() {
    for raw in configs() {
        for (late, is_open) in [(9, true), (11, false)] {
            let mut rig = Rig::new(raw.clone());
            rig.get("/a");
            let control = "max-age=60, stale-while-revalidate=10";
            rig.head("/a", 200, &[("cache-control", control), ("content-length", "60"), ("etag", "\"e\"")]);
            rig.send("/a", 60, 30);
            rig.end("/a");
            rig.pass_time(Duration::from_secs(20));
            rig.purge_all_of(Selector::All, PurgeMode::Soft);
            rig.pass_time(Duration::from_secs(late));
            let client = rig.get("/a");
            assert_eq!(rig.client(client).end.is_some(), is_open, "{late} s after");
            assert_eq!(rig.asked.len(), 2);
        }
    }
}

/// More bans than are remembered: the oldest count for everything, and what is newer stays.
#[test]
fn f2_bans_that_are_forgotten_count_for_everything() {
    let mut raw = with_disk();
    raw.l0 = None;
    let mut rig = Rig::new(raw);
    store(&mut rig, "/a", "one");
    for number in 0..256 {
        rig.purge_all_of(tag(&format!("t{number}")), HARD);
    }
    assert_eq!(asked_again(&mut rig, &["/a"]), [false], "all are remembered");
    rig.purge_all_of(tag("another"), HARD);
    assert_eq!(asked_again(&mut rig, &["/a"]), [true], "the oldest counts for everything");
    rig.pass_time(Duration::from_millis(5));
}

/// F2: a purge is done only when the local tier keeps its ban; a tier that cannot says so, and the ban counts
/// all the same.
#[test]
fn f2_a_ban_is_kept_before_it_is_acknowledged() {
    for (selector, mode) in [(tag("one"), HARD), (Selector::Key(key("/a")), PurgeMode::Soft)] {
        let mut rig = Rig::new(with_disk());
        store(&mut rig, "/a", "one");
        rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
        let purge = rig.purge_all_of(selector.clone(), mode);
        assert!(!rig.purged.contains_key(&purge), "the disk has not answered");
        rig.release_tier(TierId::L2);
        assert_eq!(rig.purged[&purge][1], (TierId::L2, PurgeOutcome::Barred));
        assert_eq!(rig.tiers[&TierId::L2].bans.iter().count(), 1);

        rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
        let failed = rig.purge_all_of(selector, mode);
        assert_eq!(rig.purged[&failed][1], (TierId::L2, PurgeOutcome::Failed));
        let confirmed =
            |event: &Event| matches!(event, Event::Purge(PurgeEvent::PurgeEnded { confirmed: true, .. }));
        assert_eq!(rig.count(confirmed), 1);
        rig.tiers.get_mut(&TierId::L2).expect("configured").fails = false;
        rig.pass_time(Duration::from_millis(5));
        assert_eq!(asked_again(&mut rig, &["/a"]), [true]);
    }
}

/// A purge by key deletes, and needs no ban; without a local tier there is nobody to keep one.
#[test]
fn f2_only_a_local_tier_keeps_bans() {
    let mut rig = Rig::new(with_disk());
    store(&mut rig, "/a", "one");
    rig.purge("/a");
    assert_eq!(rig.tiers[&TierId::L2].bans.iter().count(), 0);
    let mut rig = Rig::new(with_shared());
    let purge = rig.purge_all_of(tag("one"), HARD);
    assert_eq!(rig.purged[&purge][1], (TierId::L1, PurgeOutcome::Barred));
    assert_eq!(rig.tiers[&TierId::L1].bans.iter().count(), 0);
}

/// F2, C7: what was purged before a crash is not served after it, from the disk nor from a shared tier; the
/// rest is, and what is fetched anew stays.
#[test]
fn f2_a_ban_outlives_the_process() {
    let cases = [(tag("one"), [true, false]), (prefix("/b"), [false, true]), (Selector::All, [true, true])];
    let raw = || RawConfig { l1: Some(Default::default()), ..with_disk() };
    for (selector, expected) in cases {
        let mut rig = Rig::new(raw());
        store(&mut rig, "/a", "one");
        store(&mut rig, "/b", "two");
        rig.purge_all_of(selector.clone(), HARD);
        for _ in 0..2 {
            rig.pass_time(Duration::from_millis(5));
            rig = Rig::restarted(rig, raw());
            assert_eq!(asked_again(&mut rig, &["/a", "/b"]), expected, "{selector:?}");
        }
        for (target, is_gone) in ["/a", "/b"].into_iter().zip(expected) {
            if is_gone {
                rig.answer(target, 70, 30);
            }
        }
        rig = Rig::restarted(rig, raw());
        assert_eq!(asked_again(&mut rig, &["/a", "/b"]), [false, false], "{selector:?}");
    }
}

/// A soft purge from before a crash still asks the origin first; its windows still count from the purge.
#[test]
fn r10_a_soft_purge_outlives_the_process() {
    for (late, is_open) in [(9, true), (11, false)] {
        let mut rig = Rig::new(with_disk());
        rig.get("/a");
        let control = "max-age=60, stale-while-revalidate=10";
        rig.head("/a", 200, &[("cache-control", control), ("content-length", "60"), ("etag", "\"e\"")]);
        rig.send("/a", 60, 30);
        rig.end("/a");
        rig.pass_time(Duration::from_secs(20));
        rig.purge_all_of(Selector::Key(key("/a")), PurgeMode::Soft);
        let mut rig = Rig::restarted(rig, with_disk());
        rig.pass_time(Duration::from_secs(late));
        let client = rig.get("/a");
        assert_eq!(rig.client(client).end.is_some(), is_open, "{late} s after");
        assert_eq!(rig.asked, ["/a"]);
    }
}

//! What is stored below L0 is worth as much as what is in L0: stale uses, revalidation, freshening, parts.

use crate::rig::{Rig, object, parts_pass, with_disk, with_shared};
use std::{sync::Arc, time::Duration};
use tiergate_engine::{
    ByteCount, CopyEvent, Effect, Event, Head, Method, MissReason, OnAbandon, Outcome, RawConfig, RawFill,
    RawHttp, Record, Reply, RequestId, ResidenceEvent, StaleUse, Symbol, TierId,
};

/// Nothing but one byte tier, shared or local.
fn alone() -> [RawConfig; 2] {
    [with_disk(), with_shared()].map(|raw| RawConfig { l0: None, ..raw })
}

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

const TAGGED: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("etag", "\"v1\"")];

fn reply(rig: &Rig, request: RequestId) -> &Reply<Symbol> {
    rig.client(request).reply.as_ref().expect("it was served")
}

fn outcome(rig: &Rig, request: RequestId) -> Outcome {
    reply(rig, request).outcome
}

fn first_version() -> Option<Symbol> {
    Some(Symbol { object: object("/a"), version: 1, offset: 0, size: 100 })
}

fn kept_head(rig: &Rig) -> &Head {
    let tier = &rig.tiers[&rig.engine_tier()];
    &tier.records.values().next().expect("one record is kept").0.head
}

fn freshened(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Freshened { .. })))
}

/// RFC 9111 section 4.3: what only a byte tier has is asked about with its validator; a 304 streams it to all
/// who wait under the merged head, which the tier keeps from then on.
#[test]
fn f3_a_304_freshens_a_record_where_it_lies() {
    for raw in alone() {
        let mut rig = stored(raw, &TAGGED, 60);
        let tier = rig.engine_tier();
        let clients = [rig.get("/a"), rig.get("/a")];
        let fill = rig.fetch("/a");
        let asked: Vec<_> = rig.fetches[&fill].head.fields.all("if-none-match").collect();
        assert_eq!(asked, [b"\"v1\""]);
        rig.head("/a", 304, &[("cache-control", "max-age=30"), ("etag", "\"v1\""), ("x-new", "1")]);
        for client in clients {
            assert_eq!(outcome(&rig, client), Outcome::Revalidated { tier });
            assert!(reply(&rig, client).head.fields.contains("x-new"));
            assert_eq!(rig.client(client).span(), first_version());
        }
        assert!(kept_head(&rig).fields.contains("x-new"));
        assert_eq!(freshened(&rig), 1);
        rig.pass_time(Duration::from_secs(29));
        let again = rig.get("/a");
        assert_eq!(outcome(&rig, again), Outcome::Hit { tier });
        assert_eq!(reply(&rig, again).fresh_for, Duration::from_secs(1));
        assert_eq!(rig.asked.len(), 2);
        rig.assert_idle();
    }
}

/// I11 (seed 7905 of explore): a 304 forbids to keep what is stored while an older copy is on its way into
/// the same tier: that one is not kept either.
#[test]
fn a_304_that_forbids_to_keep_closes_what_is_older() {
    let mut rig = stored(RawConfig { l0: None, ..with_disk() }, &TAGGED, 60);
    rig.get("/a");
    let disk = |rig: &mut Rig, is_held| rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = is_held;
    disk(&mut rig, true);
    let tagged = ("etag", "\"v1\"");
    rig.head("/a", 200, &[("cache-control", "max-age=0"), tagged, ("content-length", "100")]);
    rig.send("/a", 100, 50);
    while let Some(place) =
        rig.tiers[&TierId::L2].held.iter().position(|effect| !matches!(effect, Effect::Commit { .. }))
    {
        rig.answer_tier(TierId::L2, |_| place);
    }
    disk(&mut rig, false);
    rig.get("/a");
    rig.head("/a", 304, &[("cache-control", "no-store"), tagged]);
    rig.release_tier(TierId::L2);
    assert!(rig.tiers[&TierId::L2].records.is_empty());
    rig.get("/a");
    let fill = rig.fetch("/a");
    assert_eq!(
        rig.fetches[&fill].head.fields.all("if-none-match").count(),
        0,
        "there is nothing to ask about"
    );
    rig.assert_idle_but_fetching();
}

/// I11 (seed 24046 of explore): a 304 forbids to keep what a faster tier has while an older copy, fresh by
/// its own lifetime, is in the tier below, which was not asked: that one is not found any more, and not kept.
/// What is fetched afterwards is.
#[test]
fn a_304_that_forbids_to_keep_ends_older_copies_in_other_tiers() {
    let over = |raw: RawConfig| RawConfig { l2: with_disk().l2, ..raw };
    let [mut memory, mut shared] = [with_disk(), RawConfig { l0: None, ..over(with_shared()) }];
    memory.l0.as_mut().expect("L0 is on by default").gate = ByteCount(100);
    shared.l1.as_mut().expect("the shared store is on").gate = ByteCount(100);
    for raw in [memory, shared] {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        rig.answer("/a", 200, 100);
        let disk = |rig: &mut Rig, fails| rig.tiers.get_mut(&TierId::L2).expect("configured").fails = fails;
        disk(&mut rig, true);
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=5"), TAGGED[1], ("content-length", "100")]);
        rig.send("/a", 100, 50);
        rig.pass_time(Duration::from_secs(5));
        let revalidated = rig.get("/a");
        rig.head("/a", 304, &[("cache-control", "no-store"), TAGGED[1]]);
        assert_eq!(rig.client(revalidated).span().expect("one span").version, 2);
        disk(&mut rig, false);
        rig.pass_time(Duration::from_secs(1));
        rig.get("/a");
        assert_eq!(rig.asked.len(), 4, "nothing that is stored is used");
        assert!(rig.tiers[&TierId::L2].records.is_empty());
        rig.answer("/a", 200, 100);
        let again = rig.get("/a");
        assert_eq!(outcome(&rig, again), Outcome::Hit { tier: TierId::L2 });
        rig.assert_idle();
    }
}

/// The same 304 is about one variant: the others of its target stay, however old they are.
#[test]
fn a_304_that_forbids_to_keep_leaves_other_variants() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    let ask = |rig: &mut Rig, foo| rig.ask(Method::Get, "/a", &[("foo", foo)], false);
    for (foo, lifetime) in [("1", "max-age=600"), ("2", "max-age=60")] {
        ask(&mut rig, foo);
        let varies = ("vary", "Foo");
        rig.head("/a", 200, &[("cache-control", lifetime), TAGGED[1], varies, ("content-length", "100")]);
        rig.send("/a", 100, 50);
    }
    rig.pass_time(Duration::from_secs(60));
    ask(&mut rig, "2");
    rig.head("/a", 304, &[("cache-control", "no-store"), TAGGED[1]]);
    let other = ask(&mut rig, "1");
    assert_eq!(outcome(&rig, other), Outcome::Hit { tier: TierId::L2 });
    ask(&mut rig, "2");
    assert_eq!(rig.asked.len(), 4);
    rig.assert_idle_but_fetching();
}

/// An older copy in L0 ends as well, with a 304 about what a tier below has.
#[test]
fn a_304_that_forbids_to_keep_ends_an_older_copy_in_memory() {
    let mut raw = with_disk();
    raw.l0.as_mut().expect("L0 is on by default").gate = ByteCount(100);
    let mut rig = stored(raw, &TAGGED, 60);
    rig.get("/a");
    let younger = ("etag", "\"v2\"");
    rig.head("/a", 200, &[("cache-control", "max-age=5"), younger, ("content-length", "200")]);
    rig.send("/a", 200, 100);
    rig.pass_time(Duration::from_secs(5));
    rig.get("/a");
    rig.head("/a", 304, &[("cache-control", "no-store"), younger]);
    rig.get("/a");
    let fill = rig.fetch("/a");
    assert_eq!(rig.fetches[&fill].head.fields.all("if-none-match").count(), 0, "nothing to ask about");
    rig.assert_idle_but_fetching();
}

/// A tier that has yet to freshen a record when the next 304 forbids to keep it does so for nothing.
#[test]
fn what_is_forbidden_while_a_tier_freshens_it_is_not_fresh() {
    let mut rig = stored(RawConfig { l0: None, ..with_disk() }, &TAGGED, 60);
    rig.get("/a");
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.head("/a", 304, &TAGGED);
    rig.get("/a");
    rig.answer_lookups(TierId::L2);
    rig.head("/a", 304, &[("cache-control", "no-store"), TAGGED[1]]);
    rig.release_tier(TierId::L2);
    assert_eq!(freshened(&rig), 0);
    assert!(rig.tiers[&TierId::L2].records.is_empty());
    rig.assert_idle();
}

/// A new response to the question takes the old one's place.
#[test]
fn a_200_replaces_a_stale_record() {
    for raw in alone() {
        let mut rig = stored(raw, &TAGGED, 60);
        let client = rig.get("/a");
        rig.answer("/a", 70, 70);
        let expected = Outcome::Miss { reason: MissReason::Stale, collapsed: false, storing: true };
        assert_eq!(outcome(&rig, client), expected);
        let again = rig.get("/a");
        assert_eq!(rig.client(again).span().expect("one span").version, 2);
        assert_eq!(rig.asked.len(), 2);
        rig.assert_idle();
    }
}

/// RFC 5861 section 3: within its window a stale record is served at once, to those too who come while it is
/// being revalidated, and one revalidation goes on behind.
#[test]
fn stale_while_revalidate_serves_a_record_at_once() {
    for raw in alone() {
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10"), ("etag", "\"v1\"")];
        let mut rig = stored(raw, &fields, 65);
        let tier = rig.engine_tier();
        for _ in 0..3 {
            let client = rig.get("/a");
            let meanwhile = Outcome::Stale { tier, why: StaleUse::WhileRevalidate };
            assert_eq!(outcome(&rig, client), meanwhile);
            assert_eq!(rig.client(client).span(), first_version());
        }
        assert_eq!(rig.asked.len(), 2, "one revalidation for all three");
        rig.head("/a", 304, &[("cache-control", "max-age=60")]);
        let after = rig.get("/a");
        assert_eq!(outcome(&rig, after), Outcome::Hit { tier });
        assert_eq!(rig.asked.len(), 2);
        rig.assert_idle();
    }
}

/// RFC 5861 section 4: a record is served instead of an origin that fails, within its window and not past it.
#[test]
fn stale_if_error_serves_a_record() {
    for raw in alone() {
        for (status, later) in [(None, 100), (Some(503), 100), (None, 3_700)] {
            let mut rig = stored(raw.clone(), &[("cache-control", "max-age=60")], later);
            let instead = Outcome::Stale { tier: rig.engine_tier(), why: StaleUse::IfError };
            let clients = [rig.get("/a"), rig.get("/a")];
            match status {
                None => rig.refuse("/a"),
                Some(status) => rig.head("/a", status, &[]),
            }
            if later > 3_660 {
                assert!(rig.client(clients[0]).refusal.is_some());
                continue;
            }
            for client in clients {
                assert_eq!(outcome(&rig, client), instead);
                assert_eq!(rig.client(client).span(), first_version());
            }
            assert_eq!(rig.asked.len(), 2, "nobody asks a dead origin twice");
            rig.assert_idle();
        }
    }
}

/// A tier that did not confirm the new head is not believed to have it: the next request asks again. Who
/// waited for the 304 is served all the same (C1).
#[test]
fn f3_what_the_tier_did_not_confirm_does_not_count() {
    for raw in alone() {
        let mut rig = stored(raw, &TAGGED, 60);
        let tier = rig.engine_tier();
        let client = rig.get_slowly("/a");
        rig.tiers.get_mut(&tier).expect("configured").fails = true;
        rig.head("/a", 304, &[("cache-control", "max-age=60")]);
        rig.tiers.get_mut(&tier).expect("configured").fails = false;
        while rig.client(client).end.is_none() {
            rig.demand(client);
        }
        assert_eq!(rig.client(client).span(), first_version());
        assert_eq!(freshened(&rig), 0);
        let next = rig.get("/a");
        assert_eq!(rig.asked.len(), 3);
        rig.head("/a", 304, &[("cache-control", "max-age=60")]);
        assert_eq!(outcome(&rig, next), Outcome::Revalidated { tier });
        rig.assert_idle();
    }
}

/// F1: a purge while the origin is asked about a record lets the answer freshen nothing, nor does one while
/// the freshening is with its tier bring the record back.
#[test]
fn f1_a_purge_during_a_records_revalidation_is_not_undone() {
    for raw in alone() {
        let mut rig = stored(raw.clone(), &TAGGED, 60);
        let before = rig.get("/a");
        rig.purge("/a");
        rig.head("/a", 304, &[("cache-control", "max-age=60")]);
        assert_eq!(rig.client(before).span(), first_version(), "who asked before is answered");
        rig.get("/a");
        assert_eq!(rig.asked.len(), 3, "and nothing is stored");
        assert_eq!(freshened(&rig), 0);

        let mut rig = stored(raw, &TAGGED, 60);
        let tier = rig.engine_tier();
        let reader = rig.get_slowly("/a");
        rig.tiers.get_mut(&tier).expect("configured").is_held = true;
        rig.head("/a", 304, &[("cache-control", "max-age=60")]);
        rig.purge("/a");
        rig.release_tier(tier);
        while rig.client(reader).end.is_none() {
            rig.demand(reader);
        }
        rig.get("/a");
        assert_eq!(rig.asked.len(), 3);
        assert!(rig.tiers[&tier].records.is_empty());
    }
}

/// F4: what is promoted after a 304 has the lifetime that the 304 gave, and no more; stale uses promote
/// nothing.
#[test]
fn f4_a_freshened_record_is_promoted_with_its_new_lease() {
    for raw in [with_disk(), with_shared()] {
        let mut raw = raw;
        raw.l0.as_mut().expect("L0 is on by default").capacity = ByteCount(250);
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10"), ("etag", "\"v1\"")];
        let mut rig = stored(raw, &fields, 0);
        rig.get("/b");
        rig.answer("/b", 200, 200);
        rig.pass_time(Duration::from_secs(65));
        rig.events.clear();
        let promoted = |rig: &Rig| {
            rig.count(|event| {
                matches!(
                    event,
                    Event::Residence(ResidenceEvent::Stored { tier: TierId::L0, from: Some(_), .. })
                )
            })
        };
        rig.get("/a");
        rig.refuse("/a");
        assert_eq!(promoted(&rig), 0, "it is stale");
        rig.pass_time(Duration::from_secs(10));
        rig.get("/a");
        rig.head("/a", 304, &[("cache-control", "max-age=30")]);
        assert_eq!(promoted(&rig), 1);
        rig.pass_time(Duration::from_secs(29));
        let hit = rig.get("/a");
        assert_eq!(outcome(&rig, hit), Outcome::Hit { tier: TierId::L0 });
        rig.pass_time(Duration::from_secs(1));
        rig.get("/a");
        rig.assert_idle_but_fetching();
        assert_eq!(rig.asked, ["/a", "/b", "/a", "/a", "/a"]);
    }
}

/// A stale record in a faster tier does not hide a fresh one in a slower: that one serves, and the other is
/// closed.
#[test]
fn a_fresh_record_in_a_slower_tier_serves() {
    let raw = RawConfig { l0: None, l1: Some(Default::default()), ..with_disk() };
    let mut rig = stored(raw, &TAGGED, 60);
    let stale = rig.tiers[&TierId::L1].records.clone();
    let client = rig.get("/a");
    rig.head("/a", 304, &[("cache-control", "max-age=60")]);
    assert_eq!(outcome(&rig, client), Outcome::Revalidated { tier: TierId::L1 }, "of one age, the faster");
    // As if it had been the other tier.
    let freshened = rig.tiers[&TierId::L1].records.values().next().expect("one record").0.clone();
    for (record, _) in rig.tiers.get_mut(&TierId::L2).expect("configured").records.values_mut() {
        *record = Arc::new(Record { name: record.name, ..Record::clone(&freshened) });
    }
    rig.tiers.get_mut(&TierId::L1).expect("configured").records = stale;
    let next = rig.get("/a");
    assert_eq!(outcome(&rig, next), Outcome::Hit { tier: TierId::L2 });
    assert_eq!(rig.client(next).span(), first_version());
    assert_eq!(rig.asked.len(), 2);
    rig.assert_idle();
}

/// What can be of no use any more is not kept open while the origin is asked: it has neither validator nor
/// window.
#[test]
fn a_stale_record_of_no_use_is_closed() {
    let http = RawHttp { stale_if_error_s: 0, ..RawHttp::default() };
    let raw = RawConfig { l0: None, http, ..with_disk() };
    for (fields, kept) in [(&TAGGED[..1], 0), (&TAGGED[..], 1)] {
        let mut rig = stored(raw.clone(), fields, 60);
        rig.get("/a");
        assert_eq!(rig.tiers[&TierId::L2].open_records(), kept, "{fields:?}");
    }
}

/// Whoever leaves, whenever: the record that was kept for the question is closed.
#[test]
fn t6_leaving_a_revalidation_closes_the_record() {
    for raw in alone() {
        let raw = RawConfig { fill: RawFill { on_abandon: OnAbandon::Cancel, ..raw.fill }, ..raw };
        let mut rig = stored(raw, &TAGGED, 60);
        let client = rig.get("/a");
        rig.leave(client);
        assert_eq!(rig.cancelled, ["/a"]);
        rig.assert_idle();
        let tier = rig.engine_tier();
        rig.tiers.get_mut(&tier).expect("configured").is_held = true;
        let client = rig.get("/a");
        rig.leave(client);
        rig.release_tier(tier);
        rig.assert_idle();
        assert_eq!(rig.asked.len(), 2, "nobody is left to ask for");
    }
}

/// RFC 9110 section 14: a range of a stored record reads exactly its bytes; HEAD, 304 and 416 read nothing.
/// T7: none of them is promoted.
#[test]
fn t7_a_part_of_a_record_is_read_alone_and_promotes_nothing() {
    for raw in [with_disk(), with_shared()] {
        let mut raw = raw;
        raw.l0.as_mut().expect("L0 is on by default").capacity = ByteCount(250);
        raw.fill.read_size = ByteCount(30);
        let mut rig = stored(raw, &TAGGED, 0);
        let tier = rig.engine_tier();
        rig.get("/b");
        rig.answer("/b", 200, 200);
        rig.events.clear();
        for (method, field, status, offset, size) in [
            (Method::Get, ("range", "bytes=25-84"), 206, 25, 60),
            (Method::Get, ("range", "bytes=-1"), 206, 99, 1),
            (Method::Get, ("range", "bytes=100-"), 416, 0, 0),
            (Method::Get, ("if-none-match", "\"v1\""), 304, 0, 0),
            (Method::Head, ("accept", "*/*"), 200, 0, 0),
        ] {
            let before = rig.tiers[&tier].read;
            let client = rig.ask(method, "/a", &[field], false);
            assert_eq!(outcome(&rig, client), Outcome::Hit { tier }, "{field:?}");
            assert_eq!(reply(&rig, client).head.status, status, "{field:?}");
            let expected = Symbol { object: object("/a"), version: 1, offset, size };
            assert_eq!(rig.client(client).span(), (size > 0).then_some(expected), "{field:?}");
            assert_eq!(rig.tiers[&tier].read - before, size, "{field:?}");
            assert!(rig.client(client).end.is_some());
        }
        assert_eq!(rig.count(|event| matches!(event, Event::Copy(CopyEvent::LaneOpened { .. }))), 0);
        assert_eq!(rig.asked, ["/a", "/b"]);
        rig.assert_idle();
    }
}

/// If-Range: the part if the validator is the stored one, the whole if not.
#[test]
fn if_range_is_judged_against_a_record() {
    for raw in alone() {
        let mut rig = stored(raw, &TAGGED, 1);
        for (tag, size) in [("\"v1\"", 2), ("\"v2\"", 100)] {
            let client = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1"), ("if-range", tag)], false);
            assert_eq!(rig.client(client).received(), size, "{tag}");
        }
    }
}

/// T12: a range of a stale record is served where a window allows it, and goes around where the origin must
/// be asked, if it fetches nothing itself; the question that follows is for the whole.
#[test]
fn t12_a_range_of_a_stale_record() {
    for raw in alone() {
        let mut rig = stored(parts_pass(raw.clone()), &TAGGED, 60);
        let part = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1")], false);
        assert!(rig.client(part).is_passed);
        assert_eq!(rig.asked.len(), 1);
        rig.assert_idle();

        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10"), ("etag", "\"v1\"")];
        let mut rig = stored(raw, &fields, 65);
        let part = rig.ask(Method::Get, "/a", &[("range", "bytes=0-1")], false);
        assert_eq!(rig.client(part).received(), 2);
        let fill = rig.fetch("/a");
        assert!(!rig.fetches[&fill].head.fields.contains("range"));
        rig.assert_idle_but_fetching();
    }
}

/// `no-cache`: stored below L0 too, and asked about before each use.
#[test]
fn no_cache_is_asked_about_below_l0() {
    for raw in alone() {
        let mut rig = stored(raw, &[("cache-control", "no-cache, max-age=60"), ("etag", "\"v1\"")], 1);
        let tier = rig.engine_tier();
        for asked in 2..4 {
            let client = rig.get("/a");
            assert_eq!(rig.asked.len(), asked);
            rig.head("/a", 304, &[]);
            assert_eq!(outcome(&rig, client), Outcome::Revalidated { tier });
            assert_eq!(rig.client(client).span(), first_version());
        }
        rig.assert_idle();
    }
}

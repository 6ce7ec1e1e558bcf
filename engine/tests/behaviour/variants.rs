//! `Vary`: who asks with other fields gets another response (RFC 9111 section 4.1).

use crate::rig::{Rig, key, l0_only, object, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{Effect, Event, Method, Outcome, RawConfig, RequestId, ResidenceEvent, Symbol, TierId};

const VARIES: [(&str, &str); 3] =
    [("cache-control", "max-age=60"), ("vary", "Accept-Language"), ("content-length", "50")];

fn ask(rig: &mut Rig, language: &str) -> RequestId {
    rig.ask(Method::Get, "/a", &[("accept-language", language)], false)
}

fn answer(rig: &mut Rig) {
    rig.head("/a", 200, &VARIES);
    rig.send("/a", 50, 25);
    rig.end("/a");
}

fn version(version: u32) -> Option<Symbol> {
    Some(Symbol { object: object("/a"), version, offset: 0, size: 50 })
}

/// Each language gets its own response, from the origin once and from L0 afterwards.
#[test]
fn each_variant_is_stored_for_itself() {
    let mut rig = Rig::new(l0_only());
    for (language, expected) in [("de", 1), ("en", 2), ("de", 1), ("en", 2)] {
        let before = rig.asked.len();
        let client = ask(&mut rig, language);
        if rig.asked.len() > before {
            answer(&mut rig);
        }
        assert_eq!(rig.client(client).span(), version(expected), "{language}");
    }
    assert_eq!(rig.asked.len(), 2);
    let last = ask(&mut rig, "de");
    let reply = rig.client(last).reply.as_ref().expect("it was served");
    assert_eq!(reply.outcome, Outcome::Hit { tier: TierId::L0 });
    rig.assert_idle();
}

/// A fresh response answers whoever likes its language best, in whatever other words; nobody else.
#[test]
fn a_language_is_found_by_who_likes_it_best() {
    let german = [("content-language", "de"), ("vary", "Accept-Language, Foo"), VARIES[0], VARIES[2]];
    let mut rig = Rig::new(l0_only());
    ask(&mut rig, "en, de");
    rig.head("/a", 200, &german);
    rig.send("/a", 50, 25);
    rig.end("/a");
    for language in ["fr;q=0.5, de;q=1.0", "DE", "de, *;q=0.1", "de, en"] {
        let client = ask(&mut rig, language);
        assert_eq!(got(&rig, &[client]), [Some(1)], "{language}");
    }
    assert_eq!(rig.asked.len(), 1);
    for (number, language) in ["en, de, fr", "de;q=0.5, fr", "de-CH", "*"].into_iter().enumerate() {
        ask(&mut rig, language);
        assert_eq!(rig.asked.len(), number + 2, "{language}");
    }
    rig.ask(Method::Get, "/a", &[("accept-language", "de"), ("foo", "1")], false);
    assert_eq!(rig.asked.len(), 6, "all else must be the same");
    rig.unanswered().into_iter().for_each(|fill| rig.refuse_of(fill));
    rig.fetches.clear();
    // Stale, it stands in for nobody else, and purged it is gone.
    rig.pass_time(Duration::from_secs(60));
    ask(&mut rig, "de, fr;q=0.5");
    assert_eq!(rig.asked.len(), 7);
    answer_all(&mut rig, &german);
    let client = ask(&mut rig, "de, it;q=0.5");
    assert_eq!(got(&rig, &[client]), [Some(2)]);
    rig.purge("/a");
    ask(&mut rig, "de, it;q=0.5");
    assert_eq!(rig.asked.len(), 8);
}

/// What is filed by other words than it says itself is found by what it says.
#[test]
fn a_language_is_what_the_response_says_now() {
    let said = |language| [("content-language", language), VARIES[1], VARIES[0], VARIES[2]];
    let mut rig = Rig::new(l0_only());
    ask(&mut rig, "en, de");
    answer_all(&mut rig, &said("de"));
    rig.pass_time(Duration::from_secs(60));
    ask(&mut rig, "en, de");
    answer_all(&mut rig, &said("en"));
    let german = ask(&mut rig, "de, fr;q=0.5");
    assert_eq!(got(&rig, &[german]), [None], "it is English now");
    answer_all(&mut rig, &said("de"));
    let english = ask(&mut rig, "en, fr;q=0.5");
    assert_eq!(got(&rig, &[english]), [Some(2)]);
}

/// Answers the oldest fetch that is under way with this head and a body of its own.
fn answer_oldest(rig: &mut Rig, head: &[(&str, &str)]) {
    let fill = *rig.fetches.keys().next().expect("a fetch is under way");
    rig.head_of(fill, 200, head);
    // One whose answer is for nobody is stopped with its head.
    if rig.fetches.contains_key(&fill) {
        rig.send_of(fill, 50, 25);
        rig.end_of(fill);
        rig.fetches.remove(&fill);
    }
}

/// The same for all of them, and for those that come of it.
fn answer_all(rig: &mut Rig, head: &[(&str, &str)]) {
    while !rig.fetches.is_empty() {
        answer_oldest(rig, head);
    }
}

/// What each of these clients got, by the number of the fetch.
fn got(rig: &Rig, clients: &[RequestId]) -> Vec<Option<u32>> {
    clients.iter().map(|client| rig.client(*client).span().map(|span| span.version)).collect()
}

/// T12: many ask for a target that nobody knows to vary: each variant is fetched once, and each client gets
/// its own.
#[test]
fn t12_a_herd_of_two_variants_is_two_fetches() {
    let mut rig = Rig::new(l0_only());
    let clients: Vec<_> = (0..10).map(|number| ask(&mut rig, ["de", "en"][number % 2])).collect();
    assert_eq!(rig.asked.len(), 1);
    answer_all(&mut rig, &VARIES);
    assert_eq!(rig.asked.len(), 2);
    assert_eq!(got(&rig, &clients), [1, 2].repeat(5).into_iter().map(Some).collect::<Vec<_>>());
    let late = ask(&mut rig, "en");
    assert_eq!(got(&rig, &[late]), [Some(2)]);
    rig.assert_idle();
}

/// T12: whoever comes while the second variant is fetched joins that fetch.
#[test]
fn t12_a_group_is_joined_by_those_who_come_later() {
    let mut rig = Rig::new(l0_only());
    let mut clients = vec![ask(&mut rig, "de"), ask(&mut rig, "en")];
    answer_oldest(&mut rig, &VARIES);
    assert_eq!(rig.asked.len(), 2);
    clients.push(ask(&mut rig, "en"));
    assert_eq!(rig.asked.len(), 2, "it is joined");
    answer_all(&mut rig, &VARIES);
    assert_eq!(got(&rig, &clients), [Some(1), Some(2), Some(2)]);
    rig.assert_idle();
}

/// T12: a purge while many wait changes nothing of who gets what.
#[test]
fn t12_a_purge_in_between_mixes_no_variants() {
    let mut rig = Rig::new(l0_only());
    let clients = [ask(&mut rig, "de"), ask(&mut rig, "en"), ask(&mut rig, "de")];
    rig.purge("/a");
    answer_all(&mut rig, &VARIES);
    assert_eq!(got(&rig, &clients), [Some(1), Some(2), Some(1)]);
    rig.assert_idle();
}

/// T12: the leader has left before its head came. The response is to its request, not to that of whoever is
/// first now.
#[test]
fn t12_a_leader_that_left_takes_its_variant_along() {
    let mut rig = Rig::new(l0_only());
    let leader = ask(&mut rig, "de");
    let clients = [ask(&mut rig, "en"), ask(&mut rig, "en")];
    rig.leave(leader);
    answer_all(&mut rig, &VARIES);
    assert_eq!(rig.asked.len(), 2);
    assert_eq!(got(&rig, &clients), [Some(2), Some(2)]);
    let german = ask(&mut rig, "de");
    answer_all(&mut rig, &VARIES);
    assert_ne!(got(&rig, &[german]), [Some(2)], "it is not filed as German");
    rig.assert_idle();
}

/// T12: what was made for the leader alone goes to nobody else, even if the leader has left.
#[test]
fn t12_a_private_answer_to_a_leader_that_left_is_nobody_s() {
    let private = [("cache-control", "private"), ("content-length", "50")];
    let mut rig = Rig::new(l0_only());
    let leader = rig.get("/a");
    let clients = [rig.get("/a"), rig.get("/a")];
    rig.leave(leader);
    answer_all(&mut rig, &private);
    assert_eq!(got(&rig, &clients), [Some(2), Some(3)], "each its own");
    rig.assert_idle();
}

/// An origin that names other fields each time is asked by each client at most once.
#[test]
fn a_vary_that_changes_ends() {
    let mut rig = Rig::new(l0_only());
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let agent = format!("agent {number}");
            let language = ["de", "en"][number % 2];
            rig.ask(Method::Get, "/a", &[("accept-language", language), ("user-agent", &agent)], false)
        })
        .collect();
    let mut rounds = 0;
    while !rig.fetches.is_empty() {
        let vary = ["Accept-Language", "User-Agent"][rounds % 2];
        let head = [("cache-control", "max-age=60"), ("vary", vary), ("content-length", "50")];
        answer_oldest(&mut rig, &head);
        rounds += 1;
    }
    assert!(rig.asked.len() <= clients.len(), "{} fetches", rig.asked.len());
    assert!(got(&rig, &clients).iter().all(Option::is_some));
    rig.assert_idle();
}

/// A 304 may say that the stored response depends on more than it is filed under: then it holds only for who
/// asked, and the response is fetched anew.
#[test]
fn a_304_that_names_other_fields_does_not_freshen() {
    let mut rig = Rig::new(l0_only());
    ask(&mut rig, "de");
    let stale_soon = [("cache-control", "max-age=1"), ("etag", "\"1\""), ("content-length", "50")];
    answer_oldest(&mut rig, &stale_soon);
    rig.pass_time(Duration::from_secs(5));
    let clients = ["de", "en"].map(|language| ask(&mut rig, language));
    let same = [("etag", "\"1\""), ("vary", "accept-language"), ("cache-control", "max-age=60")];
    rig.head("/a", 304, &same);
    assert_eq!(rig.asked.len(), 3, "asked again, without a condition");
    answer_all(&mut rig, &VARIES);
    assert_eq!(got(&rig, &clients), [Some(3), Some(4)]);
    rig.assert_idle();
}

/// CON5 (seed 66590 of explore): a fetch turns out to be of a variant of which another has its whole body,
/// and its tier has yet to publish it. Those who come later join the one that still streams, also when the
/// tier fails the other.
#[test]
fn a_fetch_that_streams_leads_before_one_that_has_ended() {
    let by_agent = [("cache-control", "max-age=60"), ("vary", "User-Agent"), ("content-length", "50")];
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    ask(&mut rig, "de");
    answer_all(&mut rig, &VARIES);
    let clients = ["en", "fr"].map(|language| ask(&mut rig, language));
    let [ended, streams] = rig.unanswered()[..] else { panic!("two are under way") };
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.head_of(ended, 200, &by_agent);
    rig.send_of(ended, 50, 25);
    rig.head_of(streams, 200, &by_agent);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
    rig.release_tier(TierId::L2);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = false;
    let late = ask(&mut rig, "de");
    assert_eq!(rig.asked.len(), 3, "it is joined");
    rig.send_of(streams, 50, 25);
    assert_eq!(got(&rig, &[clients[0], clients[1], late]), [Some(2), Some(3), Some(3)]);
    rig.assert_idle();
}

/// `Vary: *` depends on what nobody can see: it is not stored.
#[test]
fn vary_star_is_not_stored() {
    let mut rig = Rig::new(l0_only());
    for asked in 1..3 {
        ask(&mut rig, "de");
        rig.head("/a", 200, &[("cache-control", "max-age=60"), ("vary", "*"), ("content-length", "0")]);
        rig.end("/a");
        assert_eq!(rig.asked.len(), asked);
    }
    assert_eq!(rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))), 0);
}

/// A purge reaches every variant, and what was under way for one of them.
#[test]
fn a_purge_reaches_every_variant() {
    let mut rig = Rig::new(with_disk());
    for language in ["de", "en"] {
        ask(&mut rig, language);
        answer(&mut rig);
    }
    let late = ask(&mut rig, "fr");
    rig.head("/a", 200, &VARIES);
    rig.purge("/a");
    rig.send("/a", 50, 25);
    rig.end("/a");
    assert_eq!(rig.client(late).span(), version(3));
    for asked in 4..7 {
        ask(&mut rig, ["de", "en", "fr"][asked - 4]);
        assert_eq!(rig.asked.len(), asked);
        answer(&mut rig);
    }
    rig.assert_idle();
}

/// The disk keeps variants, and a marker that says what the target depends on: after a restart each is a hit
/// without a question to the origin, and a purge takes all of them along, the marker too, and those that
/// nobody has asked for since.
#[test]
fn variants_are_found_again_after_a_restart() {
    let mut before = Rig::new(with_disk());
    for language in ["de", "en", "fr"] {
        ask(&mut before, language);
        answer(&mut before);
    }
    let stored = before
        .count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { tier: TierId::L2, .. })));
    assert_eq!((stored, before.tiers[&TierId::L2].records.len()), (3, 4), "the marker is told to nobody");
    let mut rig = Rig::restarted(before, with_disk());
    for (language, expected) in [("de", 1), ("en", 2)] {
        let client = ask(&mut rig, language);
        assert_eq!(rig.client(client).span(), version(expected), "{language}");
        let reply = rig.client(client).reply.as_ref().expect("it was served");
        assert_eq!(reply.outcome, Outcome::Hit { tier: TierId::L2 });
    }
    assert!(rig.asked.is_empty(), "nobody asked the origin");
    rig.purge("/a");
    assert!(rig.tiers[&TierId::L2].records.is_empty(), "nothing of the target is on the disk");
    let client = ask(&mut rig, "fr");
    assert_eq!(rig.asked, ["/a"]);
    rig.leave(client);
    rig.assert_idle_but_fetching();
}

/// Those who wait for the marker want different variants: each gets its own, and one lookup of the target
/// serves all.
#[test]
fn who_waits_for_a_marker_gets_each_its_own() {
    let mut before = Rig::new(with_disk());
    for language in ["de", "en"] {
        ask(&mut before, language);
        answer(&mut before);
    }
    let mut rig = Rig::restarted(before, with_disk());
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    let clients: Vec<_> = ["de", "en", "de"].map(|language| ask(&mut rig, language)).into();
    rig.release_tier(TierId::L2);
    for (client, expected) in clients.into_iter().zip([1, 2, 1]) {
        assert_eq!(rig.client(client).span(), version(expected));
    }
    assert_eq!((rig.asked.len(), rig.tiers[&TierId::L2].lookups), (0, 3));
    rig.assert_idle();
}

/// In a shared tier one edge finds the variants that another stored without asking the origin, though it has
/// never seen the target.
#[test]
fn a_shared_tier_has_variants_for_every_edge() {
    let mut one = Rig::new(with_shared());
    for language in ["de", "en"] {
        ask(&mut one, language);
        answer(&mut one);
    }
    let mut two = Rig::new(with_shared());
    // Both rigs have one seed: the second uses up the names that the first has given.
    for target in ["/x", "/y", "/z"] {
        two.get(target);
        two.answer(target, 1, 1);
    }
    let shared = one.tiers.remove(&TierId::L1).expect("it is configured");
    two.tiers.insert(TierId::L1, shared);
    for (language, expected) in [("de", 1), ("en", 2)] {
        let client = ask(&mut two, language);
        assert_eq!(two.client(client).span(), version(expected), "{language}");
    }
    assert_eq!(two.asked, ["/x", "/y", "/z"]);
    ask(&mut two, "fr");
    answer(&mut two);
    let before = two.tiers[&TierId::L1].records.len();
    assert_eq!(before, 4, "three variants and one marker: the second edge knows that it is there");
    two.assert_idle();
}

/// When a target depends on other fields than before, its marker is replaced by one that says so.
#[test]
fn names_that_change_replace_the_marker() {
    let mut before = Rig::new(with_disk());
    ask(&mut before, "de");
    answer(&mut before);
    before.pass_time(Duration::from_secs(61));
    ask(&mut before, "de");
    before.head("/a", 200, &[("cache-control", "max-age=60"), ("vary", "Cookie"), ("content-length", "50")]);
    before.send("/a", 50, 25);
    before.end("/a");
    let mut rig = Rig::restarted(before, with_disk());
    let client = ask(&mut rig, "fr");
    assert_eq!(rig.client(client).span(), version(2), "the language does not matter any more");
    assert!(rig.asked.is_empty());
    rig.assert_idle();
}

/// A purge waits for a marker that is just being published, and no marker from before it is there afterwards.
#[test]
fn a_purge_takes_along_a_marker_that_is_being_written() {
    let mut rig = Rig::new(with_disk());
    ask(&mut rig, "de");
    rig.head("/a", 200, &VARIES);
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.send("/a", 50, 25);
    rig.end("/a");
    let is_marker = |effect: &Effect<Symbol>| match effect {
        Effect::Commit { record, .. } => record.key == key("/a"),
        _ => false,
    };
    while !rig.tiers[&TierId::L2].held.iter().any(is_marker) {
        rig.answer_tier(TierId::L2, |_| 0);
    }
    let purge = rig.purge("/a");
    while rig.tiers[&TierId::L2].held.len() > 1 {
        rig.answer_tier(TierId::L2, |count| count - 1);
    }
    assert!(!rig.purged.contains_key(&purge), "the marker's commit is with the tier");
    rig.release_tier(TierId::L2);
    assert!(rig.purged.contains_key(&purge));
    assert!(rig.tiers[&TierId::L2].records.is_empty());
    rig.assert_idle();
}

/// The fast path does not know a request's variant and leaves it to the proper way in.
#[test]
fn the_door_is_closed_to_variants() {
    let mut rig = Rig::new(l0_only());
    ask(&mut rig, "de");
    answer(&mut rig);
    let fields = [("accept-language", &b"de"[..])];
    let door = rig.engine.fresh_hit(rig.now, crate::rig::key("/a"), Method::Get, fields.into_iter());
    assert!(door.is_none());
}

/// I11: a fetch that was asked for long ago turns out to be for a variant of which a 304 has forbidden
/// meanwhile to keep what is younger: its clients get it, and nothing keeps it.
#[test]
fn what_comes_late_is_not_kept_where_a_304_forbade_younger() {
    let by = |name, lifetime| {
        [("vary", name), ("cache-control", lifetime), ("etag", "\"1\""), ("content-length", "50")]
    };
    let asks = |rig: &mut Rig, language, agent| {
        rig.ask(Method::Get, "/a", &[("accept-language", language), ("user-agent", agent)], false)
    };
    let mut rig = Rig::new(with_disk());
    asks(&mut rig, "de", "1");
    answer_all(&mut rig, &by("Accept-Language", "max-age=60"));
    let slow = asks(&mut rig, "en", "2");
    let late = rig.fetch("/a");
    rig.pass_time(Duration::from_secs(1));
    asks(&mut rig, "fr", "2");
    let young = rig.fetch("/a");
    rig.head_of(young, 200, &by("User-Agent", "max-age=1"));
    rig.send_of(young, 50, 25);
    rig.pass_time(Duration::from_secs(1));
    asks(&mut rig, "fr", "2");
    rig.head("/a", 304, &[("cache-control", "no-store"), ("etag", "\"1\"")]);
    let before = rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. })));
    rig.head_of(late, 200, &by("User-Agent", "max-age=60"));
    rig.send_of(late, 50, 25);
    assert!(rig.client(slow).span().is_some());
    let after = rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. })));
    assert_eq!(after, before);
    asks(&mut rig, "fr", "2");
    assert_eq!(rig.asked.len(), 5);
    rig.assert_idle_but_fetching();
}

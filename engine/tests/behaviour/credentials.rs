//! Requests with `Authorization`: answered with what is meant for them and for others, and stored for others
//! only where the origin says so (RFC 9111 section 3.5). Nobody else waits for, joins or reads the rest.

use crate::rig::{Rig, l0_only, with_disk, with_shared};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tiergate_engine::{
    Bypass, Event, FillId, Method, Outcome, RawConfig, RequestEvent, RequestId, Seed, TierId,
};

const LENGTH: (&str, &str) = ("content-length", "10");
const TAG: (&str, &str) = ("etag", "\"1\"");
/// What a response says that may be shared (section 3.5).
const SHARED: [&str; 3] = ["max-age=60, public", "s-maxage=60", "max-age=60, must-revalidate"];

fn with_credentials(rig: &mut Rig, user: &str) -> RequestId {
    rig.ask(Method::Get, "/a", &[("authorization", user)], false)
}

/// The only fetch that waits for its head is answered whole.
fn answer(rig: &mut Rig, words: &str) -> FillId {
    let [fill] = rig.unanswered()[..] else { panic!("{:?}", rig.unanswered()) };
    answer_of(rig, fill, words);
    fill
}

fn answer_of(rig: &mut Rig, fill: FillId, words: &str) {
    rig.head_of(fill, 200, &[("cache-control", words), TAG, LENGTH]);
    rig.send_of(fill, 10, 10);
    rig.end_of(fill);
}

/// With whose credentials the origin was asked, in the order of the fetches that are known yet.
fn shown(rig: &Rig) -> Vec<Option<String>> {
    let shown = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    rig.fetches.values().map(|fetch| fetch.head.fields.only("authorization").map(shown)).collect()
}

fn went_around(event: &Event) -> bool {
    matches!(event, Event::Request(RequestEvent::Passed { bypass: Bypass::Authorization, .. }))
}

fn tiers() -> [RawConfig; 3] {
    [l0_only(), RawConfig { l0: None, ..with_disk() }, RawConfig { l0: None, ..with_shared() }]
}

/// What is for both is served to both, whoever brought it.
#[test]
fn what_may_be_shared_is_served_to_all() {
    for words in SHARED {
        for raw in tiers() {
            for brought_by in [None, Some("alice")] {
                let mut rig = Rig::new(raw.clone());
                match brought_by {
                    Some(user) => with_credentials(&mut rig, user),
                    None => rig.get("/a"),
                };
                answer(&mut rig, words);
                let clients = [rig.get("/a"), with_credentials(&mut rig, "bob")];
                for client in clients {
                    let outcome = rig.client(client).reply.as_ref().map(|reply| reply.outcome);
                    assert!(matches!(outcome, Some(Outcome::Hit { .. })), "{words}: {outcome:?}");
                }
                assert_eq!(rig.asked.len(), 1, "{words}");
                rig.assert_idle();
            }
        }
    }
}

/// What others brought and is not for those with credentials stays for the others; the origin answers the
/// rest.
#[test]
fn what_is_not_shared_is_withheld() {
    for raw in tiers() {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        answer(&mut rig, "max-age=60");
        let user = with_credentials(&mut rig, "alice");
        assert!(rig.client(user).is_passed);
        assert_eq!(rig.count(went_around), 1);
        let other = rig.get("/a");
        assert_eq!(rig.client(other).received(), 10);
        // Stale, it is no better: the origin is not even asked about it with these credentials.
        rig.pass_time(Duration::from_secs(60));
        let user = with_credentials(&mut rig, "alice");
        assert!(rig.client(user).is_passed);
        assert_eq!(rig.asked.len(), 1);
        rig.assert_idle();
    }
}

/// What credentials brought and may not be shared is stored nowhere, and nobody who waits, or comes while it
/// is on its way, reads a byte of it.
#[test]
fn what_credentials_brought_is_theirs_alone() {
    for raw in tiers() {
        let mut rig = Rig::new(raw);
        let alice = with_credentials(&mut rig, "alice");
        let (bob, other) = (with_credentials(&mut rig, "bob"), rig.get("/a"));
        assert_eq!(rig.asked.len(), 1, "they wait for the head");
        let fill = rig.fetch("/a");
        rig.head_of(fill, 200, &[("cache-control", "max-age=60"), LENGTH]);
        assert_eq!(shown(&rig), [Some("alice".into()), Some("bob".into()), None]);
        let late = rig.get("/a");
        rig.send_of(fill, 10, 10);
        assert_eq!(rig.client(alice).received(), 10);
        for client in [bob, other, late] {
            assert!(rig.client(client).reply.is_none());
        }
        for fill in rig.unanswered() {
            answer_of(&mut rig, fill, "max-age=60");
        }
        for client in [bob, other, late] {
            assert_eq!(rig.client(client).received(), 10);
        }
        let versions: BTreeSet<_> =
            [alice, bob, other].map(|client| rig.client(client).span().expect("a span").version).into();
        assert_eq!(versions.len(), 3, "each has its own");
        rig.assert_idle();
    }
}

/// Who has credentials and waited for what others brought asks for itself, unless it is for both; so does who
/// comes while the body is on its way.
#[test]
fn credentials_join_what_is_for_both() {
    for (words, shares) in [("max-age=60", false), ("max-age=60, public", true)] {
        for raw in tiers() {
            let mut rig = Rig::new(raw);
            let (other, waiting) = (rig.get("/a"), with_credentials(&mut rig, "alice"));
            let fill = rig.fetch("/a");
            rig.head_of(fill, 200, &[("cache-control", words), LENGTH]);
            let late = with_credentials(&mut rig, "bob");
            rig.send_of(fill, 10, 10);
            assert_eq!(rig.client(other).received(), 10);
            for client in [waiting, late] {
                assert_eq!(rig.client(client).reply.is_some(), shares, "{words}");
            }
            for fill in rig.unanswered() {
                answer_of(&mut rig, fill, "max-age=60");
            }
            let expected =
                if shares { vec![None] } else { vec![None, Some("alice".into()), Some("bob".into())] };
            assert_eq!(shown(&rig), expected, "{words}");
            for client in [waiting, late] {
                assert_eq!(rig.client(client).received(), 10);
            }
            rig.assert_idle();
        }
    }
}

/// Where the origin is to agree to each use, it sees the credentials of each: a 304 answers who asked, and
/// only those without credentials share one that was not asked for with any.
#[test]
fn the_origin_agrees_to_each_credentials() {
    for raw in tiers() {
        for leader in [None, Some("alice")] {
            let mut rig = Rig::new(raw.clone());
            rig.get("/a");
            answer(&mut rig, "public, no-cache");
            rig.fetches.clear();
            let first = match leader {
                Some(user) => with_credentials(&mut rig, user),
                None => rig.get("/a"),
            };
            let (bob, other) = (with_credentials(&mut rig, "bob"), rig.get("/a"));
            assert_eq!(rig.unanswered().len(), 1, "they wait for one answer");
            rig.head("/a", 304, &[TAG]);
            assert_eq!(rig.client(first).received(), 10);
            assert!(rig.client(bob).reply.is_none());
            assert_eq!(rig.client(other).reply.is_some(), leader.is_none());
            let expected =
                if leader.is_some() { vec![Some("bob".into()), None] } else { vec![Some("bob".into())] };
            assert_eq!(shown(&rig), expected);
            for fill in rig.unanswered() {
                answer_of(&mut rig, fill, "public, no-cache");
            }
            rig.assert_idle();
        }
        // Fresh again, it may be used for all.
        let mut rig = Rig::new(raw);
        rig.get("/a");
        answer(&mut rig, "max-age=60, public");
        rig.pass_time(Duration::from_secs(60));
        let clients = [with_credentials(&mut rig, "alice"), with_credentials(&mut rig, "bob"), rig.get("/a")];
        rig.head("/a", 304, &[TAG]);
        assert_eq!(clients.map(|client| rig.client(client).received()), [10; 3]);
        rig.assert_idle();
    }
}

/// A 304 that takes the leave to share back: who led is answered, what was stored goes, and the rest ask.
#[test]
fn a_304_can_end_the_sharing() {
    for raw in tiers() {
        let mut rig = Rig::new(raw);
        rig.get("/a");
        answer(&mut rig, "max-age=60, public");
        rig.pass_time(Duration::from_secs(60));
        rig.fetches.clear();
        let (alice, other) = (with_credentials(&mut rig, "alice"), rig.get("/a"));
        rig.head("/a", 304, &[TAG, ("cache-control", "max-age=60")]);
        assert_eq!((rig.client(alice).received(), rig.client(other).reply.is_some()), (10, false));
        assert_eq!(shown(&rig), [None]);
        answer(&mut rig, "max-age=60");
        assert_eq!(rig.client(other).received(), 10);
        rig.assert_idle();
    }
}

/// What a tier below has and is not for both is not kept for those with credentials who looked along: not as
/// what the origin is asked about, nor in place of an error.
#[test]
fn what_is_withheld_stands_in_for_no_error() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    rig.get("/a");
    answer(&mut rig, "max-age=1, stale-if-error=600");
    rig.pass_time(Duration::from_secs(2));
    rig.tiers.get_mut(&TierId::L2).expect("it is configured").is_held = true;
    let (other, alice) = (rig.get("/a"), with_credentials(&mut rig, "alice"));
    rig.release_tier(TierId::L2);
    assert!(rig.client(alice).is_passed);
    let late = with_credentials(&mut rig, "bob");
    assert!(rig.client(late).is_passed, "the fill has found what is withheld");
    rig.refuse("/a");
    assert_eq!(rig.client(other).received(), 10);
    rig.assert_idle();
}

/// `private` answers to credentials keep nobody else from sharing a fetch.
#[test]
fn private_answers_say_nothing_of_others() {
    let mut rig = Rig::new(l0_only());
    with_credentials(&mut rig, "alice");
    answer(&mut rig, "private, max-age=60");
    let collapsed = |event: &Event| matches!(event, Event::Request(RequestEvent::Collapsed { .. }));
    with_credentials(&mut rig, "alice");
    with_credentials(&mut rig, "bob");
    assert_eq!(
        (rig.asked.len(), rig.count(collapsed)),
        (3, 0),
        "what is known to be private is not waited for"
    );
    rig.get("/a");
    rig.get("/a");
    assert_eq!((rig.asked.len(), rig.count(collapsed)), (4, 1));
}

/// What may be said of a response, and may it be given to those by whom the origin was not asked for it?
const WORDS: [(&str, bool); 10] = [
    ("max-age=3", false),
    ("max-age=3, public", true),
    ("s-maxage=3", true),
    ("max-age=3, must-revalidate", true),
    ("public, no-cache", false),
    ("max-age=0, must-revalidate", false),
    ("max-age=1, stale-while-revalidate=3", false),
    ("max-age=1, stale-while-revalidate=3, public", true),
    ("private, max-age=3", false),
    ("no-store", false),
];

/// Whatever happens in whatever order: who has credentials, and who has none where credentials brought it, is
/// answered by the origin itself, or with what says that it may be shared.
#[test]
fn nobody_gets_what_others_credentials_brought() {
    let mut shared = 0;
    for seed in 0..150 {
        for raw in tiers() {
            shared += live(seed, raw);
        }
    }
    assert!(shared > 500, "the test would say nothing: {shared}");
}

/// One life. Says how often something was shared across credentials.
fn live(seed: u64, raw: RawConfig) -> usize {
    let mut random = Seed(seed).split("credentials");
    let mut rig = Rig::new(raw);
    // Who asked for which version: the origin's own answers, bodies and 304s.
    let mut told: BTreeMap<u32, BTreeSet<Option<String>>> = BTreeMap::new();
    let mut callers: BTreeMap<RequestId, Option<String>> = BTreeMap::new();
    let mut bodies: Vec<FillId> = Vec::new();
    for step in 0..60 {
        match random.below(12) {
            0..5 => {
                let user = random.chance(1, 2).then(|| format!("user{step}"));
                let fields: Vec<_> = user.iter().map(|user| ("authorization", &**user)).collect();
                callers.insert(rig.ask(Method::Get, "/a", &fields, false), user);
            }
            5..9 => {
                let waiting = rig.unanswered();
                if waiting.is_empty() {
                    continue;
                }
                let fill = waiting[random.below(waiting.len() as u64) as usize];
                let head = rig.fetches[&fill].head.clone();
                let text =
                    |name| head.fields.only(name).map(|value| String::from_utf8_lossy(value).into_owned());
                let (words, _) = WORDS[random.below(WORDS.len() as u64) as usize];
                let known = text("if-none-match").filter(|_| random.chance(2, 3));
                let version = rig.versions + 1;
                match known {
                    Some(tag) => {
                        let known = tag.trim_matches('"').parse().expect("tags are versions");
                        told.entry(known).or_default().insert(text("authorization"));
                        rig.head_of(fill, 304, &[("cache-control", words), ("etag", &tag)]);
                    }
                    None => {
                        told.entry(version).or_default().insert(text("authorization"));
                        let tag = format!("\"{version}\"");
                        rig.head_of(fill, 200, &[("cache-control", words), ("etag", &tag), LENGTH]);
                        bodies.push(fill);
                    }
                }
            }
            9 => {
                for fill in std::mem::take(&mut bodies) {
                    if rig.fetches.contains_key(&fill) {
                        rig.send_of(fill, 10, 5);
                        rig.end_of(fill);
                    }
                }
            }
            10 => rig.pass_time(Duration::from_secs(1)),
            _ if random.chance(1, 4) => drop(rig.purge("/a")),
            _ => {
                if let Some((tier, held)) =
                    rig.tiers.iter().map(|(tier, known)| (*tier, known.is_held)).next()
                {
                    rig.tiers.get_mut(&tier).expect("it was just found").is_held = true;
                    if held {
                        rig.release_tier(tier);
                    }
                }
            }
        }
    }
    let mut shared = 0;
    for (request, caller) in &callers {
        let client = rig.client(*request);
        let (Some(reply), Some(span)) = (&client.reply, client.span()) else { continue };
        let askers = &told[&span.version];
        if askers.contains(caller) {
            continue;
        }
        let words = reply.head.fields.only("cache-control").map(String::from_utf8_lossy).unwrap_or_default();
        let may_be = WORDS.iter().any(|(known, may_be)| *known == words && *may_be);
        assert!(
            may_be,
            "seed {seed}: {caller:?} got {words} of version {}, told to {askers:?}",
            span.version
        );
        shared += 1;
    }
    shared
}

//! L3's stores may never answer: no client, no key, no upload and no purge waits for them for ever.

use crate::rig::{Rig, key, with_durable};
use crate::simulated_l3::Fate;
use std::time::Duration;
use tiergate_engine::durable::{Ask, BlobFate, DurableMiss, PublishEnd};
use tiergate_engine::{
    BreakerState, CopyEvent, Dependency, DurableEvent, DurableStore, End, Event, FillVerdict, LaneEnd, Late,
    MissReason, PurgeOutcome, RawBreaker, RawConfig, RawDeadline, RawResilience, Rejection, RequestEvent,
    RequestId, ResilienceEvent, TierId, TierOperation,
};

/// `resilience.deadline.lookup_ms_max` of these tests.
const LOOKUP: Duration = Duration::from_millis(500);
/// `resilience.deadline.chunk_ms_max` of these tests.
const STORE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

/// L3 alone, with an index that is tried twice.
fn alone() -> RawConfig {
    let mut raw = RawConfig { l0: None, ..with_durable() };
    raw.l3.as_mut().expect("it was just configured").tries_max = 2;
    let deadline = RawDeadline { lookup_ms_max: 500, chunk_ms_max: 10_000, ..RawDeadline::default() };
    raw.resilience = RawResilience { deadline, ..raw.resilience };
    raw
}

/// Two failures open a breaker for at most a second, and one probe closes it.
fn hasty() -> RawConfig {
    let raw = alone();
    let breaker = RawBreaker {
        failures_in_a_row: 2,
        calls_min: 1_000,
        open_ms_first: 1_000,
        open_ms_max: 1_000,
        probes: 1,
        ..RawBreaker::default()
    };
    RawConfig { resilience: RawResilience { breaker, ..raw.resilience }, ..raw }
}

fn late_lookups(rig: &Rig) -> usize {
    let what = Late::Lookup(TierId::L3);
    rig.count(|event| {
        matches!(event, Event::Resilience(ResilienceEvent::DeadlineMissed { what: told, .. }) if *told == what)
    })
}

fn late_answers(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::Resilience(ResilienceEvent::LateAnswer { .. })))
}

fn unanswered(rig: &Rig, wanted: DurableStore) -> usize {
    rig.count(|event| matches!(event, Event::Durable(DurableEvent::Unanswered { store }) if *store == wanted))
}

fn skips(rig: &Rig) -> usize {
    rig.count(|event| {
        let (tier, operation) = (TierId::L3, TierOperation::Lookup);
        matches!(
            event,
            Event::Resilience(ResilienceEvent::TierSkipped { tier: of, operation: what, .. })
                if (*of, *what) == (tier, operation)
        )
    })
}

fn stands(rig: &Rig, who: Dependency) -> Option<BreakerState> {
    let state = |event: &Event| match event {
        Event::Resilience(ResilienceEvent::BreakerChanged { who: of, state }) if *of == who => Some(*state),
        _ => None,
    };
    rig.events.iter().rev().find_map(state)
}

fn misses(rig: &Rig) -> Vec<DurableMiss> {
    let miss = |event: &Event| match event {
        Event::Durable(DurableEvent::DurableMissed { why, .. }) => Some(*why),
        _ => None,
    };
    rig.events.iter().filter_map(miss).collect()
}

fn verdicts(rig: &Rig) -> Vec<FillVerdict> {
    let verdict = |event: &Event| match event {
        Event::Copy(CopyEvent::Filled { tier: TierId::L3, verdict, .. }) => Some(*verdict),
        _ => None,
    };
    rig.events.iter().filter_map(verdict).collect()
}

#[track_caller]
fn assert_whole(rig: &Rig, request: RequestId) {
    let client = rig.client(request);
    assert_eq!((client.end, client.received()), (Some(End::Complete), 100));
}

/// Answers that come after all do no harm, and no handle is left open at the stores.
#[track_caller]
fn assert_idle_and_late_answers_are_harmless(rig: &mut Rig) {
    rig.assert_idle();
    let before = (late_answers(rig), rig.durable_tier.held.len());
    assert!(before.1 > 0, "the stores have answers left to give");
    rig.release_durable_tier();
    assert!(late_answers(rig) > before.0);
    rig.assert_idle();
    assert!(rig.durable_tier.is_idle());
}

/// An index that never answers costs a client one deadline. The key is asked for again as if L3 were absent,
/// and the fill stores nothing there, for a purge may have been hidden.
#[test]
fn a_silent_index_costs_one_deadline() {
    let mut rig = Rig::new(alone());
    rig.durable_tier.is_held = true;
    let client = rig.get("/a");
    rig.pass_time(LOOKUP - MOMENT);
    assert!(rig.asked.is_empty() && late_lookups(&rig) == 0, "not yet");
    rig.pass_time(MOMENT);
    assert_eq!(rig.asked, ["/a"]);
    assert_eq!((late_lookups(&rig), misses(&rig)), (1, vec![DurableMiss::IndexFailed]));
    let reason = MissReason::TierFailed;
    let missed = |event: &Event| matches!(event, Event::Request(RequestEvent::Missed { reason: why, .. }) if *why == reason);
    assert_eq!(rig.count(missed), 1);
    rig.answer("/a", 100, 30);
    assert_whole(&rig, client);
    assert_eq!(verdicts(&rig), [FillVerdict::Rejected(Rejection::Unseen)]);
    assert_idle_and_late_answers_are_harmless(&mut rig);
}

/// The index and the blob store share one deadline, and what the blob store opens late is released. The index
/// has said what a fill may publish against.
#[test]
fn one_deadline_is_over_the_index_and_the_blob_store() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.answer("/a", 100, 30);
    rig.durable_tier.is_held = true;
    let client = rig.get("/a");
    rig.pass_time(LOOKUP - MOMENT);
    rig.answer_durable_tier();
    assert_eq!((rig.asked.len(), late_lookups(&rig)), (1, 0));
    rig.pass_time(MOMENT);
    assert_eq!((rig.asked.len(), late_lookups(&rig)), (2, 1));
    assert_eq!(misses(&rig), [DurableMiss::Absent, DurableMiss::BlobFailed]);
    rig.release_durable_tier();
    assert!(rig.durable_tier.is_idle(), "the record that was opened late is closed");
    rig.answer("/a", 100, 30);
    assert_whole(&rig, client);
    assert_eq!(verdicts(&rig), [FillVerdict::Stored, FillVerdict::Stored]);
    rig.assert_idle();
}

/// A request that has no time left is refused while it looks in L3, and the late answer does no harm.
#[test]
fn all_the_time_of_a_request_may_end_in_l3() {
    let mut raw = alone();
    let deadline = &mut raw.resilience.deadline;
    (deadline.head_ms_max, deadline.answer_ms_max) = (400, 400);
    let mut rig = Rig::new(raw);
    rig.durable_tier.is_held = true;
    let client = rig.get("/a");
    rig.pass_time(LOOKUP);
    assert!(rig.client(client).refusal.is_some() && rig.asked.is_empty());
    assert_idle_and_late_answers_are_harmless(&mut rig);
}

/// An index that does not answer is left alone for a while, and asked again after it; its blob store has a
/// breaker of its own.
#[test]
fn the_index_has_a_breaker() {
    let mut rig = Rig::new(hasty());
    rig.durable_tier.is_held = true;
    for target in ["/a", "/b"] {
        rig.get(target);
        rig.pass_time(LOOKUP);
        rig.answer(target, 100, 30);
    }
    assert!(matches!(stands(&rig, Dependency::Index), Some(BreakerState::Open { .. })));
    assert_eq!(stands(&rig, Dependency::Tier(TierId::L3)), None);
    let asked = rig.durable_tier.held.len();
    let client = rig.get("/c");
    assert_eq!((rig.durable_tier.held.len(), skips(&rig)), (asked, 1), "L3 is not asked");
    rig.answer("/c", 100, 30);
    assert_whole(&rig, client);
    rig.release_durable_tier();
    rig.pass_time(Duration::from_secs(1));
    rig.get("/d");
    assert_eq!(stands(&rig, Dependency::Index), Some(BreakerState::Closed));
    rig.answer("/d", 100, 30);
    assert_eq!(verdicts(&rig).last(), Some(&FillVerdict::Stored));
    rig.assert_idle();
}

/// A blob store that does not answer is left alone for a while; the index is asked all the same.
#[test]
fn the_blob_store_has_a_breaker() {
    let mut rig = Rig::new(hasty());
    for target in ["/a", "/b", "/c"] {
        rig.get(target);
        rig.answer(target, 100, 30);
    }
    rig.durable_tier.blobs = Fate::Fails;
    for target in ["/a", "/b"] {
        rig.get(target);
    }
    let blobs = Dependency::Tier(TierId::L3);
    assert!(matches!(stands(&rig, blobs), Some(BreakerState::Open { .. })));
    rig.durable_tier.blobs = Fate::Fine;
    rig.get("/c");
    assert_eq!(misses(&rig).last(), Some(&DurableMiss::BlobSkipped));
    assert_eq!((skips(&rig), stands(&rig, Dependency::Index)), (1, None));
    assert_eq!(rig.asked.iter().filter(|target| *target == "/c").count(), 2);
    rig.pass_time(Duration::from_secs(1));
    let reader = rig.get("/b");
    assert_eq!(rig.client(reader).end, None, "the fetch for it goes on, and it waits with it");
    rig.answer("/c", 100, 30);
    let reader = rig.get("/c");
    assert_whole(&rig, reader);
    assert_eq!(stands(&rig, blobs), Some(BreakerState::Closed));
}

/// Whatever step of an upload gets no answer, its client has all of the body at once, and the upload ends: it
/// leaves its lease to run out and its blob to the collector, at the worst.
#[test]
fn an_upload_that_gets_no_answer_ends() {
    // The lease, the opening, the body, its end, the manifest.
    for answered in 0..5 {
        let mut rig = Rig::new(alone());
        let client = rig.get("/a");
        rig.durable_tier.is_held = true;
        rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "100")]);
        rig.send("/a", 100, 100);
        rig.end("/a");
        for _ in 0..answered {
            rig.answer_durable_tier();
        }
        assert_whole(&rig, client);
        for _ in 0..8 {
            rig.pass_time(STORE);
        }
        let why = if answered < 3 { LaneEnd::Stalled } else { LaneEnd::TierFailed };
        assert_eq!(verdicts(&rig), [FillVerdict::Dropped(why)], "after {answered} answers");
        let ends: Vec<_> = (rig.events.iter())
            .filter_map(|event| match event {
                Event::Durable(DurableEvent::UploadEnded { end, blob, .. }) => Some((*end, *blob)),
                _ => None,
            })
            .collect();
        let expected = match answered {
            0 => (PublishEnd::IndexFailed, BlobFate::NotBegun),
            1..4 => (PublishEnd::Abandoned, BlobFate::Left),
            _ => (PublishEnd::IndexFailed, BlobFate::Left),
        };
        assert_eq!(ends, [expected], "after {answered} answers");
        assert_idle_and_late_answers_are_harmless(&mut rig);
    }
}

/// A purge that L3's index does not answer is reported as failed, and while it lasts its key is fetched.
#[test]
fn a_purge_that_gets_no_answer_is_reported() {
    let mut rig = Rig::new(alone());
    rig.durable_tier.is_held = true;
    let purge = rig.purge("/a");
    rig.pass_time(STORE);
    assert!(!rig.purged.contains_key(&purge), "it is tried twice");
    rig.pass_time(STORE);
    assert_eq!(rig.purged[&purge], [(TierId::L3, PurgeOutcome::Failed)]);
    assert_eq!((unanswered(&rig, DurableStore::Index), unanswered(&rig, DurableStore::Blobs)), (2, 0));
    assert_idle_and_late_answers_are_harmless(&mut rig);
}

/// A sweep of the collector that gets no answer is over, and the next round begins another.
#[test]
fn a_sweep_that_gets_no_answer_is_over() {
    let mut raw = alone();
    raw.l3.as_mut().expect("configured").collect_s = 60;
    let mut rig = Rig::new(raw);
    rig.durable_tier.is_held = true;
    rig.pass_time(Duration::from_secs(60));
    assert_eq!(rig.durable_tier.held.len(), 1);
    rig.pass_time(STORE);
    assert_eq!(unanswered(&rig, DurableStore::Blobs), 1);
    let swept = |event: &Event| matches!(event, Event::Durable(DurableEvent::Swept { collected }) if collected.failed == 1);
    assert_eq!(rig.count(swept), 1);
    rig.release_durable_tier();
    rig.pass_time(Duration::from_secs(60));
    let lists = rig.durable_tier.asked.iter().filter(|ask| matches!(ask, Ask::List { .. }));
    assert_eq!((lists.count(), late_answers(&rig)), (2, 1));
    rig.assert_idle();
}

/// The touch of what is read holds nobody up, and is forgotten when it gets no answer.
#[test]
fn a_touch_that_gets_no_answer_is_forgotten() {
    let mut raw = alone();
    let l3 = raw.l3.as_mut().expect("configured");
    (l3.idle_s, l3.total_s, l3.fetch_ms_max, l3.collect_s) = (100, 1_000, 100_000, 0);
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=600"), ("content-length", "100")]);
    rig.send("/a", 100, 30);
    rig.end("/a");
    rig.pass_time(Duration::from_secs(50));
    rig.durable_tier.is_held = true;
    let client = rig.get("/a");
    rig.answer_durable_tier();
    rig.answer_durable_tier();
    let is_touch = |effect: &tiergate_engine::Effect<tiergate_engine::Symbol>| {
        matches!(effect, tiergate_engine::Effect::Durable { ask: Ask::Touch { .. }, .. })
    };
    let place = rig.durable_tier.held.iter().position(is_touch).expect("it was read");
    let touch = rig.durable_tier.held.remove(place).expect("it is there");
    rig.release_durable_tier();
    assert_whole(&rig, client);
    rig.pass_time(STORE);
    assert_eq!(unanswered(&rig, DurableStore::Index), 1);
    rig.assert_idle();
    rig.serve_durable_tier(&touch);
    assert!(rig.durable_tier.store.borrow().rows.contains_key(&key("/a")));
}

//! The durable tier: what is stored there is whole, is found by every edge that shares it, and is nobody's to
//! break.

use crate::rig::{Rig, key, with_durable};
use crate::simulated_l3::Fate;
use std::time::Duration;
use tiergate_engine::durable::{Ask, BlobFate, DurableMiss, PublishEnd, UPLOADS_MAX};
use tiergate_engine::{
    AbortReason, ByteCount, CopyEvent, DurableEvent, Effect, End, Event, FillVerdict, LaneEnd, Outcome,
    Promotion, PurgeOutcome, RawConfig, Rejection, RequestEvent, ResidenceEvent, TierId,
};

const SECOND: Duration = Duration::from_secs(1);

/// The durable store with nothing above it.
fn alone() -> RawConfig {
    RawConfig { l0: None, ..with_durable() }
}

/// With times that a test can see pass.
fn with_terms(lease_ms: u32, idle_s: u32, grace_s: u32, collect_s: u32) -> RawConfig {
    let mut raw = alone();
    let l3 = raw.l3.as_mut().expect("it was just configured");
    l3.lease_ms = lease_ms;
    l3.fetch_ms_max = idle_s * 1_000;
    l3.idle_s = idle_s;
    l3.total_s = 2 * idle_s;
    l3.grace_s = grace_s;
    l3.collect_s = collect_s;
    raw
}

pub(crate) fn verdicts(rig: &Rig) -> Vec<FillVerdict> {
    let verdict = |event: &Event| match event {
        Event::Copy(CopyEvent::Filled { tier: TierId::L3, verdict, .. }) => Some(*verdict),
        _ => None,
    };
    rig.events.iter().filter_map(verdict).collect()
}

pub(crate) fn ends(rig: &Rig) -> Vec<(PublishEnd, BlobFate)> {
    let end = |event: &Event| match event {
        Event::Durable(DurableEvent::UploadEnded { end, blob, .. }) => Some((*end, *blob)),
        _ => None,
    };
    rig.events.iter().filter_map(end).collect()
}

fn misses(rig: &Rig) -> Vec<DurableMiss> {
    let miss = |event: &Event| match event {
        Event::Durable(DurableEvent::DurableMissed { why, .. }) => Some(*why),
        _ => None,
    };
    rig.events.iter().filter_map(miss).collect()
}

fn blobs(rig: &Rig) -> usize {
    rig.durable_tier.store.borrow().blobs.len()
}

#[track_caller]
fn assert_whole(rig: &Rig, request: tiergate_engine::RequestId, length: u64) {
    let client = rig.client(request);
    assert_eq!(client.end, Some(End::Complete));
    let span = client.span().expect("one span");
    assert_eq!((span.offset, span.size), (0, length));
}

#[track_caller]
pub(crate) fn assert_idle(rig: &Rig) {
    rig.assert_idle();
    assert!(rig.durable_tier.is_idle());
}

/// What one edge stores, another finds, reads whole and promotes; from then on it has it in memory.
#[test]
fn what_one_edge_stores_another_finds_and_promotes() {
    let mut first = Rig::new(alone());
    first.get("/a");
    first.answer("/a", 100, 30);
    assert_eq!(verdicts(&first), [FillVerdict::Stored]);
    assert_idle(&first);

    let mut second = Rig::beside(&first, with_durable(), 8);
    let reader = second.get("/a");
    assert!(second.asked.is_empty(), "the origin is not asked");
    let outcome = second.client(reader).reply.as_ref().map(|reply| reply.outcome);
    assert_eq!(outcome, Some(Outcome::Hit { tier: TierId::L3 }));
    assert_whole(&second, reader, 100);
    let asked = second.durable_tier.asked.len();
    second.get("/a");
    assert_eq!(second.durable_tier.asked.len(), asked, "it is in L0 now");
    assert_idle(&second);
}

/// Each of the edges from L3 obeys its own policy.
#[test]
fn each_promotion_from_the_durable_tier_obeys_its_policy() {
    let mut first = Rig::new(alone());
    first.get("/a");
    first.answer("/a", 100, 30);
    for never in [TierId::L0, TierId::L1, TierId::L2] {
        let mut raw =
            RawConfig { l1: Some(Default::default()), l2: Some(Default::default()), ..with_durable() };
        match never {
            TierId::L0 => raw.promotion.l3_to_l0 = Promotion::Never,
            TierId::L1 => raw.promotion.l3_to_l1 = Promotion::Never,
            TierId::L2 | TierId::L3 => raw.promotion.l3_to_l2 = Promotion::Never,
        }
        let mut rig = Rig::beside(&first, raw, 8);
        rig.get("/a");
        for tier in [TierId::L0, TierId::L1, TierId::L2] {
            let stored =
                rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { tier: into, .. }) if *into == tier));
            assert_eq!(stored, usize::from(tier != never), "{tier:?} when {never:?} never");
        }
        assert_idle(&rig);
    }
}

/// D2: nothing is visible before the blob is whole, and the manifest comes last. (The store asserts the
/// order, too.)
#[test]
fn d2_the_manifest_comes_after_the_whole_blob() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "100")]);
    rig.send("/a", 90, 30);
    assert_eq!(blobs(&rig), 0, "its end has not come");
    let manifest = |rig: &Rig| rig.durable_tier.store.borrow().rows[&key("/a")].entry.manifest.is_some();
    assert!(!manifest(&rig), "only leased");
    rig.durable_tier.is_held = true;
    rig.send("/a", 10, 10);
    rig.answer_durable_tier();
    assert!(blobs(&rig) == 0 && !manifest(&rig), "written to its end, and not whole yet");
    rig.answer_durable_tier();
    assert!(blobs(&rig) == 1 && !manifest(&rig));
    rig.release_durable_tier();
    assert!(manifest(&rig));
    assert_idle(&rig);
}

/// D1: what a fill comes to is what the durable tier says; its client has long gone home.
#[test]
fn d1_the_durable_tier_has_the_last_word_and_no_client_waits_for_it() {
    let mut rig = Rig::new(with_durable());
    let client = rig.get("/a");
    rig.durable_tier.is_held = true;
    rig.answer("/a", 100, 30);
    assert_whole(&rig, client, 100);
    assert_eq!(verdicts(&rig), []);
    rig.release_durable_tier();
    assert_eq!(verdicts(&rig), [FillVerdict::Stored]);
    assert_eq!(ends(&rig).len(), 1);
    assert_idle(&rig);
}

/// D1: without a durable tier the lowest of the others has the last word.
#[test]
fn d1_the_lowest_tier_is_authoritative() {
    let mut rig = Rig::new(crate::rig::with_disk());
    rig.get("/a");
    rig.answer("/a", 100, 30);
    let stored = |event: &Event| {
        matches!(event, Event::Copy(CopyEvent::Filled { tier: TierId::L2, verdict: FillVerdict::Stored, .. }))
    };
    assert_eq!(rig.count(stored), 1);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
    let client = rig.get("/b");
    rig.answer("/b", 100, 30);
    assert_whole(&rig, client, 100);
    let verdict = FillVerdict::Dropped(LaneEnd::TierFailed);
    assert_eq!(
        rig.count(
            |event| matches!(event, Event::Copy(CopyEvent::Filled { verdict: told, .. }) if *told == verdict)
        ),
        1
    );
}

/// R1: an index that does not answer costs the client nothing, and nothing is stored past a purge that it may
/// have hidden.
#[test]
fn r1_an_index_that_fails_is_a_miss_and_the_fill_stores_nothing_there() {
    let mut rig = Rig::new(alone());
    rig.durable_tier.index = Fate::Fails;
    let client = rig.get("/a");
    rig.durable_tier.index = Fate::Fine;
    rig.answer("/a", 100, 30);
    assert_whole(&rig, client, 100);
    assert_eq!(misses(&rig), [DurableMiss::IndexFailed]);
    assert_eq!(verdicts(&rig), [FillVerdict::Rejected(Rejection::Unseen)]);
    assert!(rig.durable_tier.store.borrow().rows.is_empty());
    assert_idle(&rig);
}

/// R1: a manifest whose blob is gone, or has another length, is a miss; the fill that follows takes its
/// place.
#[test]
fn r1_a_manifest_without_its_blob_is_a_miss_and_is_repaired() {
    for is_torn in [false, true] {
        let mut rig = Rig::new(alone());
        rig.get("/a");
        rig.answer("/a", 100, 30);
        for body in rig.durable_tier.store.borrow_mut().blobs.values_mut() {
            body.pop();
        }
        if !is_torn {
            rig.durable_tier.store.borrow_mut().blobs.clear();
        }
        let client = rig.get("/a");
        assert_eq!(rig.asked.len(), 2);
        let miss = if is_torn { DurableMiss::Torn } else { DurableMiss::Lost };
        assert_eq!(misses(&rig), [DurableMiss::Absent, miss]);
        let emptied = rig.durable_tier.store.borrow().rows[&key("/a")].entry.manifest.is_none();
        assert!(emptied, "the manifest that lied is taken back at once");
        rig.answer("/a", 70, 30);
        assert_whole(&rig, client, 70);
        assert_eq!(verdicts(&rig), [FillVerdict::Stored, FillVerdict::Stored]);
        let later = rig.get("/a");
        assert_eq!(rig.asked.len(), 2);
        assert_whole(&rig, later, 70);
        assert_idle(&rig);
    }
}

/// Bytes that are not what was uploaded break off visibly before their end, are promoted nowhere, and lose
/// their manifest.
#[test]
fn a_body_with_another_digest_breaks_off_and_is_promoted_nowhere() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.answer("/a", 100, 30);
    for body in rig.durable_tier.store.borrow_mut().blobs.values_mut() {
        body[1].version += 1;
    }
    let mut other = Rig::beside(&rig, with_durable(), 8);
    let reader = other.get("/a");
    assert_eq!(other.client(reader).end, Some(End::Aborted(AbortReason::TierRead(TierId::L3))));
    assert!(other.client(reader).received() < 100, "the last chunk is held back");
    assert_eq!(other.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))), 0);
    assert_eq!(other.count(|event| matches!(event, Event::Durable(DurableEvent::Corrupt { .. }))), 1);
    other.get("/a");
    assert_eq!(other.asked.len(), 1, "the manifest is gone");
    other.answer("/a", 100, 30);
    assert_eq!(verdicts(&other), [FillVerdict::Stored]);
    assert_idle(&other);
}

/// CON1, T8: of two edges that store a key at once one wins; the loser deletes its own blob, and the winner's
/// is read.
#[test]
fn t8_con1_the_loser_deletes_its_own_blob_only() {
    let mut first = Rig::new(alone());
    let mut second = Rig::beside(&first, alone(), 8);
    first.get("/a");
    second.get("/a");
    first.answer("/a", 100, 30);
    second.answer("/a", 70, 30);
    assert_eq!(verdicts(&first), [FillVerdict::Stored]);
    assert_eq!(verdicts(&second), [FillVerdict::Dropped(LaneEnd::Outrun)]);
    let [(PublishEnd::Won { version }, BlobFate::Named)] = ends(&first)[..] else {
        panic!("{:?}", ends(&first))
    };
    let winner = {
        let store = first.durable_tier.store.borrow();
        let manifest = store.rows[&key("/a")].entry.manifest.clone().expect("published");
        assert_eq!(manifest.version, version);
        assert!(store.blobs.contains_key(&manifest.blob().expect("its body is a blob")));
        manifest.record.name
    };
    let end = ends(&second)[0];
    assert!(
        matches!(end, (PublishEnd::Lost { winner: told }, BlobFate::Deleted | BlobFate::NotBegun) if told == winner)
    );
    assert_eq!(blobs(&first), 1);
    let reader = second.get("/a");
    assert_whole(&second, reader, 100);
    assert_idle(&first);
    assert_idle(&second);
}

/// CON1, T8: the same, when both blobs were whole before either manifest was written.
#[test]
fn t8_con1_the_loser_of_a_close_race_deletes_its_own_blob_only() {
    let mut first = Rig::new(alone());
    let mut second = Rig::beside(&first, alone(), 8);
    for rig in [&mut first, &mut second] {
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        rig.send("/a", 50, 30);
    }
    second.durable_tier.is_held = true;
    second.end("/a");
    second.answer_durable_tier();
    assert_eq!(blobs(&first), 1, "the second edge's is whole");
    first.end("/a");
    second.release_durable_tier();
    assert_eq!(verdicts(&second), [FillVerdict::Dropped(LaneEnd::Outrun)]);
    assert!(matches!(ends(&second)[..], [(PublishEnd::Lost { .. }, BlobFate::Deleted)]));
    assert_eq!(blobs(&first), 1);
    let reader = second.get("/a");
    assert_whole(&second, reader, 50);
    assert_idle(&second);
}

/// A manifest that was written while its answer was lost is found by reading back: it has won, and nothing is
/// deleted.
#[test]
fn a_lost_answer_to_the_manifest_is_resolved_by_reading_back() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60")]);
    rig.send("/a", 50, 30);
    rig.durable_tier.is_held = true;
    rig.end("/a");
    rig.answer_durable_tier();
    rig.lose_reply();
    rig.release_durable_tier();
    assert_eq!(verdicts(&rig), [FillVerdict::Stored]);
    assert!(matches!(ends(&rig)[..], [(PublishEnd::Won { .. }, BlobFate::Named)]));
    assert_idle(&rig);
}

/// F6: what the index let expire is a miss and can be replaced.
#[test]
fn f6_an_expired_manifest_is_a_miss_and_is_replaced() {
    let mut rig = Rig::new(with_terms(1_000, 5, 0, 0));
    rig.get("/a");
    rig.answer("/a", 100, 30);
    rig.pass_time(5 * SECOND);
    rig.get("/a");
    assert_eq!(misses(&rig), [DurableMiss::Absent, DurableMiss::Expired]);
    rig.answer("/a", 70, 30);
    assert_eq!(verdicts(&rig), [FillVerdict::Stored, FillVerdict::Stored]);
    let later = rig.get("/a");
    assert_whole(&rig, later, 70);
    assert_idle(&rig);
}

/// D3: the index says when an object's time is up. A use moves it, up to `total_s`, and nobody waits for
/// that.
#[test]
fn d3_access_touches_and_holds_nobody_up() {
    let mut rig = Rig::new(with_terms(1_000, 10, 0, 0));
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=600")]);
    rig.send("/a", 50, 30);
    rig.end("/a");
    let expires = |rig: &Rig| rig.durable_tier.store.borrow().rows[&key("/a")].expires;
    let first = expires(&rig);
    rig.pass_time(6 * SECOND);
    rig.durable_tier.is_held = true;
    let reader = rig.get("/a");
    rig.answer_durable_tier();
    rig.answer_durable_tier();
    let is_touch = |effect: &Effect<_>| matches!(effect, Effect::Durable { ask: Ask::Touch { .. }, .. });
    let touch = rig.durable_tier.held.iter().position(is_touch).expect("a use moves the expiry");
    let touch = rig.durable_tier.held.remove(touch).expect("it was just found");
    while !rig.durable_tier.held.is_empty() {
        rig.answer_durable_tier();
    }
    assert_whole(&rig, reader, 50);
    rig.durable_tier.held.push_back(touch);
    rig.release_durable_tier();
    assert_eq!(expires(&rig), first.after(6 * SECOND));
    for _ in 0..2 {
        rig.pass_time(6 * SECOND);
        rig.get("/a");
    }
    assert_eq!(rig.asked.len(), 1);
    assert_eq!(expires(&rig), first.after(10 * SECOND), "not past `total_s`");
    rig.pass_time(3 * SECOND);
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2, "however fresh it would be");
    rig.assert_idle_but_fetching();
}

/// F1: a purge takes the lease, so that the upload it overtakes is never published; both say what came of
/// them.
#[test]
fn f1_a_purge_during_an_upload_is_not_undone() {
    let mut rig = Rig::new(alone());
    let mut other = Rig::beside(&rig, alone(), 8);
    for is_here in [true, false] {
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        rig.send("/a", 50, 30);
        let purging = if is_here { &mut rig } else { &mut other };
        let purge = purging.purge("/a");
        assert_eq!(purging.purged[&purge], [(TierId::L3, PurgeOutcome::Absent)]);
        rig.end("/a");
        assert_eq!(blobs(&rig), 0);
        assert!(rig.durable_tier.store.borrow().rows[&key("/a")].entry.manifest.is_none());
        assert_idle(&rig);
        assert_eq!(verdicts(&rig).last(), Some(&FillVerdict::Dropped(LaneEnd::Superseded)));
        rig.pass_time(SECOND);
    }
    let [(PublishEnd::Abandoned, _), (PublishEnd::Purged, _)] = ends(&rig)[..] else {
        panic!("{:?}", ends(&rig))
    };
}

/// A purge of what is stored removes it for every edge, and says so; one that the index does not confirm says
/// that.
#[test]
fn f2_a_purge_reaches_the_durable_tier_and_tells_what_it_saw() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.answer("/a", 100, 30);
    let mut other = Rig::beside(&rig, alone(), 8);
    other.durable_tier.index = Fate::Fails;
    let failed = other.purge("/a");
    assert_eq!(other.purged[&failed], [(TierId::L3, PurgeOutcome::Failed)]);
    other.durable_tier.index = Fate::Fine;
    let purge = other.purge("/a");
    assert_eq!(other.purged[&purge], [(TierId::L3, PurgeOutcome::Removed(ByteCount(100)))]);
    assert_eq!(blobs(&rig), 0);
    rig.get("/a");
    assert_eq!(rig.asked.len(), 2);
    rig.assert_idle_but_fetching();
    assert_idle(&other);
}

/// A lease is renewed for as long as its upload takes, and not after.
#[test]
fn a_lease_is_renewed_while_its_upload_takes() {
    let mut rig = Rig::new(with_terms(3_000, 60, 0, 0));
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=600")]);
    rig.send("/a", 50, 50);
    for _ in 0..10 {
        rig.pass_time(SECOND);
    }
    let until = rig.durable_tier.store.borrow().rows[&key("/a")].entry.leases[0].until;
    let now = tiergate_engine::WallTime::from_unix_millis(1_000_000_010_000);
    assert!(until > now, "the lease still holds");
    rig.end("/a");
    assert_eq!(verdicts(&rig), [FillVerdict::Stored]);
    assert_idle(&rig);
    assert_eq!(rig.engine.poll_wake(), None);
}

/// Every way out of an upload ends it once, with nothing left behind: a broken body, a gate, a stall, a store
/// that fails.
#[test]
fn every_way_out_of_an_upload_ends_it_once() {
    type Out = fn(&mut Rig);
    let broken: Out = |rig| rig.break_off("/a");
    let over_gate: Out = |rig| {
        rig.send("/a", 500, 30);
        rig.end("/a");
    };
    let failing: Out = |rig| {
        rig.durable_tier.blobs = Fate::Fails;
        rig.end("/a");
        rig.durable_tier.blobs = Fate::Fine;
        assert_eq!(blobs(rig), 0);
    };
    let ambiguous: Out = |rig| {
        rig.durable_tier.is_held = true;
        rig.end("/a");
        rig.durable_tier.blobs = Fate::LosesReplies;
        rig.answer_durable_tier();
        rig.durable_tier.blobs = Fate::Fine;
        rig.release_durable_tier();
        assert_eq!(blobs(rig), 0, "its own blob, which nobody names, is deleted");
    };
    let stalled: Out = |rig| {
        rig.durable_tier.is_held = true;
        rig.send("/a", 30, 30);
        rig.pass_time(3 * SECOND);
        rig.release_durable_tier();
        rig.end("/a");
    };
    let ways = [
        (broken, LaneEnd::Abandoned, BlobFate::Deleted),
        (over_gate, LaneEnd::OverGate, BlobFate::Deleted),
        (failing, LaneEnd::TierFailed, BlobFate::Left),
        (ambiguous, LaneEnd::TierFailed, BlobFate::Deleted),
        (stalled, LaneEnd::Stalled, BlobFate::Deleted),
    ];
    for (way, why, fate) in ways {
        let mut raw = alone();
        raw.l3.as_mut().expect("configured").gate = ByteCount(400);
        let mut rig = Rig::new(raw);
        let client = rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        rig.send("/a", 100, 30);
        way(&mut rig);
        assert!(rig.client(client).end.is_some());
        assert_eq!(verdicts(&rig), [FillVerdict::Dropped(why)]);
        assert_eq!(ends(&rig), [(PublishEnd::Abandoned, fate)]);
        assert_eq!(blobs(&rig), 0);
        assert_idle(&rig);
    }
}

/// While the lease is asked for nothing is uploaded, and a lane that is dropped meanwhile begins no blob.
#[test]
fn nothing_is_uploaded_before_the_lease_is_had() {
    let mut rig = Rig::new(alone());
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60")]);
    rig.durable_tier.is_held = true;
    rig.send("/a", 100, 30);
    assert_eq!(rig.durable_tier.held.len(), 1, "the lease, and nothing else: {:?}", rig.durable_tier.held);
    rig.break_off("/a");
    rig.release_durable_tier();
    assert_eq!(ends(&rig), [(PublishEnd::Abandoned, BlobFate::NotBegun)]);
    assert_idle(&rig);
}

/// A reader that comes too late for the window reads nothing back from an upload: it is refused and fetches
/// for itself.
#[test]
fn an_upload_is_not_read_back_by_those_who_come_late() {
    let mut raw = alone();
    raw.fill.window = ByteCount::kib(64);
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60")]);
    rig.send("/a", 200 << 10, 16 << 10);
    rig.get("/a");
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::AttachRefused { .. }))), 1);
    assert_eq!(rig.asked.len(), 2);
}

/// A fetch that takes longer than a purge is remembered is not stored.
#[test]
fn a_fetch_that_outlasts_the_memory_of_purges_is_not_stored() {
    let mut rig = Rig::new(with_terms(1_000, 5, 0, 0));
    let client = rig.get("/a");
    rig.pass_time(6 * SECOND);
    rig.answer("/a", 100, 30);
    assert_whole(&rig, client, 100);
    assert_eq!(verdicts(&rig), [FillVerdict::Dropped(LaneEnd::TooLate)]);
    assert_idle(&rig);
}

/// The collector comes round: what an edge that crashed left goes once its lease and its grace are over; what
/// is named stays.
#[test]
fn d2_the_collector_removes_orphans_and_nothing_else() {
    let mut crashed = Rig::new(with_terms(2_000, 600, 5, 0));
    crashed.get("/kept");
    crashed.answer("/kept", 100, 30);
    crashed.get("/orphan");
    crashed.head("/orphan", 200, &[("cache-control", "max-age=600")]);
    crashed.send("/orphan", 50, 30);
    crashed.durable_tier.is_held = true;
    crashed.end("/orphan");
    crashed.answer_durable_tier();
    assert_eq!(blobs(&crashed), 2);
    let mut rig = Rig::beside(&crashed, with_terms(2_000, 600, 5, 1), 8);
    drop(crashed);
    let mut left = Vec::new();
    for _ in 0..10 {
        rig.pass_time(SECOND);
        left.push(blobs(&rig));
    }
    assert_eq!(left, [2, 2, 2, 2, 2, 2, 1, 1, 1, 1]);
    assert!(rig.count(|event| matches!(event, Event::Durable(DurableEvent::Swept { .. }))) >= 9);
    let manifest =
        rig.durable_tier.store.borrow().rows[&key("/kept")].entry.manifest.clone().expect("stored");
    assert!(
        rig.durable_tier.store.borrow().blobs.contains_key(&manifest.blob().expect("its body is a blob"))
    );
    assert_idle(&rig);
}

/// `without_collector` and `collect_s: 0` switch it off.
#[test]
fn the_collector_can_be_switched_off() {
    let config = tiergate_engine::Config::try_from(with_terms(2_000, 600, 5, 1)).expect("sound");
    for mut rig in [Rig::new(with_terms(2_000, 600, 5, 0)), Rig::with_config(config.without_collector())] {
        assert_eq!(rig.engine.poll_wake(), None);
        rig.pass_time(10 * SECOND);
        assert!(rig.durable_tier.asked.is_empty());
    }
}

/// Two promotions of one hit that stall at the same instant are both given up, and the hit goes on.
#[test]
fn promotions_into_two_tiers_may_stall_at_once() {
    let mut first = Rig::new(alone());
    first.get("/a");
    first.answer("/a", 100, 30);
    let raw = RawConfig { l1: Some(Default::default()), l2: Some(Default::default()), ..alone() };
    let mut rig = Rig::beside(&first, raw, 8);
    rig.tiers.get_mut(&TierId::L1).expect("configured").is_held = true;
    let reader = rig.get_slowly("/a");
    rig.release_tier(TierId::L1);
    for tier in [TierId::L1, TierId::L2] {
        rig.tiers.get_mut(&tier).expect("configured").is_held = true;
    }
    while rig.client(reader).end.is_none() {
        rig.demand(reader);
    }
    assert_whole(&rig, reader, 100);
    rig.pass_time(3 * SECOND);
    let stalled =
        |event: &Event| matches!(event, Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::Stalled, .. }));
    assert_eq!(rig.count(stalled), 2);
    for tier in [TierId::L1, TierId::L2] {
        rig.release_tier(tier);
    }
    assert_idle(&rig);
}

/// Stores `/a` with a validator, and lets it grow stale.
fn store_and_outlive(rig: &mut Rig) {
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "100"), ("etag", "\"e\"")]);
    rig.send("/a", 100, 30);
    rig.end("/a");
    assert_eq!(verdicts(rig), [FillVerdict::Stored]);
    rig.pass_time(61 * SECOND);
}

const AGREES: [(&str, &str); 2] = [("etag", "\"e\""), ("cache-control", "max-age=60")];

/// A 304 freshens the manifest: no edge has to ask again, and the blob is the same one.
#[test]
fn a_304_freshens_the_manifest_for_every_edge() {
    let mut first = Rig::new(alone());
    store_and_outlive(&mut first);
    let asked = first.get("/a");
    first.head("/a", 304, &AGREES);
    assert_whole(&first, asked, 100);
    let freshened =
        |event: &Event| matches!(event, Event::Residence(ResidenceEvent::Freshened { tier: TierId::L3, .. }));
    assert_eq!((first.count(freshened), blobs(&first)), (1, 1));
    let mut second = Rig::beside(&first, alone(), 8);
    second.pass_time(61 * SECOND + 30 * SECOND);
    let client = second.get("/a");
    assert_whole(&second, client, 100);
    let reply = second.client(client).reply.as_ref().expect("it was served");
    assert_eq!((reply.outcome, reply.age), (Outcome::Hit { tier: TierId::L3 }, 30 * SECOND));
    assert!(second.asked.is_empty());
    // It lives no longer than its first day here, however often it is freshened (D3).
    let total = Duration::from_secs(RawConfig::default().l3.unwrap_or_default().total_s.into());
    let expires = first.durable_tier.store.borrow().rows[&key("/a")].expires;
    let stored_at = tiergate_engine::WallTime::from_unix_millis(1_000_000_000_000);
    assert!(expires <= stored_at.after(total), "{expires:?}");
    for rig in [&first, &second] {
        assert_idle(rig);
    }
}

/// F1, F3: a purge, or another change of the entry, that comes between the lookup and the 304 is not undone
/// by it.
#[test]
fn f1_a_304_that_comes_after_a_purge_brings_nothing_back() {
    let mut first = Rig::new(alone());
    store_and_outlive(&mut first);
    let asked = first.get("/a");
    let mut second = Rig::beside(&first, alone(), 8);
    second.pass_time(61 * SECOND);
    second.purge("/a");
    first.head("/a", 304, &AGREES);
    assert_whole(&first, asked, 100);
    assert_eq!(first.count(|event| matches!(event, Event::Residence(ResidenceEvent::Freshened { .. }))), 0);
    assert!(first.durable_tier.store.borrow().rows[&key("/a")].entry.manifest.is_none(), "it stays purged");
    let again = second.get("/a");
    assert_eq!(second.asked, ["/a"]);
    second.answer("/a", 100, 30);
    assert_whole(&second, again, 100);
    assert_idle(&first);
}

/// A body that breaks off again and again does not crowd its key: each upload hands its lease back, and the
/// one that comes to its end is stored.
#[test]
fn uploads_that_break_off_leave_no_lease() {
    let mut rig = Rig::new(alone());
    for _ in 0..=UPLOADS_MAX {
        rig.get("/a");
        rig.head("/a", 200, &[("cache-control", "max-age=60")]);
        rig.send("/a", 50, 10);
        rig.break_off("/a");
        let entry = std::sync::Arc::clone(&rig.durable_tier.store.borrow().rows[&key("/a")].entry);
        assert_eq!((entry.leases.len(), blobs(&rig)), (0, 0));
    }
    assert!(
        ends(&rig).iter().all(|end| *end == (PublishEnd::Abandoned, BlobFate::Deleted)),
        "{:?}",
        ends(&rig)
    );
    rig.get("/a");
    rig.answer("/a", 100, 30);
    assert_eq!(verdicts(&rig).last(), Some(&FillVerdict::Stored));
    assert_idle(&rig);
}

//! ResiliencePolicy: breakers, retries, deadlines and second reads, and that none of them stands before the
//! cache.

use crate::rig::{Rig, key, l0_only, with_disk, with_shared};
use std::time::Duration;
use tiergate_engine::{
    AbortReason, BreakerCount, BreakerState, CopyEvent, Dependency, End, Event, FetchEnd, FetchEvent, GiveUp,
    LaneEnd, Late, MissReason, OriginFailure, OriginId, Outcome, RawBreaker, RawConfig, RawDeadline, RawFill,
    RawHedge, RawResilience, RawRetry, Refusal, RequestEvent, ResilienceEvent, RetryWhen, StaleUse, TierId,
    TierOperation,
};

/// One failure opens it for at least half and at most the whole of a second; one probe closes it.
const HASTY: RawBreaker = RawBreaker {
    count: BreakerCount::NoAnswer,
    window_ms: 10_000,
    calls_min: 1_000,
    failure_percent: 100,
    failures_in_a_row: 1,
    open_ms_first: 1_000,
    open_ms_max: 1_000,
    probes: 1,
    probe_ms_max: 10_000,
};

fn hasty(raw: RawConfig) -> RawConfig {
    RawConfig { resilience: RawResilience { breaker: HASTY, ..raw.resilience }, ..raw }
}

/// Three attempts, of which each rests for at most ten milliseconds.
fn retrying(raw: RawConfig) -> RawConfig {
    let retry = RawRetry { attempts_max: 3, delay_ms_first: 10, delay_ms_max: 10, ..RawRetry::default() };
    RawConfig { resilience: RawResilience { retry, ..raw.resilience }, ..raw }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn is_skipped(wanted: TierOperation) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Resilience(ResilienceEvent::TierSkipped { operation, .. }) if *operation == wanted)
}

fn origin_stands(event: &Event) -> Option<BreakerState> {
    match event {
        Event::Resilience(ResilienceEvent::BreakerChanged {
            who: Dependency::Origin(OriginId(0)),
            state,
        }) => Some(*state),
        _ => None,
    }
}

/// A breaker that is open stops fetches and hides nothing that is stored (O2).
#[test]
fn r2_what_is_stored_is_served_while_the_origins_breaker_is_open() {
    let mut rig = Rig::new(hasty(with_disk()));
    rig.get("/kept");
    rig.answer("/kept", 100, 100);
    rig.get("/dead");
    rig.refuse("/dead");
    let asked = rig.asked.len();
    let kept = rig.get("/kept");
    assert_eq!(rig.client(kept).reply.as_ref().map(|it| it.outcome), Some(Outcome::Hit { tier: TierId::L0 }));
    let refused = rig.get("/dead");
    let Some(Refusal::BreakerOpen { retry_after }) = rig.client(refused).refusal else {
        panic!("{:?}", rig.client(refused));
    };
    assert!(retry_after > millis(499) && retry_after <= millis(1_000), "{retry_after:?}");
    assert_eq!(rig.asked.len(), asked, "nobody asked the origin");
    rig.assert_idle();
}

/// What only the disk has is served while the origin's breaker is open, too.
#[test]
fn r2_a_tier_below_is_read_while_the_origins_breaker_is_open() {
    let mut rig = Rig::new(RawConfig { l0: None, ..hasty(with_disk()) });
    rig.get("/kept");
    rig.answer("/kept", 100, 100);
    rig.get("/dead");
    rig.refuse("/dead");
    let kept = rig.get("/kept");
    assert_eq!(rig.client(kept).reply.as_ref().map(|it| it.outcome), Some(Outcome::Hit { tier: TierId::L2 }));
    assert_eq!(rig.client(kept).received(), 100);
    rig.assert_idle();
}

/// An origin that answers is alive, whatever it answers: no number of URLs that fail takes the others away.
/// Where its errors count, one does here.
#[test]
fn an_answer_of_any_status_counts_against_nobody_by_default() {
    for (count, alive) in [(BreakerCount::NoAnswer, true), (BreakerCount::ServerErrors, false)] {
        for status in [500, 502, 503, 504] {
            let mut raw = hasty(l0_only());
            raw.resilience.breaker.count = count;
            let mut rig = Rig::new(raw);
            let failed = rig.get("/fails");
            rig.head("/fails", status, &[("content-length", "0")]);
            rig.end("/fails");
            let reply = rig.client(failed).reply.as_ref().expect("it is answered");
            assert_eq!(reply.head.status, status, "the origin's own word is passed on");
            let other = rig.get("/other");
            assert_eq!(rig.client(other).refusal.is_none(), alive, "{count:?} {status}");
            assert_eq!(rig.asked.len(), if alive { 2 } else { 1 }, "{count:?} {status}");
        }
    }
}

/// An answer that is no HTTP is an answer: it counts and is asked about again only where errors do.
#[test]
fn a_malformed_answer_is_an_answer() {
    for (count, when, asked, alive) in [
        (BreakerCount::NoAnswer, RetryWhen::NoAnswer, 1, true),
        (BreakerCount::NoAnswer, RetryWhen::TemporaryErrors, 2, true),
        (BreakerCount::ServerErrors, RetryWhen::NoAnswer, 1, false),
    ] {
        let mut raw = retrying(hasty(l0_only()));
        (raw.resilience.breaker.count, raw.resilience.retry.when) = (count, when);
        let mut rig = Rig::new(raw);
        rig.get("/odd");
        let fill = rig.fetch("/odd");
        rig.fail_of(fill, OriginFailure::Malformed);
        rig.pass_time(millis(11));
        assert_eq!(rig.asked.len(), asked, "{when:?}");
        let other = rig.get("/other");
        assert_eq!(rig.client(other).refusal.is_none(), alive, "{count:?}");
    }
}

/// A request that cannot be written says nothing of the origin, is not made again, and is no probe's answer:
/// the next waiter leads with a request of its own.
#[test]
fn what_a_client_got_wrong_never_counts() {
    let mut raw = retrying(hasty(l0_only()));
    raw.resilience.breaker.count = BreakerCount::ServerErrors;
    raw.resilience.retry.when = RetryWhen::TemporaryErrors;
    let mut rig = Rig::new(raw);
    for _ in 0..20 {
        let client = rig.get("/odd");
        let fill = rig.fetch("/odd");
        rig.fail_of(fill, OriginFailure::Unsendable);
        assert_eq!(rig.client(client).refusal, Some(Refusal::Origin(OriginFailure::Unsendable)));
        rig.pass_time(millis(11));
    }
    assert_eq!(rig.asked.len(), 20, "none was tried again");
    assert_eq!(rig.events.iter().filter_map(origin_stands).count(), 0);
    let (odd, even) = (rig.get("/a"), rig.get("/a"));
    let fill = rig.fetch("/a");
    rig.fail_of(fill, OriginFailure::Unsendable);
    rig.answer("/a", 10, 10);
    assert!(rig.client(odd).refusal.is_some());
    assert_eq!(rig.client(even).received(), 10);
    rig.assert_idle();
}

/// A response that says “not now” is the client's to wait for: the origin is not asked again.
#[test]
fn an_answer_is_not_asked_about_again_by_default() {
    for status in [429, 502, 503, 504] {
        let mut rig = Rig::new(retrying(l0_only()));
        let client = rig.get("/a");
        rig.head("/a", status, &[("retry-after", "1"), ("content-length", "4")]);
        rig.send("/a", 4, 4);
        rig.end("/a");
        assert_eq!(rig.client(client).received(), 4);
        rig.pass_time(millis(5_000));
        assert_eq!(rig.asked.len(), 1, "{status}");
        rig.assert_idle();
    }
}

/// 404 and 304 are a healthy origin's answers: a probe that gets one closes the breaker.
#[test]
fn r2_a_probe_that_is_answered_404_closes_the_breaker() {
    let mut rig = Rig::new(hasty(l0_only()));
    rig.get("/dead");
    rig.refuse("/dead");
    rig.pass_time(millis(1_000));
    rig.get("/none");
    rig.head("/none", 404, &[("content-length", "0")]);
    rig.end("/none");
    let stood: Vec<_> = rig.events.iter().filter_map(origin_stands).collect();
    assert!(
        matches!(stood[..], [BreakerState::Open { .. }, BreakerState::HalfOpen, BreakerState::Closed]),
        "{stood:?}"
    );
    rig.assert_idle();
}

/// A probe whose client leaves, and one that is never answered: the half-open breaker resolves all the same.
#[test]
fn r2_a_half_open_breaker_resolves_whatever_becomes_of_its_probe() {
    for leaves in [true, false] {
        let mut raw = hasty(l0_only());
        raw.fill.on_abandon = tiergate_engine::OnAbandon::Cancel;
        let mut rig = Rig::new(raw);
        rig.get("/dead");
        rig.refuse("/dead");
        rig.pass_time(millis(1_000));
        let probe = rig.get("/probe");
        if leaves {
            rig.leave(probe);
        }
        rig.pass_time(millis(10_000));
        rig.pass_time(millis(1_000));
        rig.get("/after");
        rig.answer("/after", 10, 10);
        let last = rig.events.iter().filter_map(origin_stands).next_back();
        assert_eq!(last, Some(BreakerState::Closed), "a client that leaves: {leaves}");
        rig.assert_idle();
    }
}

/// While the breaker is open, what is stale stands in for the origin where it may.
#[test]
fn a_stale_response_stands_in_for_an_origin_that_is_left_alone() {
    let mut rig = Rig::new(hasty(l0_only()));
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "max-age=1, stale-if-error=60"), ("content-length", "5")]);
    rig.send("/a", 5, 5);
    rig.end("/a");
    rig.get("/dead");
    rig.refuse("/dead");
    rig.pass_time(millis(2_000));
    // The breaker has had its time: the first one probes, and fails.
    rig.get("/dead");
    rig.refuse("/dead");
    let asked = rig.asked.len();
    let client = rig.get("/a");
    let stale = Outcome::Stale { tier: TierId::L0, why: StaleUse::IfError };
    assert_eq!(rig.client(client).reply.as_ref().map(|it| it.outcome), Some(stale));
    assert_eq!(rig.asked.len(), asked);
    rig.assert_idle();
}

/// All who wait for a fetch that the breaker forbids are refused, each once, and nobody is asked.
#[test]
fn all_who_wait_are_refused_once_when_the_breaker_opens_meanwhile() {
    let mut rig = Rig::new(hasty(with_shared()));
    rig.tiers.get_mut(&TierId::L1).expect("it is configured").is_held = true;
    let clients: Vec<_> = (0..5).map(|_| rig.get("/a")).collect();
    let other = rig.ask(tiergate_engine::Method::Get, "/dead", &[], false);
    rig.release_tier(TierId::L1);
    rig.refuse("/a");
    for client in &clients {
        assert!(rig.client(*client).refusal.is_some(), "{:?}", rig.client(*client));
    }
    assert!(rig.client(other).refusal.is_none(), "it was asked before");
    assert_eq!(rig.asked, ["/a", "/dead"], "no second leader asks an origin that is left alone");
    let refused = |event: &Event| matches!(event, Event::Request(RequestEvent::Refused { .. }));
    assert_eq!(rig.count(refused), 5);
    rig.refuse("/dead");
    rig.assert_idle();
}

/// A failed attempt is made again after a rest, under a new name, and the client gets what it brings.
#[test]
fn r3_a_failed_attempt_is_made_again_after_a_rest() {
    let mut rig = Rig::new(retrying(l0_only()));
    let first = rig.get("/a");
    rig.refuse("/a");
    let joined = rig.get("/a");
    assert_eq!(rig.asked, ["/a"], "not at once");
    rig.pass_time(millis(11));
    assert_eq!(rig.asked, ["/a", "/a"]);
    rig.answer("/a", 100, 100);
    for client in [first, joined] {
        assert_eq!(rig.client(client).received(), 100);
    }
    let retried = |event: &Event| matches!(event, Event::Fetch(FetchEvent::Retried { attempt: 2, .. }));
    assert_eq!(rig.count(retried), 1);
    rig.assert_idle();
}

/// Attempts end: three by the leader, three by the one that leads next, and then all are told.
#[test]
fn r3_attempts_end() {
    let mut rig = Rig::new(retrying(l0_only()));
    let clients: Vec<_> = (0..3).map(|_| rig.get("/a")).collect();
    for _ in 0..6 {
        rig.refuse("/a");
        rig.pass_time(millis(11));
    }
    assert_eq!(rig.asked.len(), 6);
    for client in clients {
        assert_eq!(rig.client(client).refusal, Some(Refusal::Origin(OriginFailure::Unreachable)));
    }
    let spent =
        |event: &Event| matches!(event, Event::Fetch(FetchEvent::GaveUp { why: GiveUp::AttemptsSpent, .. }));
    assert_eq!(rig.count(spent), 2);
    rig.assert_idle();
}

/// One retry is saved up, and two fetches fail: the second gets none.
#[test]
fn r3_retries_have_a_budget_for_all() {
    let mut raw = retrying(l0_only());
    raw.resilience.retry =
        RawRetry { budget_burst: 1, budget_percent: 0, budget_floor_per_s: 0, ..raw.resilience.retry };
    let mut rig = Rig::new(raw);
    rig.get("/a");
    let second = rig.get("/b");
    rig.refuse("/a");
    rig.refuse("/b");
    assert_eq!(rig.client(second).refusal, Some(Refusal::Origin(OriginFailure::Unreachable)));
    rig.pass_time(millis(11));
    rig.answer("/a", 10, 10);
    let spent =
        |event: &Event| matches!(event, Event::Fetch(FetchEvent::GaveUp { why: GiveUp::BudgetSpent, .. }));
    assert_eq!((rig.asked.len(), rig.count(spent)), (3, 1));
    rig.assert_idle();
}

/// `Retry-After` is waited for where it is short, and the last response is passed on where it is long.
#[test]
fn r3_retry_after_is_honoured_or_passed_on() {
    let mut raw = retrying(l0_only());
    raw.resilience.retry.when = RetryWhen::TemporaryErrors;
    let mut rig = Rig::new(raw);
    let client = rig.get("/a");
    rig.head("/a", 503, &[("retry-after", "1"), ("content-length", "4")]);
    rig.pass_time(millis(999));
    assert_eq!(rig.asked.len(), 1);
    rig.pass_time(millis(12));
    assert_eq!(rig.asked.len(), 2);
    rig.head("/a", 503, &[("retry-after", "60"), ("content-length", "4")]);
    rig.send("/a", 4, 4);
    rig.end("/a");
    let reply = rig.client(client).reply.as_ref().expect("it is answered");
    assert_eq!((reply.head.status, reply.head.fields.only("retry-after")), (503, Some(&b"60"[..])));
    assert_eq!(rig.client(client).received(), 4);
    assert_eq!(rig.cancelled, ["/a"], "the first answer's body was not wanted");
    rig.assert_idle();
}

/// Nobody is left who waits for the next attempt: it is not made.
#[test]
fn an_attempt_that_nobody_waits_for_is_not_made() {
    let mut rig = Rig::new(retrying(l0_only()));
    let client = rig.get("/a");
    rig.refuse("/a");
    rig.leave(client);
    rig.assert_idle();
    rig.pass_time(millis(1_000));
    assert_eq!(rig.asked.len(), 1);
}

/// A purge while a fill rests: it goes on for those who wait, and nothing of it is kept.
#[test]
fn f1_a_purge_overtakes_a_fill_that_rests() {
    let mut rig = Rig::new(retrying(l0_only()));
    let before = rig.get("/a");
    rig.refuse("/a");
    rig.purge("/a");
    rig.get("/a");
    rig.answer("/a", 10, 10);
    let later = rig.fetch("/a");
    rig.fetches.remove(&later);
    rig.pass_time(millis(11));
    rig.answer("/a", 20, 20);
    assert_eq!(rig.client(before).received(), 20);
    let after = rig.get("/a");
    assert_eq!(rig.client(after).received(), 10, "what the later fetch brought was kept");
    rig.assert_idle();
}

/// A tier that does not answer a lookup in time is skipped, and its late answer opens nothing for good.
#[test]
fn c1_a_lookup_that_is_late_is_given_up_and_released_once() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_shared() });
    rig.get("/a");
    rig.answer("/a", 10, 10);
    rig.tiers.get_mut(&TierId::L1).expect("it is configured").is_held = true;
    let client = rig.get("/a");
    assert_eq!(rig.engine.poll_wake().map(|(at, _)| at.since(rig.now)), Some(millis(500)));
    rig.pass_time(millis(500));
    assert_eq!(rig.asked, ["/a", "/a"]);
    rig.release_tier(TierId::L1);
    rig.answer("/a", 10, 10);
    let reply = rig.client(client).reply.as_ref().expect("it is answered");
    let miss = Outcome::Miss { reason: MissReason::TierFailed, collapsed: false, storing: true };
    assert_eq!((reply.outcome, rig.client(client).received()), (miss, 10));
    let late = |event: &Event| {
        matches!(
            event,
            Event::Resilience(ResilienceEvent::DeadlineMissed { what: Late::Lookup(TierId::L1), .. })
        )
    };
    assert_eq!(
        (
            rig.count(late),
            rig.count(|event| matches!(event, Event::Resilience(ResilienceEvent::LateAnswer { .. })))
        ),
        (1, 1)
    );
    assert_eq!(rig.tiers[&TierId::L1].open_records(), 0, "the late record was released");
    rig.assert_idle();
}

/// An origin that sends no head in time has failed an attempt, and is cancelled.
#[test]
fn a_head_that_is_late_is_a_failed_attempt() {
    let mut rig = Rig::new(l0_only());
    let client = rig.get("/a");
    rig.pass_time(millis(9_999));
    assert!(rig.client(client).refusal.is_none());
    rig.pass_time(millis(1));
    assert_eq!(rig.client(client).refusal, Some(Refusal::Origin(OriginFailure::TimedOut)));
    assert_eq!(rig.cancelled, ["/a"]);
    rig.assert_idle();
}

/// Attempts share one deadline: whatever they are, a client is told after `answer_ms_max`.
#[test]
fn all_attempts_together_have_one_deadline() {
    let mut raw = retrying(l0_only());
    raw.resilience.retry.attempts_max = 10;
    raw.resilience.deadline =
        RawDeadline { head_ms_max: 400, answer_ms_max: 1_000, ..RawDeadline::default() };
    let mut rig = Rig::new(raw);
    let client = rig.get("/a");
    for _ in 0..100 {
        rig.pass_time(millis(10));
    }
    assert_eq!(rig.client(client).refusal, Some(Refusal::Origin(OriginFailure::TimedOut)));
    assert_eq!(rig.asked.len(), 3);
    let late = |event: &Event| {
        matches!(event, Event::Resilience(ResilienceEvent::DeadlineMissed { what: Late::Answer, .. }))
    };
    assert_eq!(rig.count(late), 1);
    rig.assert_idle();
}

/// A chunk that does not come breaks the body off, visibly; while the client does not read, nothing is due.
#[test]
fn a_chunk_that_is_late_breaks_the_body_off() {
    let mut rig = Rig::new(l0_only());
    let client = rig.get("/a");
    rig.head("/a", 200, &[("content-length", "20")]);
    rig.send("/a", 10, 10);
    rig.pass_time(millis(29_999));
    assert_eq!(rig.client(client).end, None);
    rig.pass_time(millis(1));
    assert_eq!(rig.client(client).end, Some(End::Aborted(AbortReason::Origin(OriginFailure::TimedOut))));
    let ended = |event: &Event| {
        matches!(
            event,
            Event::Fetch(FetchEvent::FetchEnded { end: FetchEnd::Failed(OriginFailure::TimedOut), .. })
        )
    };
    assert_eq!((rig.count(ended), rig.cancelled.len()), (1, 1));
    rig.assert_idle();
}

/// A slow reader is nobody's fault: with the window full, the origin is not asked, and no deadline runs.
#[test]
fn a_client_that_does_not_read_misses_no_deadline() {
    let fill = RawFill { window: tiergate_engine::ByteCount::kib(64), ..RawFill::default() };
    let mut rig = Rig::new(RawConfig { l0: None, fill, ..l0_only() });
    let client = rig.get_slowly("/a");
    rig.head("/a", 200, &[("content-length", "200000")]);
    rig.send("/a", 100_000, 50_000);
    rig.pass_time(Duration::from_secs(3_600));
    assert_eq!(rig.client(client).end, None);
    rig.leave(client);
    rig.assert_idle();
}

/// Bytes of a record that do not come break the response off; the tier keeps what it has, and the record is
/// closed.
#[test]
fn a_read_that_is_late_breaks_the_response_off() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    rig.get("/a");
    rig.answer("/a", 10, 10);
    let client = rig.get_slowly("/a");
    rig.tiers.get_mut(&TierId::L2).expect("it is configured").is_held = true;
    rig.demand(client);
    rig.pass_time(millis(30_000));
    assert_eq!(rig.client(client).end, Some(End::Aborted(AbortReason::TierRead(TierId::L2))));
    rig.release_tier(TierId::L2);
    assert_eq!(rig.tiers[&TierId::L2].open_records(), 0);
    let again = rig.get("/a");
    assert_eq!(rig.client(again).received(), 10);
    rig.assert_idle();
}

/// A tier that keeps failing is not asked: lookups go past it, copies into it are not begun, deletes always
/// reach it.
#[test]
fn a_tier_that_keeps_failing_is_skipped_but_always_purged() {
    let mut rig = Rig::new(hasty(with_shared()));
    rig.tiers.get_mut(&TierId::L1).expect("it is configured").fails = true;
    rig.get("/a");
    rig.answer("/a", 10, 10);
    let client = rig.get("/b");
    rig.answer("/b", 10, 10);
    assert_eq!(rig.client(client).received(), 10);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Resilience(ResilienceEvent::TierFailed { .. }))),
        1,
        "only the first was asked"
    );
    assert_eq!(rig.count(is_skipped(TierOperation::Lookup)), 1);
    assert_eq!(rig.count(is_skipped(TierOperation::Write)), 2);
    let dropped = |event: &Event| {
        matches!(event, Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::TierSkipped, .. }))
    };
    assert_eq!(rig.count(dropped), 2);
    rig.purge("/a");
    let failed = |event: &Event| {
        matches!(
            event,
            Event::Resilience(ResilienceEvent::TierFailed { operation: TierOperation::Delete, .. })
        )
    };
    assert_eq!(rig.count(failed), 1);
    rig.assert_idle();
}

/// A response that has begun is read on, though the tier's breaker opened meanwhile (O2).
#[test]
fn an_open_record_is_read_on_while_its_tiers_breaker_is_open() {
    let mut raw = RawConfig { l0: None, ..hasty(with_disk()) };
    raw.fill.read_size = tiergate_engine::ByteCount(5);
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.answer("/a", 10, 10);
    let client = rig.get_slowly("/a");
    rig.demand(client);
    rig.get("/b");
    rig.head("/b", 200, &[("cache-control", "max-age=60"), ("content-length", "5")]);
    rig.tiers.get_mut(&TierId::L2).expect("it is configured").fails = true;
    rig.send("/b", 5, 5);
    rig.end("/b");
    rig.tiers.get_mut(&TierId::L2).expect("it is configured").fails = false;
    let opened = |event: &Event| {
        matches!(
            event,
            Event::Resilience(ResilienceEvent::BreakerChanged {
                who: Dependency::Tier(TierId::L2),
                state: BreakerState::Open { .. }
            })
        )
    };
    assert_eq!(rig.count(opened), 1);
    rig.demand(client);
    assert_eq!((rig.client(client).received(), rig.client(client).end), (10, Some(End::Complete)));
    rig.assert_idle();
}

/// A hundred quick reads, and one that is late: it is asked twice, the first answer is used, the other one
/// ignored.
#[test]
fn a9_a_read_that_is_later_than_most_is_asked_twice_and_used_once() {
    let mut raw = RawConfig { l0: None, ..with_disk() };
    raw.resilience.hedge = Some(RawHedge { delay_ms_min: 5, ..RawHedge::default() });
    let mut rig = Rig::new(raw);
    rig.get("/a");
    rig.answer("/a", 10, 10);
    for _ in 0..100 {
        rig.get("/a");
    }
    let client = rig.get_slowly("/a");
    rig.tiers.get_mut(&TierId::L2).expect("it is configured").is_held = true;
    rig.demand(client);
    rig.pass_time(millis(4));
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::Hedged { .. }))), 0);
    rig.pass_time(millis(1));
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::Hedged { .. }))), 1);
    rig.release_tier(TierId::L2);
    assert_eq!((rig.client(client).received(), rig.client(client).end), (10, Some(End::Complete)));
    assert_eq!(rig.count(|event| matches!(event, Event::Resilience(ResilienceEvent::LateAnswer { .. }))), 1);
    rig.assert_idle();
}

/// Without `resilience.hedge`, nothing is asked twice however late it is.
#[test]
fn reads_are_not_asked_twice_unless_told_so() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    rig.get("/a");
    rig.answer("/a", 10, 10);
    for _ in 0..200 {
        rig.get("/a");
    }
    rig.tiers.get_mut(&TierId::L2).expect("it is configured").is_held = true;
    let client = rig.get("/a");
    rig.pass_time(millis(400));
    rig.release_tier(TierId::L2);
    assert_eq!(rig.client(client).received(), 10);
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::Hedged { .. }))), 0);
}

/// An origin's breaker knows its own origin only.
#[test]
fn one_origins_failures_are_not_anothers() {
    let mut rig = Rig::new(hasty(l0_only()));
    rig.get("/dead");
    rig.refuse("/dead");
    rig.origin = OriginId(1);
    let client = rig.get("/alive");
    assert_eq!(rig.asked, ["/dead", "/alive"]);
    rig.answer("/alive", 10, 10);
    assert_eq!(rig.client(client).received(), 10);
    assert_ne!(key("/alive"), key("/dead"));
    rig.assert_idle();
}

//! The breaker on virtual time: each arrow of its diagram, and that it always resolves.

use super::*;
use crate::{parts::random::Seed, resilience::backoff::Jitter};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

const POLICY: BreakerPolicy = BreakerPolicy {
    count: BreakerCount::ServerErrors,
    window: Duration::from_secs(10),
    calls_min: 10,
    failure_percent: 50,
    failures_in_a_row: 5,
    open: Backoff { first: Duration::from_secs(2), max: Duration::from_secs(16), jitter: Jitter::Half },
    probes: 2,
    probe_max: Duration::from_secs(3),
};

fn at(millis: u64) -> Instant {
    Instant::ZERO.after(Duration::from_millis(millis))
}

fn breaker(policy: BreakerPolicy) -> Breaker {
    Breaker::new(policy, Seed(7).split("breaker"))
}

fn permit(breaker: &mut Breaker, now: Instant) -> Permit {
    match breaker.admit(now) {
        Admit::Yes(permit) => permit,
        Admit::No { until } => unreachable!("refused at {now:?} until {until:?}: {breaker:?}"),
    }
}

fn refused_until(breaker: &mut Breaker, now: Instant) -> Instant {
    match breaker.admit(now) {
        Admit::Yes(permit) => unreachable!("admitted at {now:?} with {permit:?}: {breaker:?}"),
        Admit::No { until } => until,
    }
}

fn call(breaker: &mut Breaker, now: Instant, verdict: Verdict) {
    let permit = permit(breaker, now);
    breaker.on_outcome(now, permit, verdict);
}

/// Opened by five failures in a row at `now`; says until when.
fn trip(breaker: &mut Breaker, now: Instant) -> Instant {
    for _ in 0..5 {
        call(breaker, now, Verdict::Failing);
    }
    match breaker.state() {
        BreakerState::Open { until } => until,
        BreakerState::Closed | BreakerState::HalfOpen => {
            unreachable!("five in a row did not open it: {breaker:?}")
        }
    }
}

/// What opens it and what does not: calls as (milliseconds, verdict, how often).
#[test]
fn it_opens_at_a_share_or_a_row_of_failures() {
    use Verdict::{Failing, Healthy, Untold};
    type Calls<'c> = &'c [(u64, Verdict, u32)];
    let table: [(&str, Calls, bool); 10] = [
        ("five in a row", &[(0, Failing, 5)], true),
        ("four in a row", &[(0, Failing, 4)], false),
        ("a healthy one ends the row", &[(0, Failing, 4), (0, Healthy, 1), (0, Failing, 4)], false),
        ("an untold one does not", &[(0, Failing, 4), (0, Untold, 9), (0, Failing, 1)], true),
        ("half of ten", &[(0, Failing, 1), (0, Healthy, 5), (0, Failing, 4)], true),
        ("half of eight is too few calls", &[(0, Failing, 1), (0, Healthy, 4), (0, Failing, 3)], false),
        ("four of ten", &[(0, Failing, 3), (0, Healthy, 6), (0, Failing, 1)], false),
        ("what the window forgot", &[(0, Failing, 4), (10_000, Healthy, 6), (10_000, Failing, 4)], false),
        ("what it still holds", &[(1_000, Failing, 4), (9_900, Healthy, 6), (9_900, Failing, 2)], true),
        (
            "nothing but 404 and 304",
            &[
                (0, Verdict::of_status(BreakerCount::ServerErrors, 404), 50),
                (0, Verdict::of_status(BreakerCount::ServerErrors, 304), 50),
            ],
            false,
        ),
    ];
    for (name, calls, opens) in table {
        let mut breaker = breaker(POLICY);
        for (millis, verdict, times) in calls {
            for _ in 0..*times {
                call(&mut breaker, at(*millis), *verdict);
            }
        }
        assert_eq!(matches!(breaker.state(), BreakerState::Open { .. }), opens, "{name}: {breaker:?}");
    }
}

/// What the origin's word says about its health, where its errors count and where only its silence does.
#[test]
fn only_the_servers_own_failures_count() {
    use BreakerCount::{NoAnswer, ServerErrors};
    for status in [100, 200, 206, 301, 304, 400, 403, 404, 410, 416, 429, 451, 501, 505] {
        assert_eq!(Verdict::of_status(ServerErrors, status), Verdict::Healthy, "{status}");
    }
    for status in [500, 502, 503, 504, 520, 599] {
        assert_eq!(Verdict::of_status(ServerErrors, status), Verdict::Failing, "{status}");
        assert_eq!(Verdict::of_status(NoAnswer, status), Verdict::Healthy, "{status}");
    }
    let table = [
        (OriginFailure::Unreachable, Verdict::Failing, Verdict::Failing),
        (OriginFailure::TimedOut, Verdict::Failing, Verdict::Failing),
        (OriginFailure::Broken, Verdict::Failing, Verdict::Failing),
        (OriginFailure::Malformed, Verdict::Healthy, Verdict::Failing),
        (OriginFailure::Unsendable, Verdict::Untold, Verdict::Untold),
        (OriginFailure::Abandoned, Verdict::Untold, Verdict::Untold),
    ];
    for (failure, silence, errors) in table {
        let found = [NoAnswer, ServerErrors].map(|count| Verdict::of_failure(count, failure));
        assert_eq!(found, [silence, errors], "{failure:?}");
    }
}

/// Open refuses all until its time, the call after that is a probe; two healthy probes close it.
#[test]
fn it_opens_probes_and_closes() {
    let mut breaker = breaker(POLICY);
    let until = trip(&mut breaker, at(0));
    assert!(until >= at(1_000) && until <= at(2_000), "{until:?}");
    let just_before = Instant::from_nanos(until.as_nanos() - 1);
    assert_eq!(refused_until(&mut breaker, just_before), until);
    let (first, second) = (permit(&mut breaker, until), permit(&mut breaker, until));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(refused_until(&mut breaker, until), until.after(3 * SECOND), "no third probe beside the two");
    breaker.on_outcome(until.after(SECOND), first, Verdict::Healthy);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "one of two");
    breaker.on_outcome(until.after(SECOND), second, Verdict::Healthy);
    assert_eq!((breaker.state(), breaker.permits_out()), (BreakerState::Closed, 0));
    call(&mut breaker, until.after(SECOND), Verdict::Failing);
    assert_eq!(breaker.state(), BreakerState::Closed, "the old row is forgotten");
}

/// Each failed probe keeps it open longer, in the upper half of 2, 4, 8, 16, 16 seconds; closing forgets
/// that.
#[test]
fn each_reopening_lasts_longer_up_to_the_bound() {
    let mut breaker = breaker(POLICY);
    let mut until = trip(&mut breaker, at(0));
    for ceiling in [4, 8, 16, 16] {
        let opened = until;
        call(&mut breaker, opened, Verdict::Failing);
        until = refused_until(&mut breaker, opened);
        let lasts = until.since(opened);
        assert!(lasts <= ceiling * SECOND && lasts >= ceiling * SECOND / 2, "{lasts:?} of {ceiling} s");
    }
    call(&mut breaker, until, Verdict::Healthy);
    call(&mut breaker, until, Verdict::Healthy);
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(trip(&mut breaker, until).since(until) <= 2 * SECOND);
}

/// A probe that never answers is lost when its time is over, and counts as a failure (failure R2). The state
/// does not depend on when somebody looks.
#[test]
fn a_lost_probe_opens_it_again() {
    for looks_after in [3, 60] {
        let mut breaker = breaker(POLICY);
        let began = trip(&mut breaker, at(0));
        let lost = permit(&mut breaker, began);
        assert_eq!(breaker.poll_wake(), Some(began.after(3 * SECOND)));
        breaker.on_wake(began.after(2 * SECOND));
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "its time is not over");
        breaker.on_wake(began.after(looks_after * SECOND));
        let BreakerState::Open { until } = breaker.state() else { unreachable!("{breaker:?}") };
        let lasts = until.since(began.after(3 * SECOND));
        assert!(lasts >= 2 * SECOND && lasts <= 4 * SECOND, "{lasts:?}, looked at after {looks_after} s");
        assert_eq!((breaker.poll_wake(), breaker.permits_out()), (None, 1));
        breaker.on_outcome(until, lost, Verdict::Healthy);
        assert_eq!((breaker.state(), breaker.permits_out()), (BreakerState::Open { until }, 0), "too late");
    }
}

/// Probes that are called off free their places; if that is all that happens, the next call may try at once.
#[test]
fn untold_probes_neither_stick_nor_punish() {
    let mut breaker = breaker(POLICY);
    let began = trip(&mut breaker, at(0));
    for millis in [0, 500, 1_000, 2_999] {
        call(&mut breaker, began.after(Duration::from_millis(millis)), Verdict::Untold);
    }
    assert_eq!(
        (breaker.state(), breaker.poll_wake()),
        (BreakerState::HalfOpen, Some(began.after(3 * SECOND)))
    );
    breaker.on_wake(began.after(3 * SECOND));
    assert_eq!(breaker.state(), BreakerState::Open { until: began.after(3 * SECOND) });
    call(&mut breaker, began.after(3 * SECOND), Verdict::Failing);
    let reopened = refused_until(&mut breaker, began.after(3 * SECOND)).since(began.after(3 * SECOND));
    assert!(reopened <= 4 * SECOND, "it was punished for what nobody saw: {reopened:?}");
}

/// Probes that are called off one after the other, so that one is always out, do not keep it half-open: no
/// probe is granted after `probe_max`, and the last one out resolves it.
#[test]
fn grants_end() {
    let mut breaker = breaker(POLICY);
    let began = trip(&mut breaker, at(0));
    let first = permit(&mut breaker, began);
    let second = permit(&mut breaker, began.after(2 * SECOND));
    breaker.on_outcome(began.after(2 * SECOND), first, Verdict::Untold);
    assert_eq!(refused_until(&mut breaker, began.after(3 * SECOND)), began.after(5 * SECOND));
    assert_eq!(breaker.poll_wake(), Some(began.after(5 * SECOND)), "the second is lost then");
    breaker.on_outcome(began.after(4 * SECOND), second, Verdict::Untold);
    assert_eq!(breaker.state(), BreakerState::Open { until: began.after(3 * SECOND) });
    assert!(matches!(breaker.admit(began.after(4 * SECOND)), Admit::Yes(_)), "and the next call may try");
}

/// With too little traffic for all its probes, those that were healthy are enough.
#[test]
fn one_healthy_probe_closes_it_when_no_other_call_comes() {
    let mut breaker = breaker(POLICY);
    let began = trip(&mut breaker, at(0));
    call(&mut breaker, began, Verdict::Healthy);
    assert_eq!(
        (breaker.state(), breaker.poll_wake()),
        (BreakerState::HalfOpen, Some(began.after(3 * SECOND)))
    );
    breaker.on_wake(began.after(3 * SECOND));
    assert_eq!((breaker.state(), breaker.poll_wake()), (BreakerState::Closed, None));
}

/// Calls from before it opened answer while it is open, half-open, closed again: they decide nothing.
#[test]
fn answers_to_an_earlier_state_are_ignored() {
    let mut breaker = breaker(POLICY);
    let old: Vec<_> = (0..15).map(|_| permit(&mut breaker, at(0))).collect();
    let mut old = old.into_iter();
    let mut answer = |breaker: &mut Breaker, now, verdict| {
        old.by_ref().take(5).for_each(|permit| breaker.on_outcome(now, permit, verdict));
    };
    let until = trip(&mut breaker, at(0));
    answer(&mut breaker, at(1), Verdict::Healthy);
    assert_eq!(breaker.state(), BreakerState::Open { until });
    let probe = permit(&mut breaker, until);
    answer(&mut breaker, until, Verdict::Failing);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.on_outcome(until, probe, Verdict::Healthy);
    call(&mut breaker, until, Verdict::Healthy);
    assert_eq!(breaker.state(), BreakerState::Closed);
    answer(&mut breaker, until, Verdict::Failing);
    assert_eq!((breaker.state(), breaker.permits_out()), (BreakerState::Closed, 0));
}

/// What the world does next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Call,
    /// The `n`-th of the permits that are out comes back.
    Answer(usize, Verdict),
    /// It never will.
    Lose(usize),
    Wait(u64),
    Wake,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let verdict = prop_oneof![Just(Verdict::Healthy), Just(Verdict::Failing), Just(Verdict::Untold)];
    let turn = prop_oneof![
        4 => Just(Turn::Call),
        4 => (any::<usize>(), verdict).prop_map(|(n, verdict)| Turn::Answer(n, verdict)),
        1 => any::<usize>().prop_map(Turn::Lose),
        3 => (0_u64..2_500).prop_map(Turn::Wait),
        1 => Just(Turn::Wake),
    ];
    proptest::collection::vec(turn, 0..200)
}

proptest! {
    /// Whatever answers come, late, or never: permits are conserved, probes out stay within their bound, no
    /// half-open state outlives two `probe_max`, and once the world is well, it closes.
    #[test]
    fn half_open_always_resolves(seed in any::<u64>(), probes in 1_u32..4, row in 1_u32..4, turns in turns()) {
        let policy = BreakerPolicy { probes, failures_in_a_row: row, ..POLICY };
        let mut breaker = Breaker::new(policy, Seed(seed).split("breaker"));
        let (mut now, mut out, mut lost) = (at(0), Vec::new(), 0_u64);
        let mut half_open_since = None;
        for turn in turns {
            match turn {
                Turn::Call => match breaker.admit(now) {
                    Admit::Yes(permit) => out.push(permit),
                    Admit::No { until } => prop_assert!(until > now, "a refusal names a time to come"),
                },
                Turn::Answer(n, verdict) if !out.is_empty() => {
                    let permit = out.swap_remove(n % out.len());
                    breaker.on_outcome(now, permit, verdict);
                }
                Turn::Lose(n) if !out.is_empty() => {
                    drop(out.swap_remove(n % out.len()));
                    lost += 1;
                }
                Turn::Answer(..) | Turn::Lose(_) => {}
                Turn::Wait(millis) => now = now.after(Duration::from_millis(millis)),
                Turn::Wake => breaker.on_wake(now),
            }
            prop_assert_eq!(breaker.permits_out(), out.len() as u64 + lost);
            match &breaker.state {
                BreakerInner::HalfOpen { out, .. } => {
                    prop_assert!(out.len() <= probes as usize);
                    let (era, since) = *half_open_since.get_or_insert((breaker.era, now));
                    if era != breaker.era {
                        half_open_since = Some((breaker.era, now));
                    } else if matches!(turn, Turn::Call | Turn::Wake) {
                        prop_assert!(now.since(since) < 2 * policy.probe_max, "{:?}", breaker);
                    }
                }
                BreakerInner::Closed { .. } | BreakerInner::Open { .. } => half_open_since = None,
            }
        }
        // Now the faults stop: the permits that are out are lost, calls come once a second and are healthy.
        for _ in 0..(2 * 3 + 16 + 2 * probes) {
            now = now.after(SECOND);
            if let Admit::Yes(permit) = breaker.admit(now) {
                breaker.on_outcome(now, permit, Verdict::Healthy);
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }

    /// Driven by nothing but its own wakes, with no call ever again, it leaves half-open and asks for no more
    /// wakes.
    #[test]
    fn wakes_alone_resolve_it(seed in any::<u64>(), turns in turns()) {
        let policy = BreakerPolicy { failures_in_a_row: 1, ..POLICY };
        let mut breaker = Breaker::new(policy, Seed(seed).split("breaker"));
        let (mut now, mut out) = (at(0), Vec::new());
        for turn in turns {
            match turn {
                Turn::Call => {
                    if let Admit::Yes(permit) = breaker.admit(now) {
                        out.push(permit);
                    }
                }
                Turn::Answer(n, verdict) if !out.is_empty() => {
                    let permit = out.swap_remove(n % out.len());
                    breaker.on_outcome(now, permit, verdict);
                }
                Turn::Answer(..) | Turn::Lose(_) | Turn::Wake => {}
                Turn::Wait(millis) => now = now.after(Duration::from_millis(millis)),
            }
        }
        let mut wakes = 0;
        while let Some(wake) = breaker.poll_wake() {
            breaker.on_wake(wake.max(now));
            wakes += 1;
            prop_assert!(wakes <= 2, "{:?}", breaker);
        }
        prop_assert!(breaker.state() != BreakerState::HalfOpen);
    }
}

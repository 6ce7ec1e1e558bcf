//! The machines together, on virtual time: many calls, an origin that fails and heals.

use super::{
    attempts::{Attempts, Decision, Failed, Repeatable},
    breaker::{Admit, Breaker, BreakerState, Permit, Verdict},
    budget::Budget,
};
use crate::config::{RawResilience, ResiliencePolicy};
use crate::{
    language::time::Instant,
    parts::random::{Random, Seed},
};
use core::time::Duration;
use std::{collections::BTreeMap, vec::Vec};

/// What happens next to one call.
enum Step {
    /// It asks the origin, if the breaker lets it.
    Ask(Attempts),
    /// The origin's answer comes.
    Answer(Attempts, Permit, bool),
}

/// A callers that asks one origin with the default configuration.
struct Callers {
    resilience: ResiliencePolicy,
    breaker: Breaker,
    budget: Budget,
    random: Random,
    /// By time, then in the order in which they were planned.
    plan: BTreeMap<(Instant, u64), Step>,
    planned: u64,
    /// When the origin was asked.
    asked: Vec<Instant>,
    /// Calls that were let through to it at least once.
    calls: usize,
    failed: usize,
    is_up: fn(Instant) -> bool,
}

impl Callers {
    fn new(seed: u64, is_up: fn(Instant) -> bool) -> Self {
        let resilience = ResiliencePolicy::try_from(RawResilience::default())
            .expect("the defaults are within their bounds");
        Self {
            resilience,
            breaker: Breaker::new(resilience.breaker, Seed(seed).split("origin breaker")),
            budget: Budget::new(resilience.retry_allowance, Instant::ZERO),
            random: Seed(seed).split("origin retries"),
            plan: BTreeMap::new(),
            planned: 0,
            asked: Vec::new(),
            calls: 0,
            failed: 0,
            is_up,
        }
    }

    fn plan(&mut self, at: Instant, step: Step) {
        self.planned += 1;
        self.plan.insert((at, self.planned), step);
    }

    /// One call every ten milliseconds, for so many seconds; answers take five. Then all that is planned is
    /// done.
    fn run(&mut self, seconds: u64) {
        for n in 0..seconds * 100 {
            let at = millis(n * 10);
            let call = Attempts::new(Repeatable::Idempotent, at.after(self.resilience.deadline.answer_max));
            self.plan(at, Step::Ask(call));
        }
        while let Some(((now, _), step)) = self.plan.pop_first() {
            match step {
                Step::Ask(call) => self.ask(now, call),
                Step::Answer(_, permit, true) => self.breaker.on_outcome(now, permit, Verdict::Healthy),
                Step::Answer(mut call, permit, false) => {
                    self.breaker.on_outcome(now, permit, Verdict::Failing);
                    let retry = &self.resilience.retry;
                    match call.on_failed(now, Failed::Unanswered, retry, &mut self.budget, &mut self.random) {
                        Decision::Retry { at } => self.plan(at, Step::Ask(call)),
                        Decision::GiveUp(_) => self.failed += 1,
                    }
                }
            }
        }
    }

    fn ask(&mut self, now: Instant, call: Attempts) {
        match self.breaker.admit(now) {
            Admit::No { .. } => self.failed += 1,
            Admit::Yes(permit) => {
                if call.made() == 1 {
                    self.calls += 1;
                    self.budget.on_request(now);
                }
                self.asked.push(now);
                let is_up = (self.is_up)(now);
                self.plan(now.after(Duration::from_millis(5)), Step::Answer(call, permit, is_up));
            }
        }
    }

    fn asked_between(&self, from: Instant, to: Instant) -> usize {
        self.asked.iter().filter(|at| (from..to).contains(*at)).count()
    }
}

fn millis(millis: u64) -> Instant {
    Instant::ZERO.after(Duration::from_millis(millis))
}

/// Down from the 10th to the 70th second: the breaker spares the origin all but probes, and once it is back,
/// no second sees more than its own requests, a fifth and the burst. The breaker ends closed, and the longest
/// it can have missed the recovery is `open_ms_max` (L4).
#[test]
fn an_outage_is_neither_amplified_nor_followed_by_a_storm() {
    for seed in 0..20 {
        let mut callers = Callers::new(seed, |at| at < millis(10_000) || at >= millis(70_000));
        callers.run(120);
        assert!(
            callers.asked_between(millis(11_000), millis(70_000)) < 40,
            "seed {seed}: {}",
            callers.asked.len()
        );
        for second in 0..120 {
            let asked = callers.asked_between(millis(second * 1_000), millis(second * 1_000 + 1_000));
            assert!(asked <= 100 + 20 + 10 + 1, "seed {seed}: {asked} in second {second}");
        }
        assert_eq!(
            callers.asked_between(millis(101_000), millis(120_000)),
            1_900,
            "seed {seed}: all, and once"
        );
        assert_eq!((callers.breaker.state(), callers.breaker.permits_out()), (BreakerState::Closed, 0));
    }
}

/// An origin that fails one time in eight keeps its breaker closed, and each call is retried within the
/// budget.
#[test]
fn ordinary_failures_are_retried_and_not_punished() {
    let mut callers = Callers::new(7, |at| at.as_nanos() / 10_000_000 % 8 != 0);
    callers.run(60);
    assert_eq!((callers.calls, callers.breaker.state()), (6_000, BreakerState::Closed));
    let retries = callers.asked.len() - callers.calls;
    assert!(retries > 750 && retries <= 6_000 / 5 + 60 + 10, "{retries}");
    assert!(callers.failed < 10, "{} of 750 that failed at first", callers.failed);
}

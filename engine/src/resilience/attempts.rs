//! One call's policy: ask again, and when, or give up, and why.
//!
//! It decides after each failed attempt. It does not know the breaker: whoever asks again asks that first. A
//! body that has begun to reach a client is never asked for again here, for its reader has seen its bytes.

use crate::{
    language::{reason::OriginFailure, time::Instant},
    parts::random::Random,
    resilience::{backoff::Backoff, budget::Budget},
};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// After what an origin is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RetryWhen {
    /// After no answer: no connection, one that broke before the head, or a head that was late.
    NoAnswer,
    /// After an answer that says “not now”, too: 429, 502, 503 or 504, and what is not HTTP.
    TemporaryErrors,
}

/// How often to ask, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    pub(crate) when: RetryWhen,
    /// Attempts in all, the first included.
    pub(crate) attempts_max: u32,
    pub(crate) backoff: Backoff,
    /// A longer `Retry-After` is not waited for.
    pub(crate) retry_after_max: Duration,
}

/// Does it matter how often it is done?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatable {
    /// No (RFC 9110 section 9.2.2).
    Idempotent,
    /// Yes: it is repeated only when it certainly was not done.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the engine fetches with GET; durable writes will be of this kind")
    )]
    Once,
}

/// How an attempt failed, as far as asking again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It never reached them.
    Unsent,
    /// No answer came: it may or may not have been done.
    Unanswered,
    /// They said: not now, and perhaps when.
    Deferred(Option<Duration>),
    /// They would say the same again.
    Final,
}

impl Failed {
    /// What a failed fetch means for the next attempt. What was no HTTP was an answer, as a gateway's 502 is.
    pub(crate) const fn of_failure(when: RetryWhen, failure: OriginFailure) -> Self {
        match failure {
            OriginFailure::Unreachable => Self::Unsent,
            OriginFailure::TimedOut | OriginFailure::Broken => Self::Unanswered,
            OriginFailure::Malformed => match when {
                RetryWhen::NoAnswer => Self::Final,
                RetryWhen::TemporaryErrors => Self::Deferred(None),
            },
            OriginFailure::Unsendable
            | OriginFailure::TooShort
            | OriginFailure::TooLong
            | OriginFailure::Abandoned => Self::Final,
        }
    }

    /// What a response head means; `None` when it is not a failure to be asked about again. 500 never is: it
    /// is what this origin makes of this request, as nginx holds too.
    pub(crate) const fn of_status(
        when: RetryWhen,
        status: u16,
        retry_after: Option<Duration>,
    ) -> Option<Self> {
        match (when, status) {
            (RetryWhen::TemporaryErrors, 429 | 502 | 503 | 504) => Some(Self::Deferred(retry_after)),
            (RetryWhen::NoAnswer | RetryWhen::TemporaryErrors, _) => None,
        }
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Ask again.
    Retry {
        /// Not before; always before the deadline.
        at: Instant,
    },
    /// The failure stands.
    GiveUp(GiveUp),
}

/// Why a failure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// It would fail again.
    Final,
    /// It may have been done, and must not be done twice.
    MayBeDone,
    /// It was asked `attempts_max` times.
    AttemptsSpent,
    /// `Retry-After` is above `retry_after_max`. Coming earlier than told would be worse than not coming.
    RetryAfterTooLong,
    /// The next attempt would begin at or after the deadline.
    DeadlineTooNear,
    /// Too many others ask again already (I15).
    BudgetSpent,
    /// The origin's breaker is open: it would not be asked anyway. Who asks says so, not the machine.
    BreakerOpen,
    /// Everybody who waited has left. Who asks says so, not the machine.
    NobodyWaits,
}

/// One call, from its first attempt on.
#[derive(Debug)]
pub(crate) struct Attempts {
    repeatable: Repeatable,
    deadline: Instant,
    /// At least one: the first is made as this begins.
    made: u32,
}

impl Attempts {
    /// The first attempt is being made.
    pub(crate) const fn new(repeatable: Repeatable, deadline: Instant) -> Self {
        Self { repeatable, deadline, made: 1 }
    }

    /// An attempt failed. The budget is asked last, so that nobody pays for a retry that something else
    /// forbids.
    pub(crate) fn on_failed(
        &mut self,
        now: Instant,
        failed: Failed,
        policy: &RetryPolicy,
        budget: &mut Budget,
        random: &mut Random,
    ) -> Decision {
        let told = match (failed, self.repeatable) {
            (Failed::Final, Repeatable::Idempotent | Repeatable::Once) => {
                return Decision::GiveUp(GiveUp::Final);
            }
            (Failed::Unanswered | Failed::Deferred(_), Repeatable::Once) => {
                return Decision::GiveUp(GiveUp::MayBeDone);
            }
            (Failed::Deferred(told), Repeatable::Idempotent) => told.unwrap_or(Duration::ZERO),
            (Failed::Unsent, Repeatable::Idempotent | Repeatable::Once)
            | (Failed::Unanswered, Repeatable::Idempotent) => Duration::ZERO,
        };
        if self.made >= policy.attempts_max {
            return Decision::GiveUp(GiveUp::AttemptsSpent);
        }
        if told > policy.retry_after_max {
            return Decision::GiveUp(GiveUp::RetryAfterTooLong);
        }
        // On top of what was told, not instead: all who were told the same would come back at the same
        // moment.
        let wait = policy.backoff.delay(self.made - 1, random);
        let at = now.after(told.saturating_add(wait));
        if at >= self.deadline {
            return Decision::GiveUp(GiveUp::DeadlineTooNear);
        }
        if !budget.spend(now) {
            return Decision::GiveUp(GiveUp::BudgetSpent);
        }
        self.made += 1;
        Decision::Retry { at }
    }

    /// Attempts made, or decided on.
    pub(crate) const fn made(&self) -> u32 {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        parts::random::Seed,
        resilience::{backoff::Jitter, budget::Allowance},
    };
    use proptest::prelude::*;

    const POLICY: RetryPolicy = RetryPolicy {
        when: RetryWhen::TemporaryErrors,
        attempts_max: 3,
        backoff: Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_millis(1_000),
            jitter: Jitter::Full,
        },
        retry_after_max: Duration::from_secs(2),
    };

    fn at(millis: u64) -> Instant {
        Instant::ZERO.after(Duration::from_millis(millis))
    }

    fn budget(burst: u32) -> Budget {
        Budget::new(Allowance { percent: 0, floor_per_s: 0, burst }, at(0))
    }

    /// The first failure at 0 ms of a call with a deadline at 10 s, with retries to spare.
    fn first_decision(repeatable: Repeatable, failed: Failed) -> Decision {
        Attempts::new(repeatable, at(10_000)).on_failed(
            at(0),
            failed,
            &POLICY,
            &mut budget(9),
            &mut Seed(7).split("retries"),
        )
    }

    /// What may be repeated is, what may have been done once and must not be done twice is not.
    #[test]
    fn only_what_is_safe_is_repeated() {
        let second = Duration::from_secs(1);
        let table = [
            (Repeatable::Idempotent, Failed::Unsent, None),
            (Repeatable::Idempotent, Failed::Unanswered, None),
            (Repeatable::Idempotent, Failed::Deferred(None), None),
            (Repeatable::Idempotent, Failed::Deferred(Some(second)), None),
            (Repeatable::Idempotent, Failed::Deferred(Some(3 * second)), Some(GiveUp::RetryAfterTooLong)),
            (Repeatable::Idempotent, Failed::Final, Some(GiveUp::Final)),
            (Repeatable::Once, Failed::Unsent, None),
            (Repeatable::Once, Failed::Unanswered, Some(GiveUp::MayBeDone)),
            (Repeatable::Once, Failed::Deferred(None), Some(GiveUp::MayBeDone)),
            (Repeatable::Once, Failed::Final, Some(GiveUp::Final)),
        ];
        for (repeatable, failed, expected) in table {
            let decision = first_decision(repeatable, failed);
            let given_up = match decision {
                Decision::Retry { at: then } => {
                    assert!(then <= at(1_100), "{repeatable:?} {failed:?}: {then:?}");
                    None
                }
                Decision::GiveUp(why) => Some(why),
            };
            assert_eq!(given_up, expected, "{repeatable:?} {failed:?}");
        }
    }

    /// What the origin's word or silence means for the next attempt.
    #[test]
    fn only_what_may_go_better_is_a_failure_to_ask_about_again() {
        use RetryWhen::{NoAnswer, TemporaryErrors};
        for status in [200, 304, 404, 408, 500, 501, 505] {
            assert_eq!(Failed::of_status(TemporaryErrors, status, Some(Duration::ZERO)), None, "{status}");
        }
        for status in [429, 502, 503, 504] {
            for told in [None, Some(Duration::from_secs(7))] {
                let deferred = Some(Failed::Deferred(told));
                assert_eq!(Failed::of_status(TemporaryErrors, status, told), deferred, "{status}");
                assert_eq!(Failed::of_status(NoAnswer, status, told), None, "{status}");
            }
        }
        for when in [NoAnswer, TemporaryErrors] {
            assert_eq!(Failed::of_failure(when, OriginFailure::Unreachable), Failed::Unsent);
            assert_eq!(Failed::of_failure(when, OriginFailure::TimedOut), Failed::Unanswered);
            assert_eq!(Failed::of_failure(when, OriginFailure::Broken), Failed::Unanswered);
            assert_eq!(Failed::of_failure(when, OriginFailure::TooShort), Failed::Final);
            assert_eq!(Failed::of_failure(when, OriginFailure::Unsendable), Failed::Final);
        }
        assert_eq!(Failed::of_failure(NoAnswer, OriginFailure::Malformed), Failed::Final);
        assert_eq!(Failed::of_failure(TemporaryErrors, OriginFailure::Malformed), Failed::Deferred(None));
    }

    /// `Retry-After: 1` is waited for whole, and a little longer, so that those who were told so spread out.
    #[test]
    fn retry_after_is_honoured() {
        let told = Failed::Deferred(Some(Duration::from_secs(1)));
        let Decision::Retry { at: then } = first_decision(Repeatable::Idempotent, told) else {
            unreachable!("one second is within the bound of two");
        };
        assert!(then > at(1_000) && then <= at(1_100), "{then:?}");
    }

    /// Three attempts and no fourth, and the waits grow with the ceiling (failure R3).
    #[test]
    fn attempts_end() {
        let mut call = Attempts::new(Repeatable::Idempotent, at(10_000));
        let (mut budget, mut random) = (budget(9), Seed(7).split("retries"));
        let mut ask = |call: &mut Attempts| {
            call.on_failed(at(0), Failed::Unanswered, &POLICY, &mut budget, &mut random)
        };
        assert!(matches!(ask(&mut call), Decision::Retry { at: then } if then > at(0) && then <= at(100)));
        assert!(matches!(ask(&mut call), Decision::Retry { at: then } if then > at(0) && then <= at(200)));
        assert_eq!(ask(&mut call), Decision::GiveUp(GiveUp::AttemptsSpent));
        assert_eq!(call.made(), 3);
    }

    /// One retry in the budget, two calls: the second gives up. A call that the deadline forbids pays
    /// nothing.
    #[test]
    fn the_budget_is_shared_and_asked_last() {
        let (mut budget, mut random) = (budget(1), Seed(7).split("retries"));
        let mut ask = |deadline| {
            let mut call = Attempts::new(Repeatable::Idempotent, deadline);
            call.on_failed(at(0), Failed::Unanswered, &POLICY, &mut budget, &mut random)
        };
        assert_eq!(ask(at(0)), Decision::GiveUp(GiveUp::DeadlineTooNear));
        assert!(matches!(ask(at(10_000)), Decision::Retry { .. }));
        assert_eq!(ask(at(10_000)), Decision::GiveUp(GiveUp::BudgetSpent));
    }

    proptest! {
        /// Whatever fails when and however: each retry lies ahead, before the deadline, and there are never
        /// too many.
        #[test]
        fn retries_lie_ahead_and_before_the_deadline(
            deadline in 0_u64..5_000, seed in any::<u64>(), burst in 0_u32..4,
            failures in proptest::collection::vec((0_u64..1_500, 0_u64..3_000, 0_u8..4), 1..8),
        ) {
            let mut call = Attempts::new(Repeatable::Idempotent, at(deadline));
            let (mut budget, mut random) = (budget(burst), Seed(seed).split("retries"));
            let (mut now, mut retries) = (at(0), 0);
            for (pause, told, kind) in failures {
                now = now.after(Duration::from_millis(pause));
                let failed = match kind {
                    0 => Failed::Unsent,
                    1 => Failed::Unanswered,
                    2 => Failed::Deferred(None),
                    _ => Failed::Deferred(Some(Duration::from_millis(told))),
                };
                let Decision::Retry { at: then } = call.on_failed(now, failed, &POLICY, &mut budget, &mut random)
                else {
                    break;
                };
                prop_assert!(then >= now && then < at(deadline), "{then:?}");
                if let Failed::Deferred(Some(told)) = failed {
                    prop_assert!(then >= now.after(told) && told <= POLICY.retry_after_max);
                }
                (now, retries) = (then, retries + 1);
            }
            prop_assert!(retries <= burst.min(POLICY.attempts_max - 1));
            prop_assert_eq!(call.made(), retries + 1);
        }
    }
}

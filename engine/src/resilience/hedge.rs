//! A second read from a tier when the first is slower than most.
//!
//! [`Hedging`] belongs to a tier: it learns how long reads take and says when one is late, and it holds the
//! budget that bounds how many are asked twice. [`Race`] belongs to one read: the first answer wins, the
//! other is cancelled and ignored. For reads only: who asks twice must not mind being served twice. It does
//! not say where the second goes.
//!
//! The estimator is a logarithmic histogram: sixteen steps for each doubling, from 1 µs to 67 s, counts
//! halved when there are many, so the recent weigh most. It answers at most 1/16 above the true quantile, in
//! 1.5 KiB, whatever comes (failure A9).

use crate::{
    language::{id::OpId, time::Instant},
    resilience::budget::{Allowance, Budget},
};
use core::time::Duration;

/// When to ask a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HedgePolicy {
    /// A read is late when it takes longer than this share of recent ones.
    pub(crate) quantile_percent: u32,
    /// It is never late before this.
    pub(crate) delay_min: Duration,
    /// How many may be asked twice.
    pub(crate) allowance: Allowance,
}

/// What one tier's reads are like, and how many of them were asked twice.
#[derive(Debug)]
pub(crate) struct Hedging {
    policy: HedgePolicy,
    latencies: Latencies,
    budget: Budget,
}

impl Hedging {
    pub(crate) fn new(policy: HedgePolicy, now: Instant) -> Self {
        Self { policy, latencies: Latencies::new(), budget: Budget::new(policy.allowance, now) }
    }

    /// A read begins as `op`.
    pub(crate) fn begin(&mut self, now: Instant, op: OpId) -> Race {
        self.budget.on_request(now);
        let late_at = self
            .latencies
            .quantile(self.policy.quantile_percent)
            .map(|usual| now.after(usual.max(self.policy.delay_min)));
        Race::Alone { op, since: now, late_at }
    }
}

/// One read.
///
/// ```text
/// Alone ──late, and the budget allows──▶ Both ──first answer──▶ Over
///   │                                     ╰─one failed─▶ Alone (never late again)
///   ╰──answer, or failed──▶ Over
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Race {
    /// One operation runs. It is late at `late_at`, if that matters any more.
    Alone { op: OpId, since: Instant, late_at: Option<Instant> },
    /// Two run, the older one first.
    Both { older: (OpId, Instant), younger: (OpId, Instant) },
    /// It is decided; whatever still comes is ignored.
    Over,
}

/// How an operation of a race ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With what was asked for, or the tier's word that it does not have it.
    Given,
    /// With neither.
    Failed,
}

/// What an answer means for the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RaceStep {
    /// It is the read's answer. The operation named is to be cancelled and its answer ignored.
    Won {
        /// The other one, if there was one.
        cancel: Option<OpId>,
    },
    /// It failed, and the other one still runs.
    OtherRuns,
    /// It failed, and it was the only one.
    Lost,
    /// It is of no interest: the race is over, or it was never in it.
    Ignored,
}

impl Race {
    /// Is it time for a second read, and may there be one? `true` at most once: the caller then begins one
    /// and reports it with [`Race::on_hedged`].
    #[must_use]
    pub(crate) fn on_wake(&mut self, now: Instant, hedging: &mut Hedging) -> bool {
        match self {
            Self::Alone { late_at, .. } if late_at.is_some_and(|late_at| late_at <= now) => {
                *late_at = None;
                hedging.budget.spend(now)
            }
            Self::Alone { .. } | Self::Both { .. } | Self::Over => false,
        }
    }

    /// The second read was begun as `op`.
    pub(crate) fn on_hedged(&mut self, now: Instant, op: OpId) {
        let Self::Alone { op: older, since, late_at: None } = *self else {
            unreachable!("a second read for {self:?}");
        };
        *self = Self::Both { older: (older, since), younger: (op, now) };
    }

    /// An operation ended.
    pub(crate) fn on_answer(
        &mut self,
        now: Instant,
        op: OpId,
        answer: Answer,
        hedging: &mut Hedging,
    ) -> RaceStep {
        let (ended, other) = match *self {
            Self::Alone { op: only, since, .. } if only == op => (since, None),
            Self::Both { older, younger } if older.0 == op => (older.1, Some(younger)),
            Self::Both { older, younger } if younger.0 == op => (younger.1, Some(older)),
            Self::Alone { .. } | Self::Both { .. } | Self::Over => return RaceStep::Ignored,
        };
        match (answer, other) {
            (Answer::Given, other) => {
                hedging.latencies.record(now.since(ended));
                if let Some((_, since)) = other {
                    // The loser took at least this long. Without it, only the quick would be counted, and the
                    // measure of “late” would sink with each hedge.
                    hedging.latencies.record(now.since(since));
                }
                *self = Self::Over;
                RaceStep::Won { cancel: other.map(|(op, _)| op) }
            }
            (Answer::Failed, Some((op, since))) => {
                *self = Self::Alone { op, since, late_at: None };
                RaceStep::OtherRuns
            }
            (Answer::Failed, None) => {
                *self = Self::Over;
                RaceStep::Lost
            }
        }
    }

    /// When it is late.
    pub(crate) const fn poll_wake(&self) -> Option<Instant> {
        match self {
            Self::Alone { late_at, .. } => *late_at,
            Self::Both { .. } | Self::Over => None,
        }
    }

    /// What still runs, when its reader leaves.
    pub(crate) const fn running(&self) -> [Option<OpId>; 2] {
        match self {
            Self::Alone { op, .. } => [Some(*op), None],
            Self::Both { older, younger } => [Some(older.0), Some(younger.0)],
            Self::Over => [None, None],
        }
    }
}

/// Steps of the histogram for each doubling.
const STEPS: u64 = 16;
/// One in its first step: what lies below is not told apart.
const UNIT_NANOS: u64 = 1_000;
/// Doublings told apart above the first `STEPS` units.
const DOUBLINGS: u64 = 22;
const SLOTS: usize = (STEPS * (DOUBLINGS + 1)) as usize;
/// Too few samples say nothing about what is usual.
const SAMPLES_MIN: u32 = 100;
/// At this many, all counts are halved: old samples fade, and no count overflows.
const SAMPLES_MAX: u32 = 4_096;
const _: () =
    assert!(SAMPLES_MIN < SAMPLES_MAX / 2, "halving must not make the estimator forget what is usual");

/// How long reads took of late.
#[derive(Debug)]
struct Latencies {
    counts: [u32; SLOTS],
    total: u32,
}

impl Latencies {
    const fn new() -> Self {
        Self { counts: [0; SLOTS], total: 0 }
    }

    fn record(&mut self, latency: Duration) {
        if self.total >= SAMPLES_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        let units = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX) / UNIT_NANOS;
        self.counts[slot(units)] += 1;
        self.total += 1;
    }

    /// What `percent` of the samples did not exceed, rounded up to a step; `None` while there are too few.
    fn quantile(&self, percent: u32) -> Option<Duration> {
        if self.total < SAMPLES_MIN {
            return None;
        }
        let wanted = (u64::from(self.total) * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        let slot = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted.max(1)
        });
        slot.map(|slot| Duration::from_nanos(first_above(slot).saturating_mul(UNIT_NANOS)))
    }
}

/// The slot that counts `units`: one unit wide below `STEPS`, then `STEPS` slots for each doubling.
fn slot(units: u64) -> usize {
    let doubling = u64::from((units / STEPS).checked_ilog2().map_or(0, |log| log + 1));
    let step = if doubling == 0 { units } else { (units >> (doubling - 1)) - STEPS };
    let slot = doubling * STEPS + step;
    usize::try_from(slot).map_or(SLOTS - 1, |slot| slot.min(SLOTS - 1))
}

/// The least number of units that is above a slot.
fn first_above(slot: usize) -> u64 {
    let (doubling, step) = (slot as u64 / STEPS, slot as u64 % STEPS);
    if doubling == 0 { step + 1 } else { (STEPS + step + 1) << (doubling - 1) }
}

#[cfg(test)]
mod tests;

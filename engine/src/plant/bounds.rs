//! Faults that are a bound off: the engine gets another configuration than the one it was given.
//!
//! Whoever checks the engine holds the true one, and so sees the fault.

use super::Fault;
use crate::{
    config::{Config, OnAbandon, Promotion},
    language::units::ByteCount,
    resilience::budget::Allowance,
};
use alloc::sync::Arc;
use core::time::Duration;

/// What stands for a time without an end.
pub(super) const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// A budget that is never spent.
const BOUNDLESS: Allowance = Allowance { percent: 100, floor_per_s: 1_000, burst: 10_000 };

/// The configuration that an engine with this fault runs on; the same one, if the fault is none of a bound.
pub(super) fn of(fault: Fault, mut config: Config) -> Config {
    match fault {
        Fault::X1 => set_gates(&mut config, |gate| gate.plus(1)),
        Fault::X2 => set_gates(&mut config, |gate| ByteCount(gate.0.saturating_sub(1))),
        Fault::X3 => set_gates(&mut config, |_| ByteCount::UNLIMITED),
        Fault::A4 => set_capacities(&mut config, |_| ByteCount::UNLIMITED),
        Fault::X42 => set_capacities(&mut config, |capacity| capacity.plus(1)),
        Fault::A8 => config.window = u64::MAX,
        Fault::R11 => config.fills_max = usize::MAX,
        Fault::X9 => config.lane_chunks_max += 1,
        Fault::X10 => config.waiters_max += 1,
        Fault::X11 => config.fills_max += 1,
        Fault::X32 => config.on_abandon = OnAbandon::Finish,
        Fault::X97 => {
            config.whole_for_part_max = config.whole_for_part_max.map(|_| ByteCount::UNLIMITED);
        }
        Fault::X36 => config.resilience.retry.attempts_max += 1,
        Fault::X37 => config.resilience.retry_allowance = BOUNDLESS,
        Fault::X65 => config.resilience.deadline.chunk_max = FOR_EVER,
        Fault::X102 => config.resilience.deadline.store_max = FOR_EVER,
        Fault::X68 => config.resilience.deadline.answer_max = FOR_EVER,
        Fault::X6 => config.policy.stale_if_error = FOR_EVER,
        Fault::X75 if !config.uncacheable.is_zero() => config.uncacheable = FOR_EVER,
        Fault::X40 => set_promotions(&mut config, |promotion| match promotion {
            Promotion::Never => Promotion::OnStreamCommitAtFinish,
            other @ (Promotion::OnStreamCommitAtFinish
            | Promotion::NeverIfLengthUnknown
            | Promotion::AfterHits(_)) => other,
        }),
        Fault::X66 => set_promotions(&mut config, |promotion| match promotion {
            Promotion::AfterHits(hits) => Promotion::AfterHits(hits.saturating_sub(1)),
            other @ (Promotion::Never
            | Promotion::OnStreamCommitAtFinish
            | Promotion::NeverIfLengthUnknown) => other,
        }),
        _ => {}
    }
    config
}

fn set_gates(config: &mut Config, changed: impl Fn(ByteCount) -> ByteCount) {
    if let Some(l0) = &mut config.l0 {
        l0.gate = changed(l0.gate);
    }
    for tier in Arc::make_mut(&mut config.tiers) {
        tier.gate = changed(tier.gate);
    }
}

fn set_capacities(config: &mut Config, changed: impl Fn(ByteCount) -> ByteCount) {
    if let Some(l0) = &mut config.l0 {
        l0.capacity = changed(l0.capacity);
    }
    for tier in Arc::make_mut(&mut config.tiers) {
        tier.capacity = changed(tier.capacity);
    }
}

fn set_promotions(config: &mut Config, changed: impl Fn(Promotion) -> Promotion) {
    for tier in Arc::make_mut(&mut config.tiers) {
        for (_, promotion) in tier.promotes.iter_mut().flatten() {
            *promotion = changed(*promotion);
        }
    }
}

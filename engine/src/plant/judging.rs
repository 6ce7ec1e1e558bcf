//! Faults of a clock: what they make of a stored response's age and times.

use super::Fault;
use crate::{
    language::{record::Freshness, time::Instant},
    rules::reuse,
};
use core::time::Duration;

pub(super) fn of(
    fault: Fault,
    mut stored: reuse::Stored,
    freshness: &Freshness,
    now: Instant,
) -> reuse::Stored {
    let moment = Duration::from_nanos(1);
    match fault {
        Fault::X4 => stored.lifetime = stored.lifetime.saturating_add(moment),
        Fault::X5 if !stored.windows.while_revalidate.is_zero() => {
            stored.windows.while_revalidate = stored.windows.while_revalidate.saturating_add(moment);
        }
        Fault::X13 => {
            let millis = |at: Instant| u64::from(u32::MAX) & (at.as_nanos() / 1_000_000);
            let passed = millis(now).saturating_sub(millis(freshness.as_of));
            stored.age = freshness.age_then.saturating_add(Duration::from_millis(passed));
        }
        _ => {}
    }
    stored
}

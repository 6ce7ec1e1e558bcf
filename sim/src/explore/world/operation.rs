//! What an effect is to a store: for which it is, whether it changes anything, and which answer says that it
//! failed.

use tiergate_engine::{Answer, Effect, Input, ReadFailure, Symbol, TierId, durable::Told};

/// Which store is asked; none, if it is not a store.
const fn store_of(effect: &Effect<Symbol>) -> Option<TierId> {
    match effect {
        Effect::Durable { .. } | Effect::OpenBlob { .. } => Some(TierId::L3),
        Effect::Lookup { tier, .. }
        | Effect::Read { tier, .. }
        | Effect::Release { tier, .. }
        | Effect::Open { tier, .. }
        | Effect::Write { tier, .. }
        | Effect::Commit { tier, .. }
        | Effect::Discard { tier, .. }
        | Effect::Freshen { tier, .. }
        | Effect::StoreBan { tier, .. }
        | Effect::Delete { tier, .. } => Some(*tier),
        Effect::Fetch { .. }
        | Effect::Adopt { .. }
        | Effect::Pull { .. }
        | Effect::Cancel { .. }
        | Effect::Serve { .. }
        | Effect::Body { .. }
        | Effect::Finish { .. }
        | Effect::Pass { .. }
        | Effect::Refuse { .. }
        | Effect::PurgeDone { .. } => None,
    }
}

/// Is it for the durable tier?
pub(in crate::explore) fn is_durable(effect: &Effect<Symbol>) -> bool {
    store_of(effect) == Some(TierId::L3)
}

/// The answer that says an operation failed; none for what wants no answer.
pub(in crate::explore) fn failure(effect: &Effect<Symbol>) -> Option<Input<Symbol>> {
    match effect {
        Effect::Lookup { op, .. } => Some(Answer::LookupFailed.to(*op)),
        Effect::Read { op, .. } => Some(Answer::ReadFailed { why: ReadFailure::Unavailable }.to(*op)),
        Effect::Open { op, .. }
        | Effect::Write { op, .. }
        | Effect::Commit { op, .. }
        | Effect::StoreBan { op, .. }
        | Effect::Freshen { op, .. } => Some(Answer::WriteFailed.to(*op)),
        Effect::Delete { op, .. } => Some(Answer::DeleteFailed.to(*op)),
        Effect::Durable { op, .. } | Effect::OpenBlob { op, .. } => {
            Some(Answer::DurableTold { told: Told::Unknown }.to(*op))
        }
        Effect::Release { .. }
        | Effect::Discard { .. }
        | Effect::Fetch { .. }
        | Effect::Adopt { .. }
        | Effect::Pull { .. }
        | Effect::Cancel { .. }
        | Effect::Serve { .. }
        | Effect::Body { .. }
        | Effect::Finish { .. }
        | Effect::Pass { .. }
        | Effect::Refuse { .. }
        | Effect::PurgeDone { .. } => None,
    }
}

/// Does the operation change what others, or a later life, find in the tier?
pub(in crate::explore) const fn is_published_by(effect: &Effect<Symbol>) -> bool {
    matches!(
        effect,
        Effect::Commit { .. }
            | Effect::Freshen { .. }
            | Effect::Delete { .. }
            | Effect::StoreBan { .. }
            | Effect::Durable { .. }
    )
}

/// Does the operation change what the tier holds? Of one that does not, a lost answer is all there is to a
/// failure.
pub(in crate::explore) const fn changes(effect: &Effect<Symbol>) -> bool {
    matches!(
        effect,
        Effect::Open { .. }
            | Effect::Write { .. }
            | Effect::Commit { .. }
            | Effect::Freshen { .. }
            | Effect::StoreBan { .. }
            | Effect::Delete { .. }
    )
}

/// Which byte tier is asked.
pub(in crate::explore) fn tier_of(effect: &Effect<Symbol>) -> TierId {
    let tier =
        store_of(effect).filter(|_| !matches!(effect, Effect::Durable { .. } | Effect::OpenBlob { .. }));
    tier.unwrap_or_else(|| unreachable!("not a tier's effect: {effect:?}"))
}

//! Which tiers and origins can be asked: who failed, was late or is not asked for a while.

use super::Event;
use crate::{
    language::{
        id::{OpId, TierId},
        key::CacheKey,
        reason::{Dependency, Late},
        time::Instant,
        units::ByteCount,
    },
    resilience::breaker::BreakerState,
};

/// Which tiers and origins can be asked: who failed, was late or is not asked for a while.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResilienceEvent {
    /// A local tier can be asked from now on.
    TierJoined {
        tier: TierId,
        /// How many records it holds.
        objects: u64,
        /// What they take up there.
        bytes: ByteCount,
    },
    /// A tier failed an operation.
    TierFailed { tier: TierId, operation: TierOperation },
    /// A tier was not asked, because it has failed too often of late.
    TierSkipped { tier: TierId, operation: TierOperation, until: Instant },
    /// What a tier holds turned out not to be what was written.
    FoundRotten { tier: TierId, key: CacheKey },
    /// A tier or origin is asked more or less than before.
    BreakerChanged { who: Dependency, state: BreakerState },
    /// The outside did not answer in time; what it may still say is ignored.
    DeadlineMissed { key: CacheKey, what: Late },
    /// An answer came for an operation that was no longer of interest.
    LateAnswer { op: OpId },
}

impl From<ResilienceEvent> for Event {
    fn from(event: ResilienceEvent) -> Self {
        Self::Resilience(event)
    }
}

/// What was asked of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierOperation {
    /// A lookup.
    Lookup,
    /// A read.
    Read,
    /// Opening, writing or committing a record.
    Write,
    /// A delete.
    Delete,
}

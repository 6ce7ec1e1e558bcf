//! Copies into a tier: begun, given up, or not wanted.

use super::Event;
use crate::language::{
    id::{FillId, RecordName, RequestId, TierId},
    key::CacheKey,
    reason::{LaneEnd, Rejection},
};

/// Copies into a tier: begun, given up, or not wanted.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEvent {
    /// A copy into a tier began.
    LaneOpened {
        tier: TierId,
        key: CacheKey,
        /// Its record's name; none in L0.
        name: Option<RecordName>,
        /// The tier it is copied from, and the request that this answers; none for what the origin sends.
        promotes: Option<(TierId, RequestId)>,
    },
    /// A copy into a tier was given up: it will never be visible.
    LaneDropped {
        tier: TierId,
        key: CacheKey,
        /// Its record's name; none in L0.
        name: Option<RecordName>,
        why: LaneEnd,
    },
    /// The lowest byte tier has the last word on a fill (D1): is the response kept, or why not? Told once for
    /// each shared fill that may be stored, after its copy there has ended. No client waits for it.
    Filled { fill: FillId, key: CacheKey, tier: TierId, verdict: FillVerdict },
    /// A tier did not take an object.
    Rejected { tier: TierId, key: CacheKey, why: Rejection },
}

impl From<CopyEvent> for Event {
    fn from(event: CopyEvent) -> Self {
        Self::Copy(event)
    }
}

/// What a tier made of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillVerdict {
    /// It is visible there.
    Stored,
    /// The tier did not begin to take it.
    Rejected(Rejection),
    /// The copy was given up.
    Dropped(LaneEnd),
}

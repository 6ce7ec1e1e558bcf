//! What became of a client's request. Each event names the request.

use super::Event;
use crate::language::{
    effect::StaleUse,
    id::{FillId, RequestId, TierId},
    key::CacheKey,
    reason::{Bypass, End, MissReason, Refusal},
    units::ByteCount,
};

/// What became of a client's request. Each event names the request.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// A client asked.
    Requested { request: RequestId, key: CacheKey },
    /// A tier answered.
    Hit { request: RequestId, key: CacheKey, tier: TierId },
    /// A tier answered with what is past its lifetime.
    ServedStale { request: RequestId, key: CacheKey, tier: TierId, why: StaleUse },
    /// A tier answered after the origin agreed.
    Revalidated { request: RequestId, key: CacheKey, tier: TierId },
    /// No tier answered.
    Missed { request: RequestId, key: CacheKey, reason: MissReason },
    /// A request joined a lookup or fetch that another had begun.
    Collapsed { request: RequestId, key: CacheKey },
    /// A request came too late to read a fill from its first byte, and fetches for itself.
    AttachRefused { request: RequestId, fill: FillId },
    /// The last leader failed before its head; one waiter asks the origin anew.
    LeaderReplaced {
        /// The fetch that failed.
        fill: FillId,
        /// The request that leads now.
        request: RequestId,
    },
    /// A request gets a part of a body that is arriving, of this length.
    FollowsPart { request: RequestId, key: CacheKey, length: ByteCount },
    /// A read is later than most, and was asked for a second time.
    Hedged { request: RequestId, tier: TierId },
    /// A request goes around the cache.
    Passed { request: RequestId, bypass: Bypass },
    /// A client got an error.
    Refused { request: RequestId, refusal: Refusal },
    /// A response ended.
    Served {
        request: RequestId,
        key: CacheKey,
        /// Body bytes handed over.
        sent: ByteCount,
        end: End,
    },
}

impl From<RequestEvent> for Event {
    fn from(event: RequestEvent) -> Self {
        Self::Request(event)
    }
}

//! What the origin was asked, and what it answered.

use super::Event;
use crate::{
    language::{
        head::Length,
        id::{FillId, OriginId},
        key::CacheKey,
        reason::{NotStorable, OriginFailure, Storable},
        time::Instant,
        units::ByteCount,
    },
    resilience::attempts::GiveUp,
};
use core::time::Duration;

/// What the origin was asked, and what it answered.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// The origin was asked.
    Fetched {
        fill: FillId,
        /// The target's.
        key: CacheKey,
        /// The key of the variant, as far as that is known; otherwise the target's.
        variant: CacheKey,
        origin: OriginId,
        purpose: Purpose,
    },
    /// The origin's head came.
    HeadArrived {
        fill: FillId,
        /// The target's.
        key: CacheKey,
        /// The key of the variant that this is; the target's, where it has none.
        variant: CacheKey,
        status: u16,
        length: Length,
        storable: Storable,
    },
    /// The answer to a request that went around the cache is being stored, for it is what a GET would get.
    Adopted {
        fill: FillId,
        /// The target's.
        key: CacheKey,
        /// The key of the variant that this is; the target's, where it has none.
        variant: CacheKey,
        length: Length,
        /// How long ago its request was sent. What purged the key since, beside that request itself, would
        /// have kept it from being stored.
        sent_ago: Duration,
    },
    /// An answer that could have been adopted is not.
    NotAdopted { key: CacheKey, why: NotAdopted },
    /// No more of an adopted answer will come.
    AdoptionEnded {
        fill: FillId,
        key: CacheKey,
        /// Body bytes that came.
        received: ByteCount,
        end: FetchEnd,
    },
    /// A key's response cannot be stored: for a while its requests do not wait for one another.
    FoundUncacheable { key: CacheKey, why: NotStorable },
    /// The origin's part is over.
    FetchEnded {
        fill: FillId,
        key: CacheKey,
        /// Body bytes that came.
        received: ByteCount,
        end: FetchEnd,
    },
    /// An attempt at the origin failed, and another one will be made.
    Retried {
        /// The fetch that failed.
        fill: FillId,
        /// The fetch that will be made.
        next: FillId,
        key: CacheKey,
        /// Which attempt that is; the first was 1.
        attempt: u32,
        /// When it will be made.
        at: Instant,
    },
    /// An attempt at the origin failed, and no other will be made for whoever led it.
    GaveUp {
        /// The fetch that failed, or that would have been made.
        fill: FillId,
        why: GiveUp,
    },
}

impl From<FetchEvent> for Event {
    fn from(event: FetchEvent) -> Self {
        Self::Fetch(event)
    }
}

/// For whom the origin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For everybody who asks for the key.
    Shared,
    /// The same, and so far nobody has asked for more than a part, or the head. It may go on for the tiers
    /// though nobody reads it, up to a bound.
    Part,
    /// For one request, because its key's response may not be shared or it came too late to share.
    Private,
}

/// Why an answer to a request that went around the cache is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdopted {
    /// It may not be.
    Forbidden(NotStorable),
    /// It would have to be revalidated before its first use.
    Stale,
    /// Its key was purged since the request was sent: it may be from before that.
    Purged,
    /// `collapse.fills_max` fetches are under way already.
    TooManyFills,
    /// There is no tier in memory.
    NoMemory,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// The whole body came.
    Complete,
    /// The origin failed.
    Failed(OriginFailure),
    /// Nobody wanted it any more.
    Cancelled,
}

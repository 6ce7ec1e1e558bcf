//! A fill: the journey of one response from a miss to its readers and its tiers.
//!
//! Only the state, and what can be computed from it alone. The steps stand beside it: `looking`, `asking`,
//! `heads`, `streams`.

use super::{followers::Followers, slots::Slot, window::Window};
use crate::{
    config::{ByteTier, Config, OnAbandon},
    durable::Seen,
    language::{
        chunk::Chunk,
        head::{Head, Length, RequestHead},
        id::{OpId, OriginId, RecordId, RequestId},
        key::{CacheKey, StoredKey},
        reason::{Bypass, MissReason, OriginFailure},
        record::Freshness,
        selector::TargetUri,
        time::{Instant, WallTime},
        units::ByteCount,
    },
    machine::{copying::Copies, stored::Stored},
    resilience::attempts::Attempts,
    rules::{self, ByteRange, Portion, Staleness},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::time::Duration;

/// One response on its way to those who wait for it.
///
/// ```text
/// Looking ──absent, failed, stale──▶ Looking in the next tier ──none left──▶ Asking ──head──▶ Streaming ──▶ done
///    ╰──found──▶ done: its waiters read the record        Resting ◀──failed──╯ │ ▲
///                                                            ╰──its time came──┼─╯
///                                                                              ╰──failed for good──▶ one waiter leads anew
/// ```
#[derive(Debug)]
pub(in crate::machine) struct Fill<C> {
    pub(in crate::machine) context: FetchContext<C>,
    pub(in crate::machine) stage: Stage<C>,
}

impl<C> Fill<C> {
    /// The response's head, once it has come.
    pub(in crate::machine) fn head(&self) -> Option<&Head> {
        match &self.stage {
            Stage::Streaming(stream) => Some(&stream.head),
            Stage::Looking { .. } | Stage::Asking(_) | Stage::Resting { .. } => None,
        }
    }
}

/// What a fill is for, whatever its stage.
#[derive(Debug)]
pub(in crate::machine) struct FetchContext<C> {
    /// What is asked for: the target, or one variant of it.
    pub(in crate::machine) key: CacheKey,
    /// What was asked for, whichever variant it is.
    pub(in crate::machine) target: CacheKey,
    /// Where that is.
    pub(in crate::machine) uri: TargetUri,
    /// Who is asked when no tier can answer.
    pub(in crate::machine) origin: OriginId,
    pub(in crate::machine) sharing: Sharing,
    /// Why no tier could answer, as far as they were asked.
    pub(in crate::machine) reason: MissReason,
    /// What a tier has under the key, but may not be used without the origin's word.
    pub(in crate::machine) stored: Option<Stored<C>>,
    /// The request of a fill that goes on though nobody waits for it: a background
    /// revalidation.
    pub(in crate::machine) background: Option<Arc<RequestHead>>,
    /// Does everybody want a part of it only, or its head? Then it is fetched for the tiers, up to a bound.
    pub(in crate::machine) is_for_part: bool,
    /// Is it the answer to a request that went around the cache? Nobody joins it.
    pub(in crate::machine) is_adopted: bool,
    /// What the durable tier's index said before the fetch. Without it nothing is stored there.
    pub(in crate::machine) snapshot: Option<Box<IndexSnapshot>>,
}

/// What a durable lookup saw, and when.
#[derive(Clone, Debug)]
pub(in crate::machine) struct IndexSnapshot {
    pub(in crate::machine) seen: Seen,
    pub(in crate::machine) at: Instant,
}

impl<C> FetchContext<C> {
    /// One that has found nothing yet, and that somebody waits for.
    pub(in crate::machine) const fn new(
        at: StoredKey,
        uri: TargetUri,
        origin: OriginId,
        sharing: Sharing,
        reason: MissReason,
    ) -> Self {
        let StoredKey { target, key } = at;
        Self {
            key,
            target,
            uri,
            origin,
            sharing,
            reason,
            stored: None,
            background: None,
            is_for_part: false,
            is_adopted: false,
            snapshot: None,
        }
    }

    /// The same for a variant of the target, of which nothing is known yet.
    pub(in crate::machine) fn alike(&self, variant: CacheKey) -> Self {
        let at = StoredKey { target: self.target, key: variant };
        Self::new(at, self.uri.clone(), self.origin, self.sharing, self.reason)
    }

    /// Where its response is stored.
    pub(in crate::machine) const fn at(&self) -> StoredKey {
        StoredKey { target: self.target, key: self.key }
    }
}

/// Who may join a fill, and whether it may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Sharing {
    /// Whoever asks for the key joins; tiers may keep the response.
    Open,
    /// Nobody joins any more, nothing of it is kept: a purge came, or the response may not be shared.
    Closed,
    /// It was begun for one request only.
    Private,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most fills come to stream, and a box would be an allocation each"
)]
pub(in crate::machine) enum Stage<C> {
    /// A byte tier was asked; by one operation, but for L3.
    Looking { waiters: Vec<RequestId>, op: Option<OpId>, tier: ByteTier, record: RecordId },
    /// The origin was asked.
    Asking(Asked),
    /// The origin failed, and is asked again when the agenda of retries says.
    Resting { waiters: Vec<RequestId>, tries: Tries },
    /// The origin's body is arriving, or has arrived and is not yet with everybody.
    Streaming(Stream<C>),
}

/// One attempt at the origin whose head has not come.
#[derive(Debug)]
pub(in crate::machine) struct Asked {
    pub(super) waiters: Vec<RequestId>,
    pub(super) op: OpId,
    pub(super) since: Instant,
    pub(super) tries: Tries,
    pub(super) sent: Sent,
}

/// Whose request the origin was sent: its answer is to that one, whoever waits by the time it comes.
#[derive(Clone, Debug)]
pub(in crate::machine) struct Sent {
    /// Who leads; nobody does when the fill goes on in the background.
    pub(super) leader: Option<RequestId>,
    pub(super) ask: Arc<RequestHead>,
}

/// How often the origin was asked for one fill.
#[derive(Debug)]
pub(in crate::machine) struct Tries {
    /// By whoever leads now.
    pub(super) attempts: Attempts,
    /// Leaders that were given up before.
    pub(super) leaders_failed: u32,
    pub(super) slot: Slot,
}

/// A body on its way.
#[derive(Debug)]
pub(in crate::machine) struct Stream<C> {
    pub(in crate::machine) head: Arc<Head>,
    pub(super) length: Length,
    pub(super) freshness: Freshness,
    pub(super) staleness: Staleness,
    pub(super) source: OriginSide,
    /// HeldPermit until the origin has said everything.
    pub(super) slot: Option<Slot>,
    pub(super) window: Window<C>,
    pub(super) followers: Followers,
    pub(in crate::machine) copies: Copies<C>,
}

/// The origin's side of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginSide {
    /// It waits to be asked for more.
    Idle,
    /// It was asked for more.
    Pulling(OpId),
    /// It has said everything.
    Ended,
}

impl<C> Stage<C> {
    /// How long ago the origin was asked for what there is of the answer; not at all, while none is awaited.
    pub(super) fn asked_ago(&self, now: Instant) -> Duration {
        match self {
            Self::Looking { .. } | Self::Resting { .. } => Duration::ZERO,
            Self::Asking(Asked { since, .. }) => now.since(*since),
            Self::Streaming(stream) => stream.freshness.age(now),
        }
    }

    /// How many clients this fill serves.
    pub(super) fn clients(&self) -> usize {
        match self {
            Self::Looking { waiters, .. }
            | Self::Asking(Asked { waiters, .. })
            | Self::Resting { waiters, .. } => waiters.len(),
            Self::Streaming(stream) => stream.followers.len(),
        }
    }

    /// Has the origin done its part, and what it sent gone stale since? Then it is no answer for those who
    /// come now.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        match self {
            Self::Looking { .. } | Self::Asking(_) | Self::Resting { .. } => false,
            Self::Streaming(stream) => {
                stream.source == OriginSide::Ended && !stream.staleness.is_usable(&stream.freshness, now)
            }
        }
    }
}

/// What a request gets of a body that is arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All of it; for a `HEAD`, its head.
    Whole,
    Part(ByteRange),
    /// Nothing: what it asks for cannot be told yet, or lies too far behind.
    Nothing,
}

/// How far behind what has come a range may begin that waits for its bytes: less than a second of a slow
/// origin's sending.
const AHEAD_MAX: u64 = 1 << 20;

impl<C: Chunk> Fill<C> {
    /// Is its body fetched to its end for what tiers keep of it, though nobody reads it?
    pub(super) fn outlives_readers(&self, config: &Config) -> bool {
        let Self { context, stage: Stage::Streaming(stream) } = self else { return false };
        let received = ByteCount(stream.window.end());
        let size = match stream.length {
            Length::Known(length) => length,
            Length::Unknown => received,
        };
        let is_kept = match config.whole_for_part_max {
            Some(size_max) if context.is_for_part => size <= size_max,
            Some(_) | None => config.on_abandon == OnAbandon::Finish,
        };
        is_kept
            || context.background.is_some()
            || context.is_adopted
            || stream.length == Length::Known(received)
    }
}

impl<C: Chunk> Stream<C> {
    /// What a request gets of this body.
    pub(super) fn share(&self, ask: &RequestHead, now: WallTime) -> Share {
        if rules::around(ask) != Some(Bypass::Range) {
            return Share::Whole;
        }
        let length = match self.length {
            Length::Known(length) => length.0,
            // Only a success has parts.
            Length::Unknown if self.head.status == 200 => return Share::Nothing,
            Length::Unknown => 0,
        };
        match rules::portion(ask, &self.head, length, now) {
            Portion::Whole => Share::Whole,
            Portion::One(range) if range.first() <= self.window.end().saturating_add(AHEAD_MAX) => {
                Share::Part(range)
            }
            Portion::One(_) | Portion::Several(_) | Portion::Unsatisfiable => Share::Nothing,
        }
    }
}

impl<C> Stream<C> {
    /// Does the number of bytes that came agree with what the head promised?
    pub(super) fn check_end(&self, received: u64) -> Result<(), OriginFailure> {
        match self.length {
            Length::Known(promised) if received < promised.0 => Err(OriginFailure::TooShort),
            Length::Known(promised) if received > promised.0 => Err(OriginFailure::TooLong),
            Length::Known(_) | Length::Unknown => Ok(()),
        }
    }
}

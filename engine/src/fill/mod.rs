//! A fill: the journey of one response from a miss to its readers and its tiers.
//!
//! This module holds the state and what can be computed from it alone; what happens at each input stands in
//! `machine/flows/asking.rs` and `machine/flows/fetching.rs`.

mod collect;
mod followers;
mod stored;
mod window;

pub(crate) use collect::{Collect, Collected};
pub(crate) use followers::Followers;
pub(crate) use stored::{Kept, Stored};
pub(crate) use window::Window;

use crate::{
    care::attempts::Attempts,
    config::ByteTier,
    durable::Seen,
    head::{Head, Length, RequestHead},
    id::{OpId, OriginId, RecordId, RequestId, WriterId},
    key::{CacheKey, StoredKey},
    reason::{MissReason, OriginFailure},
    record::Freshness,
    rules::Staleness,
    selector::Place,
    time::Instant,
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
pub(crate) struct Fill<C> {
    pub(crate) errand: Errand<C>,
    pub(crate) stage: Stage<C>,
}

/// What a fill is for, whatever its stage.
#[derive(Debug)]
pub(crate) struct Errand<C> {
    /// Whom it is for: the target, or one variant of it.
    pub(crate) key: CacheKey,
    /// What was asked for, whichever variant it is.
    pub(crate) target: CacheKey,
    /// Where that is.
    pub(crate) place: Place,
    /// Who is asked when no tier can answer.
    pub(crate) origin: OriginId,
    pub(crate) sharing: Sharing,
    /// Why no tier could answer, as far as they were asked.
    pub(crate) reason: MissReason,
    /// What a tier has under the key, but may not be used without the origin's word.
    pub(crate) stored: Option<Stored<C>>,
    /// The request of a fill that goes on though nobody waits for it: a revalidation behind a client's back.
    pub(crate) behind: Option<Arc<RequestHead>>,
    /// What the durable tier's index said before the fetch. Without it nothing is stored there.
    pub(crate) glimpse: Option<Box<Glimpse>>,
}

/// What a durable lookup saw, and when.
#[derive(Clone, Debug)]
pub(crate) struct Glimpse {
    pub(crate) seen: Seen,
    pub(crate) at: Instant,
}

impl<C> Errand<C> {
    /// One that has found nothing yet, and that somebody waits for.
    pub(crate) const fn new(
        at: StoredKey,
        place: Place,
        origin: OriginId,
        sharing: Sharing,
        reason: MissReason,
    ) -> Self {
        let StoredKey { target, key } = at;
        Self { key, target, place, origin, sharing, reason, stored: None, behind: None, glimpse: None }
    }

    /// Where its response is stored.
    pub(crate) const fn at(&self) -> StoredKey {
        StoredKey { target: self.target, key: self.key }
    }
}

/// Who may join a fill, and whether it may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Whoever asks for the key joins; tiers may keep the response.
    Open,
    /// Nobody joins any more, nothing of it is kept: a purge came, or the response may not be shared.
    Closed,
    /// It was begun for one request only.
    Private,
}

#[derive(Debug)]
pub(crate) enum Stage<C> {
    /// A byte tier was asked; by one operation, but for L3.
    Looking { waiters: Vec<RequestId>, op: Option<OpId>, tier: ByteTier, record: RecordId },
    /// The origin was asked.
    Asking { waiters: Vec<RequestId>, op: OpId, since: Instant, tries: Tries, sent: Sent },
    /// The origin failed, and is asked again when the agenda of retries says.
    Resting { waiters: Vec<RequestId>, tries: Tries },
    /// The origin's body is arriving, or has arrived and is not yet with everybody.
    Streaming(Stream<C>),
}

/// Whose request the origin was sent: its answer is to that one, whoever waits by the time it comes.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Who leads; nobody does when the fill goes on behind a client's back.
    pub(crate) leader: Option<RequestId>,
    pub(crate) ask: Arc<RequestHead>,
}

/// How often the origin was asked for one fill.
#[derive(Debug)]
pub(crate) struct Tries {
    /// By whoever leads now.
    pub(crate) attempts: Attempts,
    /// Leaders that were given up before.
    pub(crate) leaders_failed: u32,
}

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Stream<C> {
    pub(crate) head: Arc<Head>,
    pub(crate) length: Length,
    pub(crate) freshness: Freshness,
    pub(crate) staleness: Staleness,
    pub(crate) source: Source,
    pub(crate) window: Window<C>,
    pub(crate) followers: Followers,
    pub(crate) copies: Copies<C>,
}

/// Copies being made of one body.
#[derive(Debug)]
pub(crate) struct Copies<C> {
    /// For L0.
    pub(crate) memory: Option<Collect<C>>,
    /// For byte tiers, fastest first.
    pub(crate) lanes: Vec<WriterId>,
}

impl<C> Default for Copies<C> {
    fn default() -> Self {
        Self { memory: None, lanes: Vec::new() }
    }
}

impl<C> Copies<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.memory.is_none() && self.lanes.is_empty()
    }
}

/// The origin's side of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It waits to be asked for more.
    Idle,
    /// It was asked for more.
    Pulling(OpId),
    /// It has said everything.
    Ended,
}

impl<C> Stage<C> {
    /// How long ago the origin was asked for what there is of the answer; not at all, while none is awaited.
    pub(crate) fn asked_ago(&self, now: Instant) -> Duration {
        match self {
            Self::Looking { .. } | Self::Resting { .. } => Duration::ZERO,
            Self::Asking { since, .. } => now.since(*since),
            Self::Streaming(stream) => stream.freshness.age(now),
        }
    }

    /// How many clients this fill serves.
    pub(crate) fn crowd(&self) -> usize {
        match self {
            Self::Looking { waiters, .. } | Self::Asking { waiters, .. } | Self::Resting { waiters, .. } => {
                waiters.len()
            }
            Self::Streaming(stream) => stream.followers.len(),
        }
    }
}

impl<C> Stream<C> {
    /// Does the number of bytes that came agree with what the head promised?
    pub(crate) fn check_end(&self, received: u64) -> Result<(), OriginFailure> {
        match self.length {
            Length::Known(promised) if received < promised.0 => Err(OriginFailure::TooShort),
            Length::Known(promised) if received > promised.0 => Err(OriginFailure::TooLong),
            Length::Known(_) | Length::Unknown => Ok(()),
        }
    }
}

//! Why: every decision and every failure names its reason as one of these.

use crate::language::id::{OriginId, TierId};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Why a request was not answered from a tier (RFC 9211 section 2.2 has the words for most).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MissReason {
    /// Nothing is stored under the key.
    Absent,
    /// What is stored is past its lifetime.
    Stale,
    /// A tier that might hold it failed, has failed too often of late to be asked, or is not ready yet after
    /// a start.
    TierFailed,
    /// The key's last response could not be stored, a short while ago: no tier was asked, and no fetch is
    /// shared.
    Uncacheable,
    /// The request asks for something the cache does not answer.
    Bypass(Bypass),
}

/// Why a request goes around the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Bypass {
    /// Neither GET nor HEAD, or a HEAD with nothing stored.
    Method,
    /// Ranges are answered from stored objects only.
    Range,
    /// It carries credentials, and what is stored does not say that it is for such requests, too.
    Authorization,
    /// It may be answered only if a condition holds, and nothing is stored that could tell.
    Precondition,
}

/// May a response be stored (RFC 9111 section 3)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storable {
    /// Yes, with this lifetime.
    Yes,
    /// No, and why.
    No(NotStorable),
}

/// Why a response may not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStorable {
    /// Its status is not one that this cache stores.
    Status,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `no-cache`: it would have to be revalidated before each use, and has no validator to do it with.
    NoCache,
    /// It has no lifetime, or one of zero, and nothing else that would make it useful later.
    NoLifetime,
    /// It depends on request fields in a way that no request can be known to match.
    Vary,
    /// It answers a method whose responses are not stored, or a POST that does not say that it is what a GET
    /// would get.
    Method,
    /// The request carried credentials, and the response does not say that others may have it.
    Authorization,
    /// It sets a cookie.
    SetCookie,
    /// The request bore a cookie, and the response has no explicit lifetime: it may be one user's.
    Cookie,
    /// `must-understand`, with a status that this cache does not understand.
    NotUnderstood,
    /// The request said `no-store`, and requests are obeyed.
    RequestNoStore,
    /// Its length fields contradict each other.
    Length,
}

/// How the origin failed us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginFailure {
    /// No connection could be made.
    Unreachable,
    /// No head, or no next piece of a body, came in time.
    TimedOut,
    /// The connection broke.
    Broken,
    /// The head or the framing of the body was not HTTP, or the head was larger than we take.
    Malformed,
    /// Our request could not be written as HTTP, so the origin was not asked: what is wrong is the client's.
    Unsendable,
    /// Fewer bytes than the head promised.
    TooShort,
    /// More bytes than the head promised.
    TooLong,
    /// Whoever fed the fetch went away before its end (failures T3, T6).
    Abandoned,
}

/// Why a client gets an error instead of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Refusal {
    /// The origin failed before its head came.
    Origin(OriginFailure),
    /// The origin has failed too often of late to be asked now.
    BreakerOpen {
        /// When it may be asked again.
        retry_after: Duration,
    },
    /// `collapse.fills_max` fetches are under way already.
    TooManyFills,
    /// `collapse.waiters_max` clients read this fill already.
    TooManyWaiters,
}

/// Why bytes that a tier holds cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFailure {
    /// The tier did not answer, or no longer has them.
    Unavailable,
    /// They are not what was written. The tier is well all the same: this does not count against its breaker.
    Rotten,
}

/// Who is left alone while they fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// A byte tier; of L3, its blob store.
    Tier(TierId),
    /// L3's index.
    Index,
    /// An origin.
    Origin(OriginId),
}

/// One of the two stores of the durable tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableStore {
    /// Where its rows are.
    Index,
    /// Where its bodies are.
    Blobs,
}

/// Which wait on the outside was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// A tier's answer to a lookup; the tier is skipped.
    Lookup(TierId),
    /// The origin's head, in one attempt.
    Head,
    /// The origin's head, in all attempts together.
    Answer,
    /// The next chunk of the origin's body.
    Chunk,
    /// The next bytes of a tier's record.
    Read(TierId),
}

/// How a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum End {
    /// Every byte of it was handed over.
    Complete,
    /// It broke off; the client must see a broken connection (failures T3, T11).
    Aborted(AbortReason),
}

/// Why a body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AbortReason {
    /// The origin failed in the middle.
    Origin(OriginFailure),
    /// A tier could not hand over the next piece of what it holds.
    TierRead(TierId),
    /// The client left.
    ClientLeft,
}

/// Why a lane or writer gave up what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneEnd {
    /// The body grew past the tier's byte gate.
    OverGate,
    /// Its queue was full, so a chunk was lost (failure T5).
    Full,
    /// The tier did not take a chunk within `fill.lane_stall_ms_max`.
    Stalled,
    /// The tier refused an operation.
    TierFailed,
    /// The tier has failed too often of late to be asked now.
    TierSkipped,
    /// The body broke off, or its reader left (failure T6).
    Abandoned,
    /// A purge, or a newer response, came in between (failure F1).
    Superseded,
    /// Another upload of the same key was published first (CON1).
    Outrun,
    /// The lease of the upload ran out, and was taken.
    LeaseLost,
    /// The fetch took longer than `l3.fetch_ms_max`: a purge from before might be forgotten.
    TooLate,
    /// The key has as many uploads as it may have at a time.
    Crowded,
}

/// Why a tier does not take an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Its known length is over the gate.
    OverGate,
    /// It is larger than the whole tier (failure A4).
    OverCapacity,
    /// The promotion's policy says no.
    Policy,
    /// The lookup there failed or was skipped, so that a purge since could not be noticed.
    Unseen,
    /// The tier is local and not ready yet after a start.
    NotJoined,
}

/// Why something left a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// To make room.
    Capacity,
    /// A newer response took its place.
    Replaced,
    /// The origin agreed to it, in words that forbid to keep it.
    Forbidden,
    /// A purge named it.
    Purged,
}

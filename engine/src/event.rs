//! What the engine did, for those who watch. Ignoring events changes nothing.

use crate::{
    care::{attempts::GiveUp, breaker::Standing},
    durable::{BlobFate, Collected, DurableMiss, PublishEnd},
    effect::StaleUse,
    head::Length,
    id::{FillId, OpId, OriginId, PurgeId, RecordName, RequestId, TierId},
    key::CacheKey,
    reason::{
        Bypass, End, Guarded, LaneEnd, Late, MissReason, NotStorable, OriginFailure, Refusal, Rejection,
        Removal, Storable,
    },
    selector::{PurgeMode, SelectorKind},
    time::Instant,
    units::ByteCount,
};
use core::time::Duration;

/// A fact, past tense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client asked.
    Requested {
        /// Who.
        request: RequestId,
        /// For what.
        key: CacheKey,
    },
    /// A tier answered.
    Hit {
        /// Whom.
        request: RequestId,
        /// With what.
        key: CacheKey,
        /// Which tier.
        tier: TierId,
    },
    /// A tier answered with what is past its lifetime.
    ServedStale {
        /// Whom.
        request: RequestId,
        /// With what.
        key: CacheKey,
        /// Which tier.
        tier: TierId,
        /// What allowed it.
        why: StaleUse,
    },
    /// A tier answered after the origin agreed.
    Revalidated {
        /// Whom.
        request: RequestId,
        /// With what.
        key: CacheKey,
        /// Which tier.
        tier: TierId,
    },
    /// The origin said that what a tier has still holds.
    Freshened {
        /// Which tier.
        tier: TierId,
        /// What.
        key: CacheKey,
    },
    /// No tier answered.
    Missed {
        /// Whom.
        request: RequestId,
        /// What was asked for.
        key: CacheKey,
        /// Why.
        reason: MissReason,
    },
    /// A request joined a lookup or fetch that another had begun.
    Collapsed {
        /// Who.
        request: RequestId,
        /// For what.
        key: CacheKey,
    },
    /// A request came too late to read a fill from its first byte, and fetches for itself.
    AttachRefused {
        /// Who.
        request: RequestId,
        /// Which fill.
        fill: FillId,
    },
    /// A request goes around the cache.
    Passed {
        /// Who.
        request: RequestId,
        /// Why.
        bypass: Bypass,
    },
    /// A client got an error.
    Refused {
        /// Who.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// A response ended.
    Served {
        /// Whose.
        request: RequestId,
        /// What.
        key: CacheKey,
        /// Body bytes handed over.
        sent: ByteCount,
        /// How it ended.
        end: End,
    },
    /// The origin was asked.
    Fetched {
        /// The fetch.
        fill: FillId,
        /// For what.
        key: CacheKey,
        /// Which variant of it, as far as that is known: otherwise the same.
        variant: CacheKey,
        /// Which origin.
        origin: OriginId,
        /// For whom.
        purpose: Purpose,
    },
    /// The origin's head came.
    HeadArrived {
        /// The fetch.
        fill: FillId,
        /// For what.
        key: CacheKey,
        /// Which variant of it this is; the same, where it has none.
        variant: CacheKey,
        /// Its status.
        status: u16,
        /// What it says of the length.
        length: Length,
        /// May it be stored?
        storable: Storable,
    },
    /// A key's response cannot be stored: for a while its requests do not wait for one another.
    FoundUncacheable {
        /// Which.
        key: CacheKey,
        /// Why not.
        why: NotStorable,
    },
    /// The origin's part is over.
    FetchEnded {
        /// The fetch.
        fill: FillId,
        /// For what.
        key: CacheKey,
        /// Body bytes that came.
        received: ByteCount,
        /// How it ended.
        end: FetchEnd,
    },
    /// The last leader failed before its head; one waiter asks the origin anew.
    LeaderReplaced {
        /// The fetch that failed.
        fill: FillId,
        /// The request that leads now.
        request: RequestId,
    },
    /// A copy into a tier began.
    LaneOpened {
        /// Which tier.
        tier: TierId,
        /// What.
        key: CacheKey,
        /// Its name there, for byte tiers.
        name: Option<RecordName>,
        /// Which tier it is copied from, while whom that answers; the origin when absent.
        promotes: Option<(TierId, RequestId)>,
    },
    /// A copy into a tier was given up: it will never be visible.
    LaneDropped {
        /// Which tier.
        tier: TierId,
        /// What.
        key: CacheKey,
        /// Its name there, for byte tiers.
        name: Option<RecordName>,
        /// Why.
        why: LaneEnd,
    },
    /// The lowest byte tier has the last word on a fill (D1): is the response kept, or why not? Told once for each shared
    /// fill that may be stored, after its copy there has ended. No client waits for it.
    Filled {
        /// The fetch.
        fill: FillId,
        /// What.
        key: CacheKey,
        /// Which tier.
        tier: TierId,
        /// Its word.
        verdict: FillVerdict,
    },
    /// A tier did not take an object.
    Rejected {
        /// Which tier.
        tier: TierId,
        /// What.
        key: CacheKey,
        /// Why.
        why: Rejection,
    },
    /// A response is visible in a tier.
    Stored {
        /// Which tier.
        tier: TierId,
        /// What.
        key: CacheKey,
        /// Its name there, for byte tiers.
        name: Option<RecordName>,
        /// Its body's length.
        length: ByteCount,
        /// What it costs there.
        size: ByteCount,
        /// How old it is.
        age: Duration,
        /// Where the copy came from: a tier, or the origin when absent.
        from: Option<TierId>,
    },
    /// A response is no longer visible in a tier.
    Removed {
        /// Which tier.
        tier: TierId,
        /// What.
        key: CacheKey,
        /// What it cost there.
        size: ByteCount,
        /// Why.
        why: Removal,
    },
    /// What L0 holds now, after each change. The other tiers keep their own index.
    Resident {
        /// Which tier.
        tier: TierId,
        /// The sum of the sizes.
        bytes: ByteCount,
        /// How many.
        objects: u64,
        /// The sum may not exceed this.
        capacity: ByteCount,
    },
    /// A local tier can be asked from now on.
    TierJoined {
        /// Which tier.
        tier: TierId,
        /// How many records it holds.
        objects: u64,
        /// What they take up there.
        bytes: ByteCount,
    },
    /// A tier failed an operation.
    TierFailed {
        /// Which tier.
        tier: TierId,
        /// Which kind of operation.
        operation: TierOperation,
    },
    /// What a tier holds turned out not to be what was written.
    FoundRotten {
        /// Which tier.
        tier: TierId,
        /// What was asked for.
        key: CacheKey,
    },
    /// A tier was not asked, because it has failed too often of late.
    TierSkipped {
        /// Which tier.
        tier: TierId,
        /// For what.
        operation: TierOperation,
        /// Until when.
        until: Instant,
    },
    /// A tier or origin is asked more or less than before.
    BreakerChanged {
        /// Who.
        who: Guarded,
        /// How it stands now.
        standing: Standing,
    },
    /// An attempt at the origin failed, and another one will be made.
    Retried {
        /// The fetch that failed.
        fill: FillId,
        /// The fetch that will be made.
        next: FillId,
        /// For what.
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
        /// Why.
        why: GiveUp,
    },
    /// The outside did not answer in time; what it may still say is ignored.
    DeadlineMissed {
        /// For what.
        key: CacheKey,
        /// What was late.
        what: Late,
    },
    /// A read is later than most, and was asked for a second time.
    Hedged {
        /// Whose.
        request: RequestId,
        /// Which tier.
        tier: TierId,
    },
    /// A purge began: from now on nothing older is served here as if it were fresh, or published.
    PurgeBegan {
        /// Which.
        purge: PurgeId,
        /// What.
        what: SelectorKind,
        /// What happens to it.
        mode: PurgeMode,
    },
    /// Another edge purged: from now on nothing older is served here as if it were fresh, or published.
    PurgeHeard {
        /// What.
        what: SelectorKind,
        /// What happens to it.
        mode: PurgeMode,
    },
    /// It cannot be known what other edges purged: nothing older is used any more.
    PurgesMissed,
    /// A soft purge made what a tier has stale.
    Staled {
        /// Where.
        tier: TierId,
        /// What.
        key: CacheKey,
        /// What it costs there.
        size: ByteCount,
    },
    /// A purge has reached every tier.
    PurgeEnded {
        /// Which.
        purge: PurgeId,
        /// What.
        what: SelectorKind,
        /// Did every tier confirm?
        confirmed: bool,
    },
    /// The durable tier has nothing to read for a key.
    DurableMissed {
        /// What.
        key: CacheKey,
        /// Why.
        why: DurableMiss,
    },
    /// An upload into the durable tier is over.
    UploadEnded {
        /// What.
        key: CacheKey,
        /// The name of its blob.
        name: RecordName,
        /// What came of it.
        end: PublishEnd,
        /// What became of its blob.
        blob: BlobFate,
    },
    /// The durable tier was found to hold other bytes than were uploaded; its manifest is taken back.
    Corrupt {
        /// What.
        key: CacheKey,
        /// The name of the blob.
        name: RecordName,
    },
    /// A sweep of the collector is over.
    Swept {
        /// What it did.
        collected: Collected,
    },
    /// An answer came for an operation that was no longer of interest.
    LateAnswer {
        /// Which.
        op: OpId,
    },
}

/// For whom the origin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For everybody who asks for the key.
    Shared,
    /// For one request, because its key's response may not be shared or it came too late to share.
    Private,
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

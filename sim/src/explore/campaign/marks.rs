//! Marks: what must happen sometimes. One for each kind of thing that an engine says, with the reason it gives.
//!
//! A mark is a pattern over events, which the engine makes anyhow: marks cost nothing in production, and every event has
//! exactly one. A few stand beside them for what only the world sees. In a campaign that is large enough, a mark that never
//! fires is a path that nothing was proved about, and the campaign fails; but for those in [`RARE`], with the reason.

use tiergate_engine::{
    AbortReason, Bypass, End, Event, FetchEnd, FillVerdict, GiveUp, Guarded, LaneEnd, Late, MissReason,
    NotStorable, PurgeMode, Purpose, Refusal, Rejection, Removal, SelectorKind, StaleUse, Standing, Storable,
    TierId, TierOperation,
    durable::{DurableMiss, PublishEnd},
};

macro_rules! marks {
    (
        events { $($name:ident $text:literal = $pattern:pat,)* }
        beside { $($other:ident $other_text:literal,)* }
    ) => {
        /// Something that must happen sometimes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::explore) enum Mark {
            $($name,)*
            $($other,)*
        }

        impl Mark {
            /// Every mark.
            pub(in crate::explore) const ALL: &[Self] = &[$(Self::$name,)* $(Self::$other,)*];

            /// What a table calls it.
            pub(in crate::explore) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    $(Self::$other => $other_text,)*
                }
            }

            /// The mark of an event.
            pub(in crate::explore) const fn of(event: &Event) -> Self {
                match event {
                    $($pattern => Self::$name,)*
                }
            }
        }
    };
}

marks! {
    events {
        Requested "requested" = Event::Requested { .. },
        HitL0 "hit l0" = Event::Hit { tier: TierId::L0, .. },
        HitL1 "hit l1" = Event::Hit { tier: TierId::L1, .. },
        HitL2 "hit l2" = Event::Hit { tier: TierId::L2, .. },
        HitL3 "hit l3" = Event::Hit { tier: TierId::L3, .. },
        StaleMeanwhile "served stale: while it is revalidated" =
            Event::ServedStale { why: StaleUse::WhileRevalidate, .. },
        StaleIfError "served stale: the origin failed" = Event::ServedStale { why: StaleUse::IfError, .. },
        RevalidatedL0 "revalidated l0" = Event::Revalidated { tier: TierId::L0, .. },
        RevalidatedL1 "revalidated l1" = Event::Revalidated { tier: TierId::L1, .. },
        RevalidatedL2 "revalidated l2" = Event::Revalidated { tier: TierId::L2, .. },
        RevalidatedL3 "revalidated l3" = Event::Revalidated { tier: TierId::L3, .. },
        FreshenedL0 "freshened l0" = Event::Freshened { tier: TierId::L0, .. },
        FreshenedL1 "freshened l1" = Event::Freshened { tier: TierId::L1, .. },
        FreshenedL2 "freshened l2" = Event::Freshened { tier: TierId::L2, .. },
        FreshenedL3 "freshened l3" = Event::Freshened { tier: TierId::L3, .. },
        MissedAbsent "missed: absent" = Event::Missed { reason: MissReason::Absent, .. },
        MissedStale "missed: stale" = Event::Missed { reason: MissReason::Stale, .. },
        MissedTierFailed "missed: a tier failed" = Event::Missed { reason: MissReason::TierFailed, .. },
        MissedUncacheable "missed: known to be uncacheable" =
            Event::Missed { reason: MissReason::Uncacheable, .. },
        MissedBypass "missed: bypass" = Event::Missed { reason: MissReason::Bypass(_), .. },
        Collapsed "collapsed" = Event::Collapsed { .. },
        AttachRefused "attach refused" = Event::AttachRefused { .. },
        PassedMethod "passed: method" = Event::Passed { bypass: Bypass::Method, .. },
        PassedRange "passed: range" = Event::Passed { bypass: Bypass::Range, .. },
        PassedAuthorization "passed: authorization" = Event::Passed { bypass: Bypass::Authorization, .. },
        PassedPrecondition "passed: precondition" = Event::Passed { bypass: Bypass::Precondition, .. },
        RefusedOrigin "refused: the origin failed" = Event::Refused { refusal: Refusal::Origin(_), .. },
        RefusedBreaker "refused: the breaker is open" =
            Event::Refused { refusal: Refusal::BreakerOpen { .. }, .. },
        RefusedFills "refused: too many fills" = Event::Refused { refusal: Refusal::TooManyFills, .. },
        RefusedWaiters "refused: too many waiters" = Event::Refused { refusal: Refusal::TooManyWaiters, .. },
        ServedWhole "served whole" = Event::Served { end: End::Complete, .. },
        ServedOrigin "broke off: the origin failed" =
            Event::Served { end: End::Aborted(AbortReason::Origin(_)), .. },
        ServedTier "broke off: a tier could not read" =
            Event::Served { end: End::Aborted(AbortReason::TierRead(_)), .. },
        ServedLeft "broke off: the client left" =
            Event::Served { end: End::Aborted(AbortReason::ClientLeft), .. },
        FetchedShared "fetched for all" = Event::Fetched { purpose: Purpose::Shared, .. },
        FetchedPrivate "fetched for one" = Event::Fetched { purpose: Purpose::Private, .. },
        HeadStorable "head: storable" = Event::HeadArrived { storable: Storable::Yes, .. },
        HeadNot "head: not storable" = Event::HeadArrived { storable: Storable::No(_), .. },
        UncacheableVary "uncacheable: vary" = Event::FoundUncacheable { why: NotStorable::Vary, .. },
        Uncacheable "uncacheable" = Event::FoundUncacheable { .. },
        FetchWhole "fetch ended" = Event::FetchEnded { end: FetchEnd::Complete, .. },
        FetchFailed "fetch failed" = Event::FetchEnded { end: FetchEnd::Failed(_), .. },
        FetchCancelled "fetch cancelled" = Event::FetchEnded { end: FetchEnd::Cancelled, .. },
        LeaderReplaced "leader replaced" = Event::LeaderReplaced { .. },
        LaneL0 "lane opened: l0" = Event::LaneOpened { tier: TierId::L0, .. },
        LaneL1 "lane opened: l1" = Event::LaneOpened { tier: TierId::L1, .. },
        LaneL2 "lane opened: l2" = Event::LaneOpened { tier: TierId::L2, .. },
        LaneL3 "lane opened: l3" = Event::LaneOpened { tier: TierId::L3, .. },
        DroppedGate "lane dropped: over the gate" = Event::LaneDropped { why: LaneEnd::OverGate, .. },
        DroppedFull "lane dropped: full" = Event::LaneDropped { why: LaneEnd::Full, .. },
        DroppedStalled "lane dropped: stalled" = Event::LaneDropped { why: LaneEnd::Stalled, .. },
        DroppedFailed "lane dropped: the tier failed" = Event::LaneDropped { why: LaneEnd::TierFailed, .. },
        DroppedSkipped "lane dropped: the tier is skipped" =
            Event::LaneDropped { why: LaneEnd::TierSkipped, .. },
        DroppedAbandoned "lane dropped: abandoned" = Event::LaneDropped { why: LaneEnd::Abandoned, .. },
        DroppedSuperseded "lane dropped: superseded" = Event::LaneDropped { why: LaneEnd::Superseded, .. },
        DroppedOutrun "lane dropped: outrun" = Event::LaneDropped { why: LaneEnd::Outrun, .. },
        DroppedLease "lane dropped: the lease was lost" = Event::LaneDropped { why: LaneEnd::LeaseLost, .. },
        DroppedLate "lane dropped: too late" = Event::LaneDropped { why: LaneEnd::TooLate, .. },
        DroppedCrowded "lane dropped: crowded" = Event::LaneDropped { why: LaneEnd::Crowded, .. },
        Filled "filled" = Event::Filled { verdict: FillVerdict::Stored, .. },
        FilledRejected "filled: rejected" = Event::Filled { verdict: FillVerdict::Rejected(_), .. },
        FilledDropped "filled: dropped" = Event::Filled { verdict: FillVerdict::Dropped(_), .. },
        RejectedGate "rejected: over the gate" = Event::Rejected { why: Rejection::OverGate, .. },
        RejectedCapacity "rejected: over the capacity" = Event::Rejected { why: Rejection::OverCapacity, .. },
        RejectedPolicy "rejected: policy" = Event::Rejected { why: Rejection::Policy, .. },
        RejectedUnseen "rejected: unseen" = Event::Rejected { why: Rejection::Unseen, .. },
        RejectedJoining "rejected: not joined" = Event::Rejected { why: Rejection::NotJoined, .. },
        FilledL0 "stored l0" = Event::Stored { tier: TierId::L0, from: None, .. },
        FilledL1 "stored l1" = Event::Stored { tier: TierId::L1, from: None, .. },
        FilledL2 "stored l2" = Event::Stored { tier: TierId::L2, from: None, .. },
        PromotedL0 "promoted into l0" = Event::Stored { tier: TierId::L0, from: Some(_), .. },
        PromotedL1 "promoted into l1" = Event::Stored { tier: TierId::L1, from: Some(_), .. },
        PromotedL2 "promoted into l2" = Event::Stored { tier: TierId::L2, from: Some(_), .. },
        StoredL3 "stored l3" = Event::Stored { tier: TierId::L3, .. },
        Evicted "removed: to make room" = Event::Removed { why: Removal::Capacity, .. },
        Replaced "removed: replaced" = Event::Removed { why: Removal::Replaced, .. },
        ForbiddenAway "removed: may not be kept" = Event::Removed { why: Removal::Forbidden, .. },
        PurgedAway "removed: purged" = Event::Removed { why: Removal::Purged, .. },
        Resident "resident" = Event::Resident { .. },
        Joined "tier joined" = Event::TierJoined { .. },
        FoundRotten "found rotten" = Event::FoundRotten { .. },
        LookupFailed "tier failed: lookup" = Event::TierFailed { operation: TierOperation::Lookup, .. },
        ReadFailed "tier failed: read" = Event::TierFailed { operation: TierOperation::Read, .. },
        WriteFailed "tier failed: write" = Event::TierFailed { operation: TierOperation::Write, .. },
        DeleteFailed "tier failed: delete" = Event::TierFailed { operation: TierOperation::Delete, .. },
        TierSkipped "tier skipped" = Event::TierSkipped { .. },
        TierOpened "breaker of a tier: open" =
            Event::BreakerChanged { who: Guarded::Tier(_), standing: Standing::Open { .. } },
        TierHalf "breaker of a tier: half open" =
            Event::BreakerChanged { who: Guarded::Tier(_), standing: Standing::HalfOpen },
        TierClosed "breaker of a tier: closed" =
            Event::BreakerChanged { who: Guarded::Tier(_), standing: Standing::Closed },
        OriginOpened "breaker of the origin: open" =
            Event::BreakerChanged { who: Guarded::Origin(_), standing: Standing::Open { .. } },
        OriginHalf "breaker of the origin: half open" =
            Event::BreakerChanged { who: Guarded::Origin(_), standing: Standing::HalfOpen },
        OriginClosed "breaker of the origin: closed" =
            Event::BreakerChanged { who: Guarded::Origin(_), standing: Standing::Closed },
        Retried "retried" = Event::Retried { .. },
        GaveUpFinal "gave up: final" = Event::GaveUp { why: GiveUp::Final, .. },
        GaveUpDone "gave up: may be done" = Event::GaveUp { why: GiveUp::MayBeDone, .. },
        GaveUpAttempts "gave up: attempts spent" = Event::GaveUp { why: GiveUp::AttemptsSpent, .. },
        GaveUpRetryAfter "gave up: Retry-After is too long" =
            Event::GaveUp { why: GiveUp::RetryAfterTooLong, .. },
        GaveUpDeadline "gave up: the deadline is too near" =
            Event::GaveUp { why: GiveUp::DeadlineTooNear, .. },
        GaveUpBudget "gave up: the budget is spent" = Event::GaveUp { why: GiveUp::BudgetSpent, .. },
        GaveUpBreaker "gave up: the breaker is open" = Event::GaveUp { why: GiveUp::BreakerOpen, .. },
        GaveUpNobody "gave up: nobody waits" = Event::GaveUp { why: GiveUp::NobodyWaits, .. },
        LateLookup "late: a lookup" = Event::DeadlineMissed { what: Late::Lookup(_), .. },
        LateHead "late: a head" = Event::DeadlineMissed { what: Late::Head, .. },
        LateAnswer "late: all attempts together" = Event::DeadlineMissed { what: Late::Answer, .. },
        LateChunk "late: a chunk" = Event::DeadlineMissed { what: Late::Chunk, .. },
        LateRead "late: a read" = Event::DeadlineMissed { what: Late::Read(_), .. },
        Hedged "hedged" = Event::Hedged { .. },
        PurgeHard "purge of a key" =
            Event::PurgeBegan { what: SelectorKind::Key(_), mode: PurgeMode::Hard, .. },
        PurgeSoft "soft purge" = Event::PurgeBegan { mode: PurgeMode::Soft, .. },
        Banned "ban" = Event::PurgeBegan { .. },
        PurgeHeard "purge heard" = Event::PurgeHeard { .. },
        PurgesMissed "purges missed" = Event::PurgesMissed,
        PurgeConfirmed "purge ended: confirmed" = Event::PurgeEnded { confirmed: true, .. },
        PurgeUnconfirmed "purge ended: not confirmed" = Event::PurgeEnded { confirmed: false, .. },
        Staled "staled" = Event::Staled { .. },
        MissL3Absent "l3 miss: absent" = Event::DurableMissed { why: DurableMiss::Absent, .. },
        MissL3Expired "l3 miss: expired" = Event::DurableMissed { why: DurableMiss::Expired, .. },
        MissL3Lost "l3 miss: lost" = Event::DurableMissed { why: DurableMiss::Lost, .. },
        MissL3Torn "l3 miss: torn" = Event::DurableMissed { why: DurableMiss::Torn, .. },
        MissL3Index "l3 miss: the index failed" = Event::DurableMissed { why: DurableMiss::IndexFailed, .. },
        MissL3Blob "l3 miss: the blob failed" = Event::DurableMissed { why: DurableMiss::BlobFailed, .. },
        UploadWon "upload: won" = Event::UploadEnded { end: PublishEnd::Won { .. }, .. },
        UploadLost "upload: lost" = Event::UploadEnded { end: PublishEnd::Lost { .. }, .. },
        UploadPurged "upload: purged" = Event::UploadEnded { end: PublishEnd::Purged, .. },
        UploadLease "upload: the lease was lost" = Event::UploadEnded { end: PublishEnd::LeaseLost, .. },
        UploadLate "upload: too late" = Event::UploadEnded { end: PublishEnd::TooLate, .. },
        UploadCrowded "upload: crowded out" = Event::UploadEnded { end: PublishEnd::Crowded, .. },
        UploadIndex "upload: the index failed" = Event::UploadEnded { end: PublishEnd::IndexFailed, .. },
        UploadAbandoned "upload: abandoned" = Event::UploadEnded { end: PublishEnd::Abandoned, .. },
        Corrupt "l3 corrupt" = Event::Corrupt { .. },
        Swept "l3 swept" = Event::Swept { .. },
        LateForNobody "answer for nobody" = Event::LateAnswer { .. },
    }
    beside {
        FastDoor "hit by the fast door",
        AnsweredHead "answered HEAD",
        AnsweredPart "answered 206",
        AnsweredUnchanged "answered 206, if unchanged",
        AnsweredParts "answered 206, several parts",
        AnsweredOutside "answered 416",
        AnsweredSame "answered 304",
        AnsweredWhole "answered whole",
        ReadBehind "a follower reads behind the window",
        Overtaken "a freshening was overtaken",
        FreshenedNothing "a freshening found nothing",
        FoundMarker "a lookup found a marker",
        BodyAlong "a lookup brought a body along",
        LeaseLost "an edge lost the feed's lease",
    }
}

/// Marks that a campaign may not reach, each with the reason.
pub(in crate::explore) const RARE: [(Mark, &str); 7] = [
    (Mark::MissedBypass, "a request that goes past the cache says so in an event of its own"),
    (Mark::RejectedPolicy, "a promotion that is set to never costs nothing, not even an event (P3)"),
    (Mark::GaveUpFinal, "no origin here announces a length before it fails to send a head"),
    (Mark::GaveUpDone, "every fetch may be repeated"),
    (
        Mark::DroppedLease,
        "only a sweep that comes between a lease's end and a swap takes it: engine/tests/durable_model",
    ),
    (Mark::UploadLease, "the same"),
    (
        Mark::Overtaken,
        "two edges must freshen one record of L1 at once, a few times in a thousand seeds: behaviour/below.rs",
    ),
];

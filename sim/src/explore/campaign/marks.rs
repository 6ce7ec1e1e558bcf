//! Marks: what must happen sometimes. One for each kind of thing that an engine says, with the reason it
//! gives.
//!
//! A mark is a pattern over events, which the engine makes anyhow: marks cost nothing in production, and
//! every event has exactly one. A few stand beside them for what only the world sees. In a campaign that is
//! large enough, a mark that never fires is a path that nothing was proved about, and the campaign fails; but
//! for those in [`RARE`], with the reason.

use tiergate_engine::{
    AbortReason, BreakerState, Bypass, CopyEvent, Dependency, DurableEvent, DurableStore, End, Event,
    FetchEnd, FetchEvent, FillVerdict, GiveUp, LaneEnd, Late, MissReason, NotAdopted, NotStorable,
    PurgeEvent, PurgeMode, Purpose, Refusal, Rejection, Removal, RequestEvent, ResidenceEvent,
    ResilienceEvent, SelectorKind, StaleUse, Storable, TierId, TierOperation,
    durable::{DurableMiss, PublishEnd},
};

macro_rules! marks {
    (
        events { $($group:ident { $($name:ident $text:literal = $pattern:pat,)* })* }
        beside { $($other:ident $other_text:literal,)* }
    ) => {
        /// Something that must happen sometimes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::explore) enum Mark {
            $($($name,)*)*
            $($other,)*
        }

        impl Mark {
            /// Every mark.
            pub(in crate::explore) const ALL: &[Self] = &[$($(Self::$name,)*)* $(Self::$other,)*];

            /// What a table calls it.
            pub(in crate::explore) const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => $text,)*)*
                    $(Self::$other => $other_text,)*
                }
            }

            /// The mark of an event.
            pub(in crate::explore) const fn of(event: &Event) -> Self {
                match event {
                    $(Event::$group(event) => match event {
                        $($pattern => Self::$name,)*
                    },)*
                }
            }
        }
    };
}

marks! {
    events {
        Request {
            Requested "requested" = RequestEvent::Requested { .. },
            HitL0 "hit l0" = RequestEvent::Hit { tier: TierId::L0, .. },
            HitL1 "hit l1" = RequestEvent::Hit { tier: TierId::L1, .. },
            HitL2 "hit l2" = RequestEvent::Hit { tier: TierId::L2, .. },
            HitL3 "hit l3" = RequestEvent::Hit { tier: TierId::L3, .. },
            StaleMeanwhile "served stale: while it is revalidated" =
                RequestEvent::ServedStale { why: StaleUse::WhileRevalidate, .. },
            StaleIfError "served stale: the origin failed" =
                RequestEvent::ServedStale { why: StaleUse::IfError, .. },
            RevalidatedL0 "revalidated l0" = RequestEvent::Revalidated { tier: TierId::L0, .. },
            RevalidatedL1 "revalidated l1" = RequestEvent::Revalidated { tier: TierId::L1, .. },
            RevalidatedL2 "revalidated l2" = RequestEvent::Revalidated { tier: TierId::L2, .. },
            RevalidatedL3 "revalidated l3" = RequestEvent::Revalidated { tier: TierId::L3, .. },
            MissedAbsent "missed: absent" = RequestEvent::Missed { reason: MissReason::Absent, .. },
            MissedStale "missed: stale" = RequestEvent::Missed { reason: MissReason::Stale, .. },
            MissedTierFailed "missed: a tier failed" =
                RequestEvent::Missed { reason: MissReason::TierFailed, .. },
            MissedUncacheable "missed: known to be uncacheable" =
                RequestEvent::Missed { reason: MissReason::Uncacheable, .. },
            MissedBypass "missed: bypass" = RequestEvent::Missed { reason: MissReason::Bypass(_), .. },
            Collapsed "collapsed" = RequestEvent::Collapsed { .. },
            AttachRefused "attach refused" = RequestEvent::AttachRefused { .. },
            PassedMethod "passed: method" = RequestEvent::Passed { bypass: Bypass::Method, .. },
            PassedRange "passed: range" = RequestEvent::Passed { bypass: Bypass::Range, .. },
            PassedAuthorization "passed: authorization" =
                RequestEvent::Passed { bypass: Bypass::Authorization, .. },
            PassedPrecondition "passed: precondition" =
                RequestEvent::Passed { bypass: Bypass::Precondition, .. },
            RefusedOrigin "refused: the origin failed" =
                RequestEvent::Refused { refusal: Refusal::Origin(_), .. },
            RefusedBreaker "refused: the breaker is open" =
                RequestEvent::Refused { refusal: Refusal::BreakerOpen { .. }, .. },
            RefusedFills "refused: too many fills" =
                RequestEvent::Refused { refusal: Refusal::TooManyFills, .. },
            RefusedWaiters "refused: too many waiters" =
                RequestEvent::Refused { refusal: Refusal::TooManyWaiters, .. },
            ServedWhole "served whole" = RequestEvent::Served { end: End::Complete, .. },
            ServedOrigin "broke off: the origin failed" =
                RequestEvent::Served { end: End::Aborted(AbortReason::Origin(_)), .. },
            ServedTier "broke off: a tier could not read" =
                RequestEvent::Served { end: End::Aborted(AbortReason::TierRead(_)), .. },
            ServedLeft "broke off: the client left" =
                RequestEvent::Served { end: End::Aborted(AbortReason::ClientLeft), .. },
            FollowsPart "follows a part" = RequestEvent::FollowsPart { .. },
            LeaderReplaced "leader replaced" = RequestEvent::LeaderReplaced { .. },
            Hedged "hedged" = RequestEvent::Hedged { .. },
        }
        Fetch {
            FetchedShared "fetched for all" = FetchEvent::Fetched { purpose: Purpose::Shared, .. },
            FetchedPart "fetched for a part" = FetchEvent::Fetched { purpose: Purpose::Part, .. },
            FetchedPrivate "fetched for one" = FetchEvent::Fetched { purpose: Purpose::Private, .. },
            HeadStorable "head: storable" = FetchEvent::HeadArrived { storable: Storable::Yes, .. },
            HeadNot "head: not storable" = FetchEvent::HeadArrived { storable: Storable::No(_), .. },
            UncacheableVary "uncacheable: vary" = FetchEvent::FoundUncacheable { why: NotStorable::Vary, .. },
            Uncacheable "uncacheable" = FetchEvent::FoundUncacheable { .. },
            FetchWhole "fetch ended" = FetchEvent::FetchEnded { end: FetchEnd::Complete, .. },
            FetchFailed "fetch failed" = FetchEvent::FetchEnded { end: FetchEnd::Failed(_), .. },
            FetchCancelled "fetch cancelled" = FetchEvent::FetchEnded { end: FetchEnd::Cancelled, .. },
            Adopted "adopted" = FetchEvent::Adopted { .. },
            NotAdoptedForbidden "not adopted: forbidden" =
                FetchEvent::NotAdopted { why: NotAdopted::Forbidden(_), .. },
            NotAdoptedStale "not adopted: stale" = FetchEvent::NotAdopted { why: NotAdopted::Stale, .. },
            NotAdoptedPurged "not adopted: purged" = FetchEvent::NotAdopted { why: NotAdopted::Purged, .. },
            NotAdoptedFills "not adopted: too many fills" =
                FetchEvent::NotAdopted { why: NotAdopted::TooManyFills, .. },
            NotAdoptedMemory "not adopted: no memory" =
                FetchEvent::NotAdopted { why: NotAdopted::NoMemory, .. },
            AdoptionWhole "adoption ended" = FetchEvent::AdoptionEnded { end: FetchEnd::Complete, .. },
            AdoptionFailed "adoption failed" = FetchEvent::AdoptionEnded { end: FetchEnd::Failed(_), .. },
            AdoptionCancelled "adoption cancelled" =
                FetchEvent::AdoptionEnded { end: FetchEnd::Cancelled, .. },
            Retried "retried" = FetchEvent::Retried { .. },
            GaveUpFinal "gave up: final" = FetchEvent::GaveUp { why: GiveUp::Final, .. },
            GaveUpDone "gave up: may be done" = FetchEvent::GaveUp { why: GiveUp::MayBeDone, .. },
            GaveUpAttempts "gave up: attempts spent" = FetchEvent::GaveUp { why: GiveUp::AttemptsSpent, .. },
            GaveUpRetryAfter "gave up: Retry-After is too long" =
                FetchEvent::GaveUp { why: GiveUp::RetryAfterTooLong, .. },
            GaveUpDeadline "gave up: the deadline is too near" =
                FetchEvent::GaveUp { why: GiveUp::DeadlineTooNear, .. },
            GaveUpBudget "gave up: the budget is spent" = FetchEvent::GaveUp { why: GiveUp::BudgetSpent, .. },
            GaveUpBreaker "gave up: the breaker is open" =
                FetchEvent::GaveUp { why: GiveUp::BreakerOpen, .. },
            GaveUpNobody "gave up: nobody waits" = FetchEvent::GaveUp { why: GiveUp::NobodyWaits, .. },
        }
        Copy {
            LaneL0 "lane opened: l0" = CopyEvent::LaneOpened { tier: TierId::L0, .. },
            LaneL1 "lane opened: l1" = CopyEvent::LaneOpened { tier: TierId::L1, .. },
            LaneL2 "lane opened: l2" = CopyEvent::LaneOpened { tier: TierId::L2, .. },
            LaneL3 "lane opened: l3" = CopyEvent::LaneOpened { tier: TierId::L3, .. },
            DroppedGate "lane dropped: over the gate" = CopyEvent::LaneDropped { why: LaneEnd::OverGate, .. },
            DroppedFull "lane dropped: full" = CopyEvent::LaneDropped { why: LaneEnd::Full, .. },
            DroppedStalled "lane dropped: stalled" = CopyEvent::LaneDropped { why: LaneEnd::Stalled, .. },
            DroppedFailed "lane dropped: the tier failed" =
                CopyEvent::LaneDropped { why: LaneEnd::TierFailed, .. },
            DroppedSkipped "lane dropped: the tier is skipped" =
                CopyEvent::LaneDropped { why: LaneEnd::TierSkipped, .. },
            DroppedAbandoned "lane dropped: abandoned" =
                CopyEvent::LaneDropped { why: LaneEnd::Abandoned, .. },
            DroppedSuperseded "lane dropped: superseded" =
                CopyEvent::LaneDropped { why: LaneEnd::Superseded, .. },
            DroppedOutrun "lane dropped: outrun" = CopyEvent::LaneDropped { why: LaneEnd::Outrun, .. },
            DroppedLease "lane dropped: the lease was lost" =
                CopyEvent::LaneDropped { why: LaneEnd::LeaseLost, .. },
            DroppedLate "lane dropped: too late" = CopyEvent::LaneDropped { why: LaneEnd::TooLate, .. },
            DroppedCrowded "lane dropped: crowded" = CopyEvent::LaneDropped { why: LaneEnd::Crowded, .. },
            Filled "filled" = CopyEvent::Filled { verdict: FillVerdict::Stored, .. },
            FilledRejected "filled: rejected" = CopyEvent::Filled { verdict: FillVerdict::Rejected(_), .. },
            FilledDropped "filled: dropped" = CopyEvent::Filled { verdict: FillVerdict::Dropped(_), .. },
            RejectedGate "rejected: over the gate" = CopyEvent::Rejected { why: Rejection::OverGate, .. },
            RejectedCapacity "rejected: over the capacity" =
                CopyEvent::Rejected { why: Rejection::OverCapacity, .. },
            RejectedPolicy "rejected: policy" = CopyEvent::Rejected { why: Rejection::Policy, .. },
            RejectedUnseen "rejected: unseen" = CopyEvent::Rejected { why: Rejection::Unseen, .. },
            RejectedJoining "rejected: not joined" = CopyEvent::Rejected { why: Rejection::NotJoined, .. },
        }
        Residence {
            FreshenedL0 "freshened l0" = ResidenceEvent::Freshened { tier: TierId::L0, .. },
            FreshenedL1 "freshened l1" = ResidenceEvent::Freshened { tier: TierId::L1, .. },
            FreshenedL2 "freshened l2" = ResidenceEvent::Freshened { tier: TierId::L2, .. },
            FreshenedL3 "freshened l3" = ResidenceEvent::Freshened { tier: TierId::L3, .. },
            FilledL0 "stored l0" = ResidenceEvent::Stored { tier: TierId::L0, from: None, .. },
            FilledL1 "stored l1" = ResidenceEvent::Stored { tier: TierId::L1, from: None, .. },
            FilledL2 "stored l2" = ResidenceEvent::Stored { tier: TierId::L2, from: None, .. },
            PromotedL0 "promoted into l0" = ResidenceEvent::Stored { tier: TierId::L0, from: Some(_), .. },
            PromotedL1 "promoted into l1" = ResidenceEvent::Stored { tier: TierId::L1, from: Some(_), .. },
            PromotedL2 "promoted into l2" = ResidenceEvent::Stored { tier: TierId::L2, from: Some(_), .. },
            StoredL3 "stored l3" = ResidenceEvent::Stored { tier: TierId::L3, .. },
            Evicted "removed: to make room" = ResidenceEvent::Removed { why: Removal::Capacity, .. },
            Replaced "removed: replaced" = ResidenceEvent::Removed { why: Removal::Replaced, .. },
            ForbiddenAway "removed: may not be kept" =
                ResidenceEvent::Removed { why: Removal::Forbidden, .. },
            PurgedAway "removed: purged" = ResidenceEvent::Removed { why: Removal::Purged, .. },
            Resident "resident" = ResidenceEvent::Resident { .. },
            Staled "staled" = ResidenceEvent::Staled { .. },
        }
        Resilience {
            Joined "tier joined" = ResilienceEvent::TierJoined { .. },
            FoundRotten "found rotten" = ResilienceEvent::FoundRotten { .. },
            LookupFailed "tier failed: lookup" =
                ResilienceEvent::TierFailed { operation: TierOperation::Lookup, .. },
            ReadFailed "tier failed: read" =
                ResilienceEvent::TierFailed { operation: TierOperation::Read, .. },
            WriteFailed "tier failed: write" =
                ResilienceEvent::TierFailed { operation: TierOperation::Write, .. },
            DeleteFailed "tier failed: delete" =
                ResilienceEvent::TierFailed { operation: TierOperation::Delete, .. },
            TierSkipped "tier skipped" = ResilienceEvent::TierSkipped { .. },
            TierOpened "breaker of a tier: open" =
                ResilienceEvent::BreakerChanged { who: Dependency::Tier(_), state: BreakerState::Open { .. } },
            TierHalf "breaker of a tier: half open" =
                ResilienceEvent::BreakerChanged { who: Dependency::Tier(_), state: BreakerState::HalfOpen },
            TierClosed "breaker of a tier: closed" =
                ResilienceEvent::BreakerChanged { who: Dependency::Tier(_), state: BreakerState::Closed },
            IndexOpened "breaker of l3's index: open" =
                ResilienceEvent::BreakerChanged { who: Dependency::Index, state: BreakerState::Open { .. } },
            IndexHalf "breaker of l3's index: half open" =
                ResilienceEvent::BreakerChanged { who: Dependency::Index, state: BreakerState::HalfOpen },
            IndexClosed "breaker of l3's index: closed" =
                ResilienceEvent::BreakerChanged { who: Dependency::Index, state: BreakerState::Closed },
            OriginOpened "breaker of the origin: open" =
                ResilienceEvent::BreakerChanged { who: Dependency::Origin(_), state: BreakerState::Open { .. } },
            OriginHalf "breaker of the origin: half open" =
                ResilienceEvent::BreakerChanged { who: Dependency::Origin(_), state: BreakerState::HalfOpen },
            OriginClosed "breaker of the origin: closed" =
                ResilienceEvent::BreakerChanged { who: Dependency::Origin(_), state: BreakerState::Closed },
            LateInL3 "late: a lookup in l3" =
                ResilienceEvent::DeadlineMissed { what: Late::Lookup(TierId::L3), .. },
            LateLookup "late: a lookup" = ResilienceEvent::DeadlineMissed { what: Late::Lookup(_), .. },
            LateHead "late: a head" = ResilienceEvent::DeadlineMissed { what: Late::Head, .. },
            LateAnswer "late: all attempts together" =
                ResilienceEvent::DeadlineMissed { what: Late::Answer, .. },
            LateChunk "late: a chunk" = ResilienceEvent::DeadlineMissed { what: Late::Chunk, .. },
            LateRead "late: a read" = ResilienceEvent::DeadlineMissed { what: Late::Read(_), .. },
            LateForNobody "answer for nobody" = ResilienceEvent::LateAnswer { .. },
        }
        Purge {
            PurgeHard "purge of a key" =
                PurgeEvent::PurgeBegan { what: SelectorKind::Key(_), mode: PurgeMode::Hard, .. },
            PurgeSoft "soft purge" = PurgeEvent::PurgeBegan { mode: PurgeMode::Soft, .. },
            Banned "ban" = PurgeEvent::PurgeBegan { .. },
            RemotePurged "remote purge" = PurgeEvent::RemotePurged { .. },
            PurgesMissed "purges missed" = PurgeEvent::PurgesMissed,
            PurgeConfirmed "purge ended: confirmed" = PurgeEvent::PurgeEnded { confirmed: true, .. },
            PurgeUnconfirmed "purge ended: not confirmed" = PurgeEvent::PurgeEnded { confirmed: false, .. },
        }
        Durable {
            MissL3Absent "l3 miss: absent" = DurableEvent::DurableMissed { why: DurableMiss::Absent, .. },
            MissL3Expired "l3 miss: expired" = DurableEvent::DurableMissed { why: DurableMiss::Expired, .. },
            MissL3Lost "l3 miss: lost" = DurableEvent::DurableMissed { why: DurableMiss::Lost, .. },
            MissL3Torn "l3 miss: torn" = DurableEvent::DurableMissed { why: DurableMiss::Torn, .. },
            MissL3Index "l3 miss: the index failed" =
                DurableEvent::DurableMissed { why: DurableMiss::IndexFailed, .. },
            MissL3Blob "l3 miss: the blob failed" =
                DurableEvent::DurableMissed { why: DurableMiss::BlobFailed, .. },
            MissL3Skipped "l3 miss: the blob store was skipped" =
                DurableEvent::DurableMissed { why: DurableMiss::BlobSkipped, .. },
            UploadWon "upload: won" = DurableEvent::UploadEnded { end: PublishEnd::Won { .. }, .. },
            UploadLost "upload: lost" = DurableEvent::UploadEnded { end: PublishEnd::Lost { .. }, .. },
            UploadPurged "upload: purged" = DurableEvent::UploadEnded { end: PublishEnd::Purged, .. },
            UploadLease "upload: the lease was lost" =
                DurableEvent::UploadEnded { end: PublishEnd::LeaseLost, .. },
            UploadLate "upload: too late" = DurableEvent::UploadEnded { end: PublishEnd::TooLate, .. },
            UploadCrowded "upload: crowded out" = DurableEvent::UploadEnded { end: PublishEnd::Crowded, .. },
            UploadIndex "upload: the index failed" =
                DurableEvent::UploadEnded { end: PublishEnd::IndexFailed, .. },
            UploadAbandoned "upload: abandoned" =
                DurableEvent::UploadEnded { end: PublishEnd::Abandoned, .. },
            Corrupt "l3 corrupt" = DurableEvent::Corrupt { .. },
            IndexUnanswered "l3's index did not answer" =
                DurableEvent::Unanswered { store: DurableStore::Index },
            BlobsUnanswered "l3's blob store did not answer" =
                DurableEvent::Unanswered { store: DurableStore::Blobs },
            Swept "l3 swept" = DurableEvent::Swept { .. },
        }
    }
    beside {
        FastPath "hit by the fast path",
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

//! What happened in a run, counted: each kind of fault from its plan to what the engine observed of it, and
//! each mark.
//!
//! A campaign in which a planned fault never hit, or hit and was never observed, has proved nothing about it,
//! and fails.

use crate::explore::{campaign::marks::Mark, world::plan::PerMille, world::plan::Plan};
use tiergate_engine::Event;

/// A fault of the imitated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum WorldFault {
    OriginFailed,
    OriginErred,
    OriginCut,
    OriginStalled,
    OriginHung,
    OriginLied,
    ClientLeft,
    ClientSlow,
    ClientStuck,
    TierFailed,
    TierAmbiguous,
    TierSlow,
    TierLost,
    TierMixed,
    TierShort,
    TierRotted,
    RecordRotted,
    JoinedLate,
    DurableLate,
    Purged,
    FeedFailed,
    FeedAmbiguous,
    FeedSlow,
    FeedDown,
    FeedTrimmed,
    IndexSilent,
    BlobsSilent,
    FeedSilent,
    Crashed,
    CrashedInCommit,
}

impl WorldFault {
    pub(in crate::explore) const ALL: [Self; 30] = [
        Self::OriginFailed,
        Self::OriginErred,
        Self::OriginCut,
        Self::OriginStalled,
        Self::OriginHung,
        Self::OriginLied,
        Self::ClientLeft,
        Self::ClientSlow,
        Self::ClientStuck,
        Self::TierFailed,
        Self::TierAmbiguous,
        Self::TierSlow,
        Self::TierLost,
        Self::TierMixed,
        Self::TierShort,
        Self::TierRotted,
        Self::RecordRotted,
        Self::JoinedLate,
        Self::DurableLate,
        Self::Purged,
        Self::FeedFailed,
        Self::FeedAmbiguous,
        Self::FeedSlow,
        Self::FeedDown,
        Self::FeedTrimmed,
        Self::IndexSilent,
        Self::BlobsSilent,
        Self::FeedSilent,
        Self::Crashed,
        Self::CrashedInCommit,
    ];

    pub(in crate::explore) const fn as_str(self) -> &'static str {
        match self {
            Self::OriginFailed => "origin failed before its head",
            Self::OriginErred => "origin answered 503",
            Self::OriginCut => "origin broke off its body",
            Self::OriginStalled => "origin stalled",
            Self::OriginHung => "origin never answered",
            Self::OriginLied => "origin ended with another length than it promised",
            Self::ClientLeft => "client left",
            Self::ClientSlow => "client read slowly",
            Self::ClientStuck => "client never read",
            Self::TierFailed => "tier operation failed",
            Self::TierAmbiguous => "tier operation failed after it took effect",
            Self::TierSlow => "tier operation was slow",
            Self::TierLost => "tier lost a record",
            Self::TierMixed => "tier opened another record",
            Self::TierShort => "tier read less than it was asked for",
            Self::TierRotted => "blob store tore a blob, or let it rot",
            Self::RecordRotted => "tier found a record rotten as it was read",
            Self::JoinedLate => "local tier could not be asked yet",
            Self::DurableLate => "index or blob store did late what it was asked",
            Self::Purged => "purge",
            Self::FeedFailed => "feed did not do what it was asked",
            Self::FeedAmbiguous => "feed did what it was asked, and did not say so",
            Self::FeedSlow => "feed was slow",
            Self::FeedDown => "feed was away",
            Self::FeedTrimmed => "feed was trimmed",
            Self::IndexSilent => "index did not answer at all",
            Self::BlobsSilent => "blob store did not answer at all",
            Self::FeedSilent => "feed did not answer at all",
            Self::Crashed => "edge crashed",
            Self::CrashedInCommit => "edge crashed in a commit, delete or ban",
        }
    }

    /// Does the plan of a run have it?
    fn is_planned(self, plan: &Plan) -> bool {
        let faults = &plan.faults;
        let has_l3 = plan.config.durable_terms().is_some();
        let has_tiers = plan.has_l1 || plan.has_l2 || has_l3;
        let has_feed = plan.config.feed_policy().is_some();
        let is_likely = |rate: PerMille| rate != PerMille(0);
        match self {
            Self::OriginFailed => is_likely(faults.origin_fails),
            Self::OriginErred => is_likely(faults.origin_errs),
            Self::OriginCut => is_likely(faults.origin_cuts),
            Self::OriginStalled => is_likely(faults.origin_stalls),
            Self::OriginHung => is_likely(faults.origin_hangs),
            Self::OriginLied => is_likely(faults.origin_lies),
            Self::ClientLeft => is_likely(faults.client_leaves),
            Self::ClientSlow => is_likely(faults.client_slow),
            Self::ClientStuck => is_likely(faults.client_stuck),
            Self::TierFailed => has_tiers && is_likely(faults.tier_fails),
            Self::TierAmbiguous => has_tiers && is_likely(faults.tier_ambiguous),
            Self::TierSlow => has_tiers && is_likely(faults.tier_slow),
            Self::TierLost => has_tiers && is_likely(faults.tier_loses),
            Self::TierMixed => (plan.has_l1 || plan.has_l2) && is_likely(faults.tier_mixes),
            Self::TierShort => (plan.has_l1 || plan.has_l2) && is_likely(faults.tier_shorts),
            Self::TierRotted => has_l3 && is_likely(faults.tier_rots),
            Self::RecordRotted => (plan.has_l1 || plan.has_l2) && is_likely(faults.record_rots),
            Self::JoinedLate => plan.has_l2 && is_likely(faults.tier_joins_late),
            Self::DurableLate => has_l3 && (is_likely(faults.tier_ambiguous) || faults.silences.of_l3() > 0),
            Self::Purged => is_likely(faults.purges),
            Self::FeedFailed => has_feed && is_likely(faults.feed.fails),
            Self::FeedAmbiguous => has_feed && is_likely(faults.feed.ambiguous),
            Self::FeedSlow => has_feed && is_likely(faults.feed.slow),
            Self::FeedDown => has_feed && faults.feed.outages > 0,
            Self::FeedTrimmed => has_feed && is_likely(faults.feed.trims) && is_likely(faults.purges),
            Self::IndexSilent => has_l3 && faults.silences.index > 0,
            Self::BlobsSilent => has_l3 && faults.silences.blobs > 0,
            Self::FeedSilent => has_feed && faults.silences.feed > 0,
            Self::Crashed => faults.crashes > 0,
            Self::CrashedInCommit => has_tiers && faults.crashes > 0,
        }
    }
}

/// How far one kind of fault came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) struct Count {
    /// Seeds whose plan has it.
    pub planned: u64,
    /// Its moment came, and chance decided.
    pub armed: u64,
    /// It hit.
    pub fired: u64,
    /// The engine saw something of it: an answer that came of it, or an event.
    pub observed: u64,
}

impl Count {
    /// What there was none of, although there was some of what comes before it.
    pub(in crate::explore) fn is_vacuous(self) -> Option<&'static str> {
        match (self.planned, self.fired, self.observed) {
            (0, ..) => Some("was never planned"),
            (1.., 0, _) => Some("was planned, and never hit"),
            (1.., 1.., 0) => Some("hit, and was never observed"),
            (1.., 1.., 1..) => None,
        }
    }
}

/// The counts of one run, or of many.
#[derive(Clone, Debug)]
pub(in crate::explore) struct Tally {
    pub steps: u64,
    pub facts: u64,
    pub replies: u64,
    pub whole: u64,
    faults: [Count; WorldFault::ALL.len()],
    marks: [u64; Mark::ALL.len()],
}

impl Tally {
    pub(in crate::explore) const fn new() -> Self {
        Self {
            steps: 0,
            facts: 0,
            replies: 0,
            whole: 0,
            faults: [Count { planned: 0, armed: 0, fired: 0, observed: 0 }; WorldFault::ALL.len()],
            marks: [0; Mark::ALL.len()],
        }
    }

    /// The tally of a run before its first step.
    pub(in crate::explore) fn of(plan: &Plan) -> Self {
        let mut tally = Self::new();
        for fault in WorldFault::ALL.into_iter().filter(|fault| fault.is_planned(plan)) {
            tally.count(fault).planned += 1;
        }
        tally
    }

    pub(in crate::explore) fn count(&mut self, fault: WorldFault) -> &mut Count {
        &mut self.faults[fault as usize]
    }

    pub(in crate::explore) fn mark(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    pub(in crate::explore) fn saw(&mut self, event: &Event) {
        self.mark(Mark::of(event));
    }

    pub(in crate::explore) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.facts += other.facts;
        self.replies += other.replies;
        self.whole += other.whole;
        for (sum, more) in self.faults.iter_mut().zip(&other.faults) {
            sum.planned += more.planned;
            sum.armed += more.armed;
            sum.fired += more.fired;
            sum.observed += more.observed;
        }
        for (sum, more) in self.marks.iter_mut().zip(&other.marks) {
            *sum += more;
        }
    }

    pub(in crate::explore) fn faults(&self) -> impl Iterator<Item = (WorldFault, Count)> {
        WorldFault::ALL.into_iter().zip(self.faults)
    }

    pub(in crate::explore) fn marks(&self) -> impl Iterator<Item = (Mark, u64)> {
        Mark::ALL.iter().copied().zip(self.marks)
    }
}

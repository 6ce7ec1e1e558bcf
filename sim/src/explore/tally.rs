//! What happened in a run, counted: which troubles really hit, and which events the engine answered them with.
//!
//! A campaign in which a planned trouble never hit has proved nothing about it, and says so.

use std::collections::BTreeMap;
use tiergate_engine::{
    Event, FillVerdict, Late, Standing, TierId,
    durable::{DurableMiss, PublishEnd},
};

/// A trouble that hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
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
    BlobRotten,
    DurableLate,
    Purged,
    FeedFailed,
    FeedAmbiguous,
    FeedSlow,
    FeedDown,
    FeedTrimmed,
    LeaseLost,
    Crashed,
    CrashedInCommit,
}

impl Trouble {
    pub(super) const ALL: [Self; 26] = [
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
        Self::BlobRotten,
        Self::DurableLate,
        Self::Purged,
        Self::FeedFailed,
        Self::FeedAmbiguous,
        Self::FeedSlow,
        Self::FeedDown,
        Self::FeedTrimmed,
        Self::LeaseLost,
        Self::Crashed,
        Self::CrashedInCommit,
    ];

    pub(super) const fn as_str(self) -> &'static str {
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
            Self::BlobRotten => "blob changed its bytes",
            Self::DurableLate => "index or blob store did late what it was asked",
            Self::Purged => "purge",
            Self::FeedFailed => "feed did not do what it was asked",
            Self::FeedAmbiguous => "feed did what it was asked, and did not say so",
            Self::FeedSlow => "feed was slow",
            Self::FeedDown => "feed was away",
            Self::FeedTrimmed => "feed was trimmed",
            Self::LeaseLost => "edge lost its lease",
            Self::Crashed => "edge crashed",
            Self::CrashedInCommit => "edge crashed in a commit, delete or ban",
        }
    }
}

/// The counts of one run, or of many.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub steps: u64,
    pub facts: u64,
    pub replies: u64,
    pub whole: u64,
    pub troubles: BTreeMap<Trouble, u64>,
    pub events: Counts,
}

/// Counts by name. A name is found by where it lies in memory: there are few, and comparing texts costs more than all the
/// rest of counting.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub(super) fn add(&mut self, name: &'static str, count: u64) {
        match self.0.iter_mut().find(|(known, _)| std::ptr::eq(*known, name)) {
            Some((_, known)) => *known += count,
            None => self.0.push((name, count)),
        }
    }

    /// By name, in order. The same text may lie in two places.
    pub(super) fn sums(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for (name, count) in &self.0 {
            *sums.entry(*name).or_default() += count;
        }
        sums
    }
}

impl Tally {
    pub(super) fn hit(&mut self, trouble: Trouble) {
        *self.troubles.entry(trouble).or_default() += 1;
    }

    pub(super) fn saw(&mut self, event: &Event) {
        self.events.add(event_name(event), 1);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.facts += other.facts;
        self.replies += other.replies;
        self.whole += other.whole;
        for (trouble, count) in &other.troubles {
            *self.troubles.entry(*trouble).or_default() += count;
        }
        for (name, count) in &other.events.0 {
            self.events.add(name, *count);
        }
    }
}

const fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Requested { .. } => "requested",
        Event::Hit { tier, .. } => match tier {
            TierId::L0 => "hit l0",
            TierId::L1 => "hit l1",
            TierId::L2 => "hit l2",
            TierId::L3 => "hit l3",
        },
        Event::ServedStale { .. } => "served stale",
        Event::Revalidated { .. } => "revalidated",
        Event::Freshened { .. } => "freshened",
        Event::Missed { .. } => "missed",
        Event::Collapsed { .. } => "collapsed",
        Event::AttachRefused { .. } => "attach refused",
        Event::Passed { .. } => "passed",
        Event::Refused { .. } => "refused",
        Event::Served { .. } => "served",
        Event::Fetched { .. } => "fetched",
        Event::HeadArrived { .. } => "head arrived",
        Event::FetchEnded { .. } => "fetch ended",
        Event::LeaderReplaced { .. } => "leader replaced",
        Event::LaneOpened { .. } => "lane opened",
        Event::LaneDropped { .. } => "lane dropped",
        Event::Rejected { .. } => "rejected",
        Event::Stored { tier, .. } => match tier {
            TierId::L0 => "stored l0",
            TierId::L1 => "stored l1",
            TierId::L2 => "stored l2",
            TierId::L3 => "stored l3",
        },
        Event::Removed { .. } => "removed",
        Event::Resident { .. } => "resident",
        Event::Recovered { .. } => "recovered",
        Event::TierFailed { .. } => "tier failed",
        Event::TierSkipped { .. } => "tier skipped",
        Event::BreakerChanged { standing, .. } => match standing {
            Standing::Closed => "breaker closed",
            Standing::Open { .. } => "breaker opened",
            Standing::HalfOpen => "breaker half-open",
        },
        Event::Retried { .. } => "retried",
        Event::GaveUp { .. } => "gave up",
        Event::DeadlineMissed { what, .. } => match what {
            Late::Lookup(_) => "lookup late",
            Late::Head => "head late",
            Late::Answer => "answer late",
            Late::Chunk => "chunk late",
            Late::Read(_) => "read late",
        },
        Event::Hedged { .. } => "hedged",
        Event::PurgeBegan { .. } => "purge began",
        Event::PurgeHeard { .. } => "purge heard",
        Event::PurgesMissed => "purges missed",
        Event::PurgeEnded { .. } => "purge ended",
        Event::Staled { .. } => "staled",
        Event::FoundUncacheable { .. } => "found uncacheable",
        Event::Filled { verdict, .. } => match verdict {
            FillVerdict::Stored => "filled",
            FillVerdict::Rejected(_) => "filled, rejected",
            FillVerdict::Dropped(_) => "filled, dropped",
        },
        Event::DurableMissed { why, .. } => match why {
            DurableMiss::Absent => "l3 miss: absent",
            DurableMiss::Expired => "l3 miss: expired",
            DurableMiss::Lost => "l3 miss: lost",
            DurableMiss::Torn => "l3 miss: torn",
            DurableMiss::IndexFailed => "l3 miss: index failed",
            DurableMiss::BlobFailed => "l3 miss: blob failed",
        },
        Event::UploadEnded { end, .. } => match end {
            PublishEnd::Won { .. } => "upload won",
            PublishEnd::Lost { .. } => "upload lost",
            PublishEnd::Purged => "upload purged",
            PublishEnd::LeaseLost => "upload lost its lease",
            PublishEnd::TooLate => "upload too late",
            PublishEnd::Crowded => "upload crowded out",
            PublishEnd::IndexFailed => "upload failed at the index",
            PublishEnd::Abandoned => "upload abandoned",
        },
        Event::Corrupt { .. } => "l3 corrupt",
        Event::Swept { .. } => "l3 swept",
        Event::LateAnswer { .. } => "late answer",
    }
}

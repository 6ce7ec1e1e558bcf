//! The words that reasons have as values of labels, and where each is counted.
//!
//! Every enum of the engine's that is counted stands here once, with all its variants by name.

use tiergate_engine::{
    BreakerState, Bypass, Dependency, FetchEnd, GiveUp, LaneEnd, Late, MissReason, NotAdopted, NotStorable,
    OriginFailure, Purpose, Refusal, Rejection, Removal, SelectorKind, StaleUse, TierId, TierOperation,
};

/// The values of one label, or of two.
pub(super) trait Label: Copy {
    /// How many there are.
    const COUNT: usize;
    /// Which of them this is.
    fn index(self) -> usize;
    /// The words of one of them.
    fn words(index: usize) -> Vec<&'static str>;
}

impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn words(index: usize) -> Vec<&'static str> {
        let mut words = A::words(index / B::COUNT);
        words.append(&mut B::words(index % B::COUNT));
        words
    }
}

/// Where `word` stands among `words`.
const fn place(words: &[&str], word: &str) -> usize {
    let mut place = 0;
    while place < words.len() {
        if is_same(words[place].as_bytes(), word.as_bytes()) {
            return place;
        }
        place += 1;
    }
    panic!("the words come from the same list");
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// An enum as a label: each pattern with its word. Patterns that share a word are counted together.
macro_rules! label {
    ($kind:ty { $($pattern:pat => $word:literal),+ $(,)? }) => {
        impl Label for $kind {
            const COUNT: usize = [$($word),+].len();

            fn index(self) -> usize {
                const WORDS: &[&str] = &[$($word),+];
                match self {
                    $($pattern => const { place(WORDS, $word) }),+
                }
            }

            fn words(index: usize) -> Vec<&'static str> {
                vec![[$($word),+][index]]
            }
        }
    };
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Hit,
    Stale,
    Revalidated,
    Miss,
    Pass,
    Refused,
    /// The client left before.
    Left,
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Tier(TierId),
    /// No tier.
    None,
}

/// From which tier into which a hit is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TierEdge {
    L1ToL0,
    L2ToL0,
    L2ToL1,
    L3ToL0,
    L3ToL1,
    L3ToL2,
}

impl TierEdge {
    /// None where nothing is ever copied.
    pub(super) const fn between(from: TierId, to: TierId) -> Option<Self> {
        match (from, to) {
            (TierId::L1, TierId::L0) => Some(Self::L1ToL0),
            (TierId::L2, TierId::L0) => Some(Self::L2ToL0),
            (TierId::L2, TierId::L1) => Some(Self::L2ToL1),
            (TierId::L3, TierId::L0) => Some(Self::L3ToL0),
            (TierId::L3, TierId::L1) => Some(Self::L3ToL1),
            (TierId::L3, TierId::L2) => Some(Self::L3ToL2),
            (TierId::L0 | TierId::L1 | TierId::L2 | TierId::L3, _) => None,
        }
    }
}

/// Who has a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DependencyLabel {
    L1,
    L2,
    /// L3's blob store.
    L3,
    L3Index,
    Origin,
}

impl DependencyLabel {
    pub(super) const ALL: [Self; 5] = [Self::L1, Self::L2, Self::L3, Self::L3Index, Self::Origin];

    /// Memory has none.
    pub(super) const fn of(who: Dependency) -> Option<Self> {
        match who {
            Dependency::Tier(TierId::L0) => None,
            Dependency::Tier(TierId::L1) => Some(Self::L1),
            Dependency::Tier(TierId::L2) => Some(Self::L2),
            Dependency::Tier(TierId::L3) => Some(Self::L3),
            Dependency::Index => Some(Self::L3Index),
            Dependency::Origin(_) => Some(Self::Origin),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3Index => "l3_index",
            Self::Origin => "origin",
        }
    }
}

/// The hundreds of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusClass(pub(super) u16);

label!(Answered {
    Self::Hit => "hit",
    Self::Stale => "stale",
    Self::Revalidated => "revalidated",
    Self::Miss => "miss",
    Self::Pass => "pass",
    Self::Refused => "refused",
    Self::Left => "client_left",
});
label!(By {
    Self::Tier(TierId::L0) => "l0",
    Self::Tier(TierId::L1) => "l1",
    Self::Tier(TierId::L2) => "l2",
    Self::Tier(TierId::L3) => "l3",
    Self::None => "none",
});
label!(TierEdge {
    Self::L1ToL0 => "l1_to_l0",
    Self::L2ToL0 => "l2_to_l0",
    Self::L2ToL1 => "l2_to_l1",
    Self::L3ToL0 => "l3_to_l0",
    Self::L3ToL1 => "l3_to_l1",
    Self::L3ToL2 => "l3_to_l2",
});
label!(DependencyLabel {
    Self::L1 => "l1",
    Self::L2 => "l2",
    Self::L3 => "l3",
    Self::L3Index => "l3_index",
    Self::Origin => "origin",
});
label!(StatusClass {
    Self(100..=199) => "1xx",
    Self(200..=299) => "2xx",
    Self(300..=399) => "3xx",
    Self(400..=499) => "4xx",
    Self(500..=599) => "5xx",
    Self(0..=99 | 600..) => "other",
});
label!(TierId { Self::L0 => "l0", Self::L1 => "l1", Self::L2 => "l2", Self::L3 => "l3" });
label!(MissReason {
    Self::Absent => "absent",
    Self::Stale => "stale",
    Self::TierFailed => "tier_failed",
    Self::Uncacheable => "uncacheable",
    Self::Bypass(Bypass::Method) => "method",
    Self::Bypass(Bypass::Range) => "range",
    Self::Bypass(Bypass::Authorization) => "authorization",
    Self::Bypass(Bypass::Precondition) => "precondition",
});
label!(Bypass {
    Self::Method => "method",
    Self::Range => "range",
    Self::Authorization => "authorization",
    Self::Precondition => "precondition",
});
label!(Refusal {
    Self::Origin(OriginFailure::Unsendable) => "request_unsendable",
    Self::Origin(OriginFailure::Unreachable) => "origin_unreachable",
    Self::Origin(OriginFailure::TimedOut) => "origin_timed_out",
    Self::Origin(OriginFailure::Broken) => "origin_broken",
    Self::Origin(OriginFailure::Malformed) => "origin_malformed",
    Self::Origin(OriginFailure::TooShort) => "origin_too_short",
    Self::Origin(OriginFailure::TooLong) => "origin_too_long",
    Self::Origin(OriginFailure::Abandoned) => "origin_abandoned",
    Self::BreakerOpen { .. } => "breaker_open",
    Self::TooManyFills => "too_many_fills",
    Self::TooManyWaiters => "too_many_waiters",
});
label!(StaleUse { Self::WhileRevalidate => "while_revalidate", Self::IfError => "if_error" });
label!(LaneEnd {
    Self::OverGate => "over_gate",
    Self::Full => "full",
    Self::Stalled => "stalled",
    Self::TierFailed => "tier_failed",
    Self::TierSkipped => "tier_skipped",
    Self::Abandoned => "abandoned",
    Self::Superseded => "superseded",
    Self::Outrun => "outrun",
    Self::LeaseLost => "lease_lost",
    Self::TooLate => "too_late",
    Self::Crowded => "crowded",
});
label!(Rejection {
    Self::OverGate => "over_gate",
    Self::OverCapacity => "over_capacity",
    Self::Policy => "policy",
    Self::Unseen => "unseen",
    Self::NotJoined => "not_joined",
});
label!(Removal {
    Self::Capacity => "capacity",
    Self::Replaced => "replaced",
    Self::Forbidden => "forbidden",
    Self::Purged => "purged",
});
label!(NotStorable {
    Self::Status => "status",
    Self::NoStore => "no_store",
    Self::Private => "private",
    Self::Cookie => "cookie",
    Self::NoCache => "no_cache",
    Self::NoLifetime => "no_lifetime",
    Self::Vary => "vary",
    Self::Method => "method",
    Self::Authorization => "authorization",
    Self::SetCookie => "set_cookie",
    Self::NotUnderstood => "not_understood",
    Self::RequestNoStore => "request_no_store",
    Self::Length => "length",
});
label!(NotAdopted {
    Self::Forbidden(_) => "forbidden",
    Self::Stale => "stale",
    Self::Purged => "purged",
    Self::TooManyFills => "too_many_fills",
    Self::NoMemory => "no_memory",
});
label!(Purpose { Self::Shared => "shared", Self::Part => "part", Self::Private => "private" });
label!(FetchEnd {
    Self::Complete => "complete",
    Self::Failed(OriginFailure::Unsendable) => "unsendable",
    Self::Failed(OriginFailure::Unreachable) => "unreachable",
    Self::Failed(OriginFailure::TimedOut) => "timed_out",
    Self::Failed(OriginFailure::Broken) => "broken",
    Self::Failed(OriginFailure::Malformed) => "malformed",
    Self::Failed(OriginFailure::TooShort) => "too_short",
    Self::Failed(OriginFailure::TooLong) => "too_long",
    Self::Failed(OriginFailure::Abandoned) => "abandoned",
    Self::Cancelled => "cancelled",
});
label!(GiveUp {
    Self::Final => "final",
    Self::MayBeDone => "may_be_done",
    Self::AttemptsSpent => "attempts_spent",
    Self::RetryAfterTooLong => "retry_after_too_long",
    Self::DeadlineTooNear => "deadline_too_near",
    Self::BudgetSpent => "budget_spent",
    Self::BreakerOpen => "breaker_open",
    Self::NobodyWaits => "nobody_waits",
});
label!(BreakerState { Self::Closed => "closed", Self::Open { .. } => "open", Self::HalfOpen => "half_open" });
label!(TierOperation {
    Self::Lookup => "lookup",
    Self::Read => "read",
    Self::Write => "write",
    Self::Delete => "delete",
});
label!(Late {
    Self::Lookup(TierId::L0) => "l0_lookup",
    Self::Lookup(TierId::L1) => "l1_lookup",
    Self::Lookup(TierId::L2) => "l2_lookup",
    Self::Lookup(TierId::L3) => "l3_lookup",
    Self::Read(TierId::L0) => "l0_read",
    Self::Read(TierId::L1) => "l1_read",
    Self::Read(TierId::L2) => "l2_read",
    Self::Read(TierId::L3) => "l3_read",
    Self::Head => "origin_head",
    Self::Answer => "origin_answer",
    Self::Chunk => "origin_chunk",
});
label!(SelectorKind {
    Self::Key(_) => "key",
    Self::Tag => "tag",
    Self::Prefix => "prefix",
    Self::All => "all",
});

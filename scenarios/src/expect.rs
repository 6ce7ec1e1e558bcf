//! What a scenario expects to come of it: figures that a run counts, and between which bounds they must be.
//!
//! The rules say what must never happen; these say what must have happened, so that a world in which nobody
//! is served proves nothing. Start at [`Figure`].

use serde::Deserialize;
use std::collections::BTreeMap;
use tiergate_engine::TierId;

/// `expect`: figures and their bounds.
pub type Expectations = BTreeMap<Figure, Expectation>;

/// The bounds of one figure. At least one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// It is this or more. 1 or more.
    #[serde(default)]
    pub at_least: Option<u64>,
    /// It is this or less.
    #[serde(default)]
    pub at_most: Option<u64>,
    /// Of what? Default `all_seeds`.
    #[serde(default)]
    pub of: Scope,
}

/// What a figure is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of all seeds of a run together. Where one seed is run by itself, nothing is expected of it.
    #[default]
    AllSeeds,
    /// Of each seed by itself.
    EachSeed,
}

/// What a run counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Responses that a client got whole, whoever answered.
    Whole,
    /// Responses that broke off under a client who still read.
    Broken,
    /// Requests that got no response: refused, reset or timed out.
    Unanswered,
    /// Whole responses from L0.
    HitsL0,
    /// Whole responses from L1.
    HitsL1,
    /// Whole responses from L2.
    HitsL2,
    /// Of those, the ones whose object was stored before the edge last lost its power.
    HitsL2Recovered,
    /// Of those, the ones whose object was stored after the faults were over.
    HitsL2Healed,
    /// Whole responses for which the origin was asked.
    Misses,
    /// Objects stored in L2.
    StoredL2,
    /// Copies into L2 that were under way when their edge lost its power.
    CutL2,
    /// Sectors of a disk that were written and not synced, and that a power loss took or spoiled.
    SectorsLost,
    /// Whole responses for an object whose purge an edge confirmed before it lost its power, and that was
    /// asked of it since.
    PurgedThenAsked,
    /// How long a client that reads at once waited for the whole of a response that L2 had no part in, at
    /// most, in milliseconds: what L0 answered, and what this edge's L2 never held. It asked an edge that was
    /// up: one that starts reads from its disk what was purged before it answers anybody.
    LatencyElsewhereMs,
    /// Of the same clients, those that asked while their edge's disk was slow.
    AskedWhileSlow,
}

impl Figure {
    /// Every figure, in the order in which they are reported.
    pub const ALL: [Self; 15] = [
        Self::Whole,
        Self::Broken,
        Self::Unanswered,
        Self::HitsL0,
        Self::HitsL1,
        Self::HitsL2,
        Self::HitsL2Recovered,
        Self::HitsL2Healed,
        Self::Misses,
        Self::StoredL2,
        Self::CutL2,
        Self::SectorsLost,
        Self::PurgedThenAsked,
        Self::LatencyElsewhereMs,
        Self::AskedWhileSlow,
    ];

    /// Its key under `expect`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Broken => "broken",
            Self::Unanswered => "unanswered",
            Self::HitsL0 => "hits_l0",
            Self::HitsL1 => "hits_l1",
            Self::HitsL2 => "hits_l2",
            Self::HitsL2Recovered => "hits_l2_recovered",
            Self::HitsL2Healed => "hits_l2_healed",
            Self::Misses => "misses",
            Self::StoredL2 => "stored_l2",
            Self::CutL2 => "cut_l2",
            Self::SectorsLost => "sectors_lost",
            Self::PurgedThenAsked => "purged_then_asked",
            Self::LatencyElsewhereMs => "latency_elsewhere_ms",
            Self::AskedWhileSlow => "asked_while_slow",
        }
    }

    /// Two seeds' figures together: their sum, or the higher of two waits.
    #[must_use]
    pub fn with(self, one: u64, other: u64) -> u64 {
        match self {
            Self::LatencyElsewhereMs => one.max(other),
            Self::Whole
            | Self::Broken
            | Self::Unanswered
            | Self::HitsL0
            | Self::HitsL1
            | Self::HitsL2
            | Self::HitsL2Recovered
            | Self::HitsL2Healed
            | Self::Misses
            | Self::StoredL2
            | Self::CutL2
            | Self::SectorsLost
            | Self::PurgedThenAsked
            | Self::AskedWhileSlow => one.saturating_add(other),
        }
    }

    /// The tier without which it is always zero.
    pub const fn tier(self) -> Option<TierId> {
        match self {
            Self::HitsL0 => Some(TierId::L0),
            Self::HitsL1 => Some(TierId::L1),
            Self::HitsL2
            | Self::HitsL2Recovered
            | Self::HitsL2Healed
            | Self::StoredL2
            | Self::CutL2
            | Self::SectorsLost
            | Self::LatencyElsewhereMs
            | Self::AskedWhileSlow => Some(TierId::L2),
            Self::Whole | Self::Broken | Self::Unanswered | Self::Misses | Self::PurgedThenAsked => None,
        }
    }
}

impl Expectation {
    /// What is wrong with a figure that comes to this; `None` if nothing is.
    pub fn misses(&self, figure: Figure, value: u64) -> Option<String> {
        let name = figure.as_str();
        let below = self.at_least.filter(|least| value < *least);
        let above = self.at_most.filter(|most| *most < value);
        below.map(|least| format!("`expect.{name}` is {value}, but at least {least} is expected")).or_else(
            || above.map(|most| format!("`expect.{name}` is {value}, but at most {most} is expected")),
        )
    }
}

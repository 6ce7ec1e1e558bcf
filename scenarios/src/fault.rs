//! The faults that a scenario may ask for.

use crate::{Between, time};
use serde::Deserialize;
use tiergate_engine::TierId;

/// What goes wrong. Each kind is off unless named; each is counted when it really hits.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The origin pauses before its head or in the middle of a body.
    pub origin_stalls: Option<StallFault>,
    /// The origin breaks off in the middle of a body.
    pub origin_truncates: Option<SharedFault>,
    /// The origin closes the connection instead of answering.
    pub origin_resets: Option<SharedFault>,
    /// One edge and the origin cannot reach each other.
    pub partition_origin: Option<EpisodeFault>,
    /// One edge and the shared tier cannot reach each other.
    pub partition_shared_tier: Option<EpisodeFault>,
    /// One edge loses its power and comes back. What its disk was told to write and not yet to sync is lost,
    /// torn or reordered, or it is there after all.
    pub edge_restarts: Option<EpisodeFault>,
    /// The shared tier is killed and comes back empty.
    pub shared_tier_restarts: Option<EpisodeFault>,
    /// The shared tier answers late.
    pub shared_tier_slow: Option<SlowFault>,
    /// One edge's disk answers late, and its page cache holds nothing.
    pub disk_slow: Option<SlowFault>,
    /// One edge's disk fails reads and writes (`EIO`).
    pub disk_errors: Option<PartialFault>,
    /// One edge's disk is full: every write fails (`ENOSPC`).
    pub disk_full: Option<EpisodeFault>,
    /// Bits of what one edge's disk holds turn over, for good.
    pub disk_rot: Option<RotFault>,
    /// A disk's sync fails, and what it was to make durable is lost with the power. How many of a hundred
    /// syncs.
    pub disk_sync_fails: Option<SharedFault>,
    /// A disk's read gives fewer bytes than asked for. How many of a hundred reads.
    pub disk_short_reads: Option<SharedFault>,
}

/// A fault that befalls some of the origin's answers, or of a disk's operations.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedFault {
    /// How many of a hundred. 1 to 100.
    pub percent: u8,
}

/// A pause in some of the origin's answers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StallFault {
    /// How many of a hundred answers. 1 to 100.
    pub percent: u8,
    /// How long. At least 1ms.
    #[serde(rename = "for", deserialize_with = "time::between_ms")]
    pub for_ms: Between<u64>,
}

/// A fault that comes, lasts and goes. Its beginnings are drawn evenly from the time until `faults_until`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeFault {
    /// How many in one seed. 1 to 100.
    pub times: u32,
    /// How long each lasts. At least 1ms; it ends at `faults_until` at the latest.
    #[serde(rename = "for", deserialize_with = "time::between_ms")]
    pub for_ms: Between<u64>,
}

/// Times in which every answer comes late.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowFault {
    /// How many in one seed. 1 to 100.
    pub times: u32,
    /// How long each lasts. At least 1ms; it ends at `faults_until` at the latest.
    #[serde(rename = "for", deserialize_with = "time::between_ms")]
    pub for_ms: Between<u64>,
    /// How late each answer comes meanwhile. At least 1ms.
    #[serde(rename = "delay", deserialize_with = "time::between_ms")]
    pub delay_ms: Between<u64>,
}

/// Times in which some operations fail.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialFault {
    /// How many in one seed. 1 to 100.
    pub times: u32,
    /// How long each lasts. At least 1ms; it ends at `faults_until` at the latest.
    #[serde(rename = "for", deserialize_with = "time::between_ms")]
    pub for_ms: Between<u64>,
    /// How many of a hundred operations fail meanwhile. 1 to 100.
    pub percent: u8,
}

/// Moments at which some of what a disk holds goes bad.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotFault {
    /// How many in one seed. 1 to 100.
    pub times: u32,
    /// Of how many of a hundred written sectors a bit turns over. 1 to 100.
    pub percent: u8,
}

/// The kinds, for those who count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// [`Faults::origin_stalls`].
    OriginStalls,
    /// [`Faults::origin_truncates`].
    OriginTruncates,
    /// [`Faults::origin_resets`].
    OriginResets,
    /// [`Faults::partition_origin`].
    PartitionOrigin,
    /// [`Faults::partition_shared_tier`].
    PartitionSharedTier,
    /// [`Faults::edge_restarts`].
    EdgeRestarts,
    /// [`Faults::shared_tier_restarts`].
    SharedTierRestarts,
    /// [`Faults::shared_tier_slow`].
    SharedTierSlow,
    /// [`Faults::disk_slow`].
    DiskSlow,
    /// [`Faults::disk_errors`].
    DiskErrors,
    /// [`Faults::disk_full`].
    DiskFull,
    /// [`Faults::disk_rot`].
    DiskRot,
    /// [`Faults::disk_sync_fails`].
    DiskSyncFails,
    /// [`Faults::disk_short_reads`].
    DiskShortReads,
}

impl FaultKind {
    /// Every kind, in the order in which they are reported.
    pub const ALL: [Self; 14] = [
        Self::OriginStalls,
        Self::OriginTruncates,
        Self::OriginResets,
        Self::PartitionOrigin,
        Self::PartitionSharedTier,
        Self::EdgeRestarts,
        Self::SharedTierRestarts,
        Self::SharedTierSlow,
        Self::DiskSlow,
        Self::DiskErrors,
        Self::DiskFull,
        Self::DiskRot,
        Self::DiskSyncFails,
        Self::DiskShortReads,
    ];

    /// Its key under `faults`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OriginStalls => "origin_stalls",
            Self::OriginTruncates => "origin_truncates",
            Self::OriginResets => "origin_resets",
            Self::PartitionOrigin => "partition_origin",
            Self::PartitionSharedTier => "partition_shared_tier",
            Self::EdgeRestarts => "edge_restarts",
            Self::SharedTierRestarts => "shared_tier_restarts",
            Self::SharedTierSlow => "shared_tier_slow",
            Self::DiskSlow => "disk_slow",
            Self::DiskErrors => "disk_errors",
            Self::DiskFull => "disk_full",
            Self::DiskRot => "disk_rot",
            Self::DiskSyncFails => "disk_sync_fails",
            Self::DiskShortReads => "disk_short_reads",
        }
    }

    /// The tier that the world must have for it to befall.
    pub const fn tier(self) -> Option<TierId> {
        match self {
            Self::PartitionSharedTier | Self::SharedTierRestarts | Self::SharedTierSlow => Some(TierId::L1),
            Self::DiskSlow
            | Self::DiskErrors
            | Self::DiskFull
            | Self::DiskRot
            | Self::DiskSyncFails
            | Self::DiskShortReads => Some(TierId::L2),
            Self::OriginStalls
            | Self::OriginTruncates
            | Self::OriginResets
            | Self::PartitionOrigin
            | Self::EdgeRestarts => None,
        }
    }
}

impl Faults {
    /// Does the scenario ask for this kind?
    pub const fn names(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::OriginStalls => self.origin_stalls.is_some(),
            FaultKind::OriginTruncates => self.origin_truncates.is_some(),
            FaultKind::OriginResets => self.origin_resets.is_some(),
            FaultKind::PartitionOrigin => self.partition_origin.is_some(),
            FaultKind::PartitionSharedTier => self.partition_shared_tier.is_some(),
            FaultKind::EdgeRestarts => self.edge_restarts.is_some(),
            FaultKind::SharedTierRestarts => self.shared_tier_restarts.is_some(),
            FaultKind::SharedTierSlow => self.shared_tier_slow.is_some(),
            FaultKind::DiskSlow => self.disk_slow.is_some(),
            FaultKind::DiskErrors => self.disk_errors.is_some(),
            FaultKind::DiskFull => self.disk_full.is_some(),
            FaultKind::DiskRot => self.disk_rot.is_some(),
            FaultKind::DiskSyncFails => self.disk_sync_fails.is_some(),
            FaultKind::DiskShortReads => self.disk_short_reads.is_some(),
        }
    }

    /// Takes this kind out.
    pub fn forget(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::OriginStalls => self.origin_stalls = None,
            FaultKind::OriginTruncates => self.origin_truncates = None,
            FaultKind::OriginResets => self.origin_resets = None,
            FaultKind::PartitionOrigin => self.partition_origin = None,
            FaultKind::PartitionSharedTier => self.partition_shared_tier = None,
            FaultKind::EdgeRestarts => self.edge_restarts = None,
            FaultKind::SharedTierRestarts => self.shared_tier_restarts = None,
            FaultKind::SharedTierSlow => self.shared_tier_slow = None,
            FaultKind::DiskSlow => self.disk_slow = None,
            FaultKind::DiskErrors => self.disk_errors = None,
            FaultKind::DiskFull => self.disk_full = None,
            FaultKind::DiskRot => self.disk_rot = None,
            FaultKind::DiskSyncFails => self.disk_sync_fails = None,
            FaultKind::DiskShortReads => self.disk_short_reads = None,
        }
    }
}

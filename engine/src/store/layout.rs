//! The room that objects and segments take, for [`LogIndex`](super::LogIndex): on a device as the store cuts
//! it up, or of bodies alone.

use super::{
    content::{EXTENT_BYTES, RECORD_FIXED, TOMBSTONE_BYTES},
    geometry::{Geometry, MARKS},
    log::{TOMBSTONE_COPIES, spare_sectors, summary_sectors},
};
use crate::language::units::ByteCount;

/// What sizes are counted in, and what lies around bodies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// A device: whole sectors, with heads, headers, and summaries of segments.
    Device(Geometry),
    /// Bodies alone, to compare the policy with those that know no device: a sector has one byte, and nothing
    /// lies around bodies.
    Bodies {
        /// How many.
        segments: u32,
        /// Bytes of one.
        sectors: u32,
    },
}

/// The blocks of an object, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Full blocks of its body.
    pub(super) pieces: u32,
    /// One of them.
    pub(super) piece: u32,
    /// The block with its head and the rest of its body.
    pub(super) record: u32,
}

impl Blocks {
    pub(super) const fn sectors(&self) -> u64 {
        self.pieces as u64 * self.piece as u64 + self.record as u64
    }
}

/// Segments that a capacity of bodies is cut into.
const BODIES_SEGMENTS: u64 = 128;
/// So many at least: two take appends, two are free, and something is held.
const SEGMENTS_MIN: u64 = 8;

impl Layout {
    /// Bodies alone; at least 8 bytes, and below 512 GiB.
    pub(super) fn bodies(capacity: ByteCount) -> Self {
        let segments = BODIES_SEGMENTS.min(capacity.0).max(SEGMENTS_MIN);
        let sectors = u32::try_from((capacity.0 / segments).max(1)).unwrap_or(u32::MAX);
        Self::Bodies { segments: u32::try_from(segments).expect("it is one of two small numbers"), sectors }
    }

    pub(super) const fn segments(&self) -> u32 {
        match self {
            Self::Device(geometry) => geometry.segments,
            Self::Bodies { segments, .. } => *segments,
        }
    }

    /// Of one segment.
    pub(super) const fn sectors(&self) -> u32 {
        match self {
            Self::Device(geometry) => geometry.sectors,
            Self::Bodies { sectors, .. } => *sectors,
        }
    }

    pub(super) const fn bytes(&self, sectors: u64) -> u64 {
        match self {
            Self::Device(geometry) => sectors * geometry.sector_bytes as u64,
            Self::Bodies { .. } => sectors,
        }
    }

    /// Where the first block of a segment lies.
    pub(super) const fn first_sector(&self) -> u32 {
        match self {
            Self::Device(_) => MARKS - 1,
            Self::Bodies { .. } => 0,
        }
    }

    /// What is written to the end of a segment with so many blocks.
    pub(super) fn seal_sectors(&self, blocks: usize) -> u32 {
        match self {
            Self::Device(geometry) => summary_sectors(geometry, blocks) + 1,
            Self::Bodies { .. } => 0,
        }
    }

    /// Are deletions written?
    pub(super) const fn has_tombstones(&self) -> bool {
        match self {
            Self::Device(_) => true,
            Self::Bodies { .. } => false,
        }
    }

    /// What so many tombstones take, with their copy.
    pub(super) fn tombstone_sectors(&self, tombstones: usize) -> u32 {
        match self {
            Self::Device(geometry) => TOMBSTONE_COPIES * geometry.sectors_for(TOMBSTONE_BYTES * tombstones),
            Self::Bodies { .. } => 0,
        }
    }

    /// What is left free in the main stream's open segment for the tombstones of a reclaim.
    pub(super) fn spare_sectors(&self) -> u32 {
        match self {
            Self::Device(geometry) => spare_sectors(geometry),
            Self::Bodies { .. } => 0,
        }
    }

    /// What an object takes whose head has so many bytes on the device. None if it fits no device like this
    /// one.
    pub(super) fn blocks(&self, head_bytes: usize, body: ByteCount) -> Option<Blocks> {
        let blocks = match self {
            Self::Device(geometry) => {
                let payload = geometry.block_payload() as u64;
                let pieces = u32::try_from(body.0 / payload).ok()?;
                let tail = usize::try_from(body.0 % payload).ok()?;
                let front = RECORD_FIXED + head_bytes + EXTENT_BYTES * pieces as usize;
                let record = geometry.sectors_for(front + tail);
                Blocks { pieces, piece: geometry.block_sectors, record }
            }
            Self::Bodies { sectors, .. } => {
                let piece = (sectors / 4).max(1);
                // What is one byte short of a whole block has no full block, as on a device.
                let pieces = u32::try_from(body.0.saturating_sub(1) / u64::from(piece)).ok()?;
                let rest = body.0 - u64::from(pieces) * u64::from(piece);
                Blocks { pieces, piece, record: u32::try_from(rest).ok()?.max(1) }
            }
        };
        let device = self.bytes(u64::from(self.segments()) * u64::from(self.sectors()));
        let around = self.first_sector() + self.seal_sectors(1) + self.spare_sectors();
        let record_max = self.sectors().saturating_sub(around);
        (blocks.record <= record_max && body.0 <= device / 4).then_some(blocks)
    }
}

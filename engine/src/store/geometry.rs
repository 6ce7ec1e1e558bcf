//! How a device is cut up: segments of one size, sectors within them, blocks of whole sectors.

use super::block::HEADER_BYTES;
use crate::language::units::ByteCount;
use core::fmt;

/// The parts of a device as an operator or a driver asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawGeometry {
    /// How many segments. At least 6: two take appends, three are free, one holds something.
    pub segments: u32,
    /// The bytes of one. It is the grain of reclaim, and the largest read that recovery makes. A few dozen
    /// MiB is usual.
    pub segment_bytes: u64,
    /// What the device writes at once or not at all, and the alignment of every read and write: 512 or 4096
    /// for direct I/O.
    pub sector_bytes: u32,
    /// The bytes of a full block of a body, and so the grain of its reads. 64 KiB is usual.
    pub block_bytes: u32,
}

/// The parts of a device; every bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub(super) segments: u32,
    /// Sectors of one segment.
    pub(super) sectors: u32,
    pub(super) sector_bytes: u32,
    /// Sectors of a full block of a body.
    pub(super) block_sectors: u32,
}

/// A device cannot be cut up like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeometryError {
    /// Which field of [`RawGeometry`].
    pub field: &'static str,
    /// What it says.
    pub value: u64,
    /// What it must be.
    pub bound: &'static str,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} but must be {}", self.field, self.value, self.bound)
    }
}

impl core::error::Error for GeometryError {}

/// Segments, and sectors of one, lie below this: an index entry has room for no more.
const COUNT_MAX: u32 = 1 << 24;
/// The sectors of a segment beside its blocks: two headers and a footer.
pub(super) const MARKS: u32 = 3;

impl TryFrom<RawGeometry> for Geometry {
    type Error = GeometryError;

    fn try_from(raw: RawGeometry) -> Result<Self, GeometryError> {
        let RawGeometry { segments, segment_bytes, sector_bytes, block_bytes } = raw;
        let check = |holds: bool, field, value, bound| {
            if holds { Ok(()) } else { Err(GeometryError { field, value, bound }) }
        };
        check(
            sector_bytes.is_power_of_two() && (512..=65_536).contains(&sector_bytes),
            "sector_bytes",
            sector_bytes.into(),
            "a power of two between 512 and 65536",
        )?;
        check((6..COUNT_MAX).contains(&segments), "segments", segments.into(), "between 6 and 16777215")?;
        let is_whole = segment_bytes.is_multiple_of(sector_bytes.into());
        let sectors = u32::try_from(segment_bytes / u64::from(sector_bytes)).unwrap_or(u32::MAX);
        let fits = segment_bytes <= u64::from(u32::MAX);
        check(
            is_whole && fits && (16..COUNT_MAX).contains(&sectors),
            "segment_bytes",
            segment_bytes,
            "between 16 and 16777215 whole sectors, and below 4 GiB",
        )?;
        let block_sectors = block_bytes / sector_bytes;
        check(
            block_bytes.is_multiple_of(sector_bytes) && (1..=sectors / 4).contains(&block_sectors),
            "block_bytes",
            block_bytes.into(),
            "whole sectors, at least one and at most a quarter of a segment",
        )?;
        Ok(Self { segments, sectors, sector_bytes, block_sectors })
    }
}

/// The bounds of a capacity that [`Geometry::for_capacity`] cuts up.
const CAPACITY_MIN: u64 = 16 << 20;
const SEGMENT_MIN: u64 = 1 << 20;
const SEGMENT_MAX: u64 = 64 << 20;
/// The segments of a device that is not too small for them: the policy works by shares of the segments.
const SEGMENTS_WANTED: u64 = 64;

impl Geometry {
    /// The usual parts of a device of so many bytes: sectors of 4 KiB, blocks of 256 KiB, and at least 64
    /// segments of 1 to 64 MiB, or at least 16 where there is less room. What is left over is not used.
    ///
    /// # Errors
    /// It is below 16 MiB, or beyond what can be indexed.
    pub fn for_capacity(bytes: u64) -> Result<Self, GeometryError> {
        if bytes < CAPACITY_MIN {
            return Err(GeometryError {
                field: "capacity",
                value: bytes,
                bound: "at least 16 MiB (16777216)",
            });
        }
        let wanted = (bytes / SEGMENTS_WANTED).clamp(SEGMENT_MIN, SEGMENT_MAX);
        let segment_bytes = 1 << wanted.ilog2();
        let too_large = GeometryError { field: "capacity", value: bytes, bound: "below 1 PiB" };
        let segments = u32::try_from(bytes / segment_bytes).map_err(|_| too_large)?;
        let raw = RawGeometry { segments, segment_bytes, sector_bytes: 4_096, block_bytes: 262_144 };
        Self::try_from(raw).map_err(|_| too_large)
    }

    /// The same parts, as many as a device of so many bytes has.
    ///
    /// # Errors
    /// They are too few or too many.
    pub fn with_capacity(&self, bytes: u64) -> Result<Self, GeometryError> {
        let segments = u32::try_from(bytes / self.segment_bytes()).unwrap_or(u32::MAX);
        Self::try_from(RawGeometry { segments, ..self.raw() })
    }

    /// The parts, to be written down.
    pub fn raw(&self) -> RawGeometry {
        RawGeometry {
            segments: self.segments,
            segment_bytes: self.segment_bytes(),
            sector_bytes: self.sector_bytes,
            block_bytes: self.block_sectors * self.sector_bytes,
        }
    }

    /// The largest body: a quarter of the device.
    pub fn object_max(&self) -> ByteCount {
        ByteCount(self.capacity().0 / 4)
    }

    /// All bytes of the device.
    pub fn capacity(&self) -> ByteCount {
        ByteCount(u64::from(self.segments) * self.segment_bytes())
    }

    /// The bytes of one segment.
    pub fn segment_bytes(&self) -> u64 {
        u64::from(self.sectors) * u64::from(self.sector_bytes)
    }

    /// The bytes of so many sectors.
    pub(super) fn bytes(&self, sectors: u32) -> u64 {
        u64::from(sectors) * u64::from(self.sector_bytes)
    }

    /// The same for what lies in memory.
    pub(super) fn length(&self, sectors: u32) -> usize {
        usize::try_from(self.bytes(sectors)).expect("a segment is below 4 GiB")
    }

    /// The sectors that a block with this payload fills.
    pub(super) fn sectors_for(&self, payload: usize) -> u32 {
        let bytes = payload.saturating_add(HEADER_BYTES);
        u32::try_from(bytes.div_ceil(self.sector_bytes as usize)).unwrap_or(u32::MAX)
    }

    /// The bytes of a body in a full block.
    pub(super) fn block_payload(&self) -> usize {
        self.length(self.block_sectors) - HEADER_BYTES
    }
}

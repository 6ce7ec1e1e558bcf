//! A head as it lies on a shared server: the encoded record, the generation that it was published under, and
//! how its parts are cut.
//!
//! ```text
//! encoded record │ generation (16) │ part size (4) │ CRC-32 of all before (4)      little endian
//! ```

use super::keys::Generation;
use crate::blocks::Layout;
use std::fmt;
use tiergate_engine::{
    Record, RecordName,
    format::{self, RecordError},
};

/// The largest part that this build reads, which bounds the memory of a read.
const PART_BYTES_MAX: u32 = 4 << 20;

pub(crate) struct StoredHead {
    pub(crate) record: Record,
    pub(crate) generation: Generation,
    pub(crate) layout: Layout,
}

/// Why bytes are no head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// They are too few, or not what was written.
    Checksum,
    /// They say that parts have this many bytes.
    PartSize(u32),
    /// What should be the record is none.
    Record(RecordError),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => f.write_str("its checksum is wrong"),
            Self::PartSize(found) => write!(f, "its parts have {found} bytes, not 1 to {PART_BYTES_MAX}"),
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl StoredHead {
    pub(crate) fn encode(record: &Record, generation: Generation, layout: Layout) -> Vec<u8> {
        let mut bytes = format::encode(record);
        bytes.extend_from_slice(&generation.0.0.to_le_bytes());
        bytes.extend_from_slice(&layout.block_bytes.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(HeadError::Checksum)?;
        let (record, part_bytes) = content.split_last_chunk::<4>().ok_or(HeadError::Checksum)?;
        if crc32fast::hash(content).to_le_bytes() != *checksum {
            return Err(HeadError::Checksum);
        }
        let block_bytes = u32::from_le_bytes(*part_bytes);
        if !(1..=PART_BYTES_MAX).contains(&block_bytes) {
            return Err(HeadError::PartSize(block_bytes));
        }
        let (record, generation) = record.split_last_chunk::<16>().ok_or(HeadError::Checksum)?;
        let generation = Generation(RecordName(u128::from_le_bytes(*generation)));
        let record = format::decode(record).map_err(HeadError::Record)?;
        let length = record.length.0;
        Ok(Self { record, generation, layout: Layout { block_bytes, length } })
    }
}

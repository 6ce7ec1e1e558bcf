//! What lies under the key of a target, or of a variant: a generation, and a head if one is current.
//!
//! ```text
//! 0 │ generation (16) │ CRC-32 of all before (4)      no head
//! 1 │ a head, as shared tiers store it                which has a generation and a checksum of its own
//! ```

use crate::shared::{
    keys::Generation,
    stored_head::{HeadError, StoredHead},
};
use tiergate_engine::RecordName;

/// One item.
pub(super) enum Slot {
    /// Nothing is current.
    Empty(Generation),
    /// This is.
    Head(Box<StoredHead>),
}

impl Slot {
    pub(super) fn generation(&self) -> Generation {
        match self {
            Self::Empty(generation) => *generation,
            Self::Head(head) => head.generation,
        }
    }

    /// The name of what is current.
    pub(super) fn name(&self) -> Option<RecordName> {
        match self {
            Self::Empty(_) => None,
            Self::Head(head) => Some(head.record.name),
        }
    }

    pub(super) fn encode_empty(generation: Generation) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&generation.0.0.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn encode_head(head: Vec<u8>) -> Vec<u8> {
        let mut bytes = head;
        bytes.insert(0, 1);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        match bytes.split_first() {
            Some((1, head)) => StoredHead::decode(head).map(Box::new).map(Self::Head),
            Some((0, rest)) => {
                let (generation, checksum) = rest.split_last_chunk::<4>().ok_or(HeadError::Checksum)?;
                let generation = <[u8; 16]>::try_from(generation).map_err(|_| HeadError::Checksum)?;
                let sealed = &bytes[..bytes.len() - checksum.len()];
                if crc32fast::hash(sealed).to_le_bytes() != *checksum {
                    return Err(HeadError::Checksum);
                }
                Ok(Self::Empty(Generation(RecordName(u128::from_le_bytes(generation)))))
            }
            Some(_) | None => Err(HeadError::Checksum),
        }
    }
}

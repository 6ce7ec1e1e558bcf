//! Bodies cut into blocks of one size, each with a checksum behind it.
//!
//! The memory store keeps bodies this way, so that every read is checked before a byte is handed over
//! (failures T1, T9, T10). Only the last block may be shorter. Nothing here does I/O.

use bytes::{Bytes, BytesMut};
use std::fmt;

/// The bytes of one block's checksum, a CRC-32 in little endian behind the block.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// How a body of `length` bytes lies in blocks of `block_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The bytes of every block but the last, without its checksum. Not zero.
    pub(crate) block_bytes: u32,
    /// The bytes of the body.
    pub(crate) length: u64,
}

impl Layout {
    /// How many blocks there are.
    pub(crate) fn count(self) -> u64 {
        self.length.div_ceil(u64::from(self.block_bytes))
    }

    /// The block that holds the byte at `offset`, and where in it.
    pub(crate) fn position(self, offset: u64) -> (u64, usize) {
        let within = u32::try_from(offset % u64::from(self.block_bytes))
            .expect("a remainder is below its divisor, which is a u32");
        (offset / u64::from(self.block_bytes), within as usize)
    }

    /// The bytes of block `index` without its checksum; zero past the end.
    pub(crate) fn size(self, index: u64) -> usize {
        let begin = index.saturating_mul(self.block_bytes.into());
        let left = self.length.saturating_sub(begin);
        u32::try_from(left).unwrap_or(u32::MAX).min(self.block_bytes) as usize
    }
}

/// A stored block is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// It has this many bytes, with its checksum.
    Size { found: usize, expected: usize },
    /// Its checksum is wrong.
    Checksum,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { found, expected } => write!(f, "it has {found} bytes instead of {expected}"),
            Self::Checksum => f.write_str("its checksum is wrong"),
        }
    }
}

/// Appends `block` and its checksum to `sealed`.
pub(crate) fn seal_into(sealed: &mut Vec<u8>, block: &[u8]) {
    sealed.extend_from_slice(block);
    sealed.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
}

/// The `size` bytes of a block that was sealed.
pub(crate) fn unseal(sealed: &[u8], size: usize) -> Result<&[u8], BlockError> {
    let expected = size + CHECKSUM_BYTES;
    match sealed.split_last_chunk::<CHECKSUM_BYTES>() {
        Some((block, checksum)) if block.len() == size => {
            if crc32fast::hash(block).to_le_bytes() == *checksum {
                Ok(block)
            } else {
                Err(BlockError::Checksum)
            }
        }
        Some(_) | None => Err(BlockError::Size { found: sealed.len(), expected }),
    }
}

/// A body being written: full blocks are stored, and what is not stored yet is held here, where it can be
/// read.
///
/// A failed write leaves everything that was acknowledged readable: bytes go only once they are stored.
#[derive(Debug)]
pub(crate) struct Tail {
    block_bytes: u32,
    /// Bytes stored, a whole number of blocks until the body is complete.
    stored: u64,
    /// The bytes after them.
    held: BytesMut,
}

impl Tail {
    pub(crate) fn new(block_bytes: u32) -> Self {
        Self { block_bytes, stored: 0, held: BytesMut::new() }
    }

    /// Takes in the next bytes of the body.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The bytes taken in.
    pub(crate) fn length(&self) -> u64 {
        self.stored + self.held.len() as u64
    }

    /// The index of the next block to store, and its bytes, if all of them are here.
    pub(crate) fn full_block(&self) -> Option<(u64, &[u8])> {
        let block = self.held.get(..self.block_bytes as usize)?;
        Some((self.index(), block))
    }

    /// The index of the last block and its bytes, if it is a shorter one. Only when no full block is left.
    pub(crate) fn last_block(&self) -> Option<(u64, &[u8])> {
        (!self.held.is_empty()).then(|| (self.index(), &*self.held))
    }

    /// The full block that was next is stored.
    pub(crate) fn on_stored(&mut self) {
        drop(self.held.split_to(self.block_bytes as usize));
        self.stored += u64::from(self.block_bytes);
    }

    /// How the stored blocks lie.
    pub(crate) fn stored(&self) -> Layout {
        Layout { block_bytes: self.block_bytes, length: self.stored }
    }

    /// At most `length_max` held bytes from `offset` on; `None` when that byte is stored, not held.
    pub(crate) fn held(&self, offset: u64, length_max: u64) -> Option<Bytes> {
        let begin = usize::try_from(offset.checked_sub(self.stored)?).ok()?;
        let rest = self.held.get(begin..).unwrap_or_default();
        let length = rest.len().min(usize::try_from(length_max).unwrap_or(usize::MAX));
        Some(Bytes::copy_from_slice(&rest[..length]))
    }

    fn index(&self) -> u64 {
        self.stored / u64::from(self.block_bytes)
    }
}

#[cfg(test)]
mod tests;

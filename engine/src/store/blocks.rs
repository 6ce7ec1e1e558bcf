//! Blocks on their way to the device. They are sealed outside of the store and so outside of any lock around
//! it.

use super::{
    block::{Checksums, HEADER_BYTES, Label},
    content::{Content, ENTRY_BYTES, Entry, MARK_BYTES, Mark, TOMBSTONE_BYTES, Tombstone},
    geometry::Geometry,
};
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;

/// What a write brings to the device: one block or several, side by side. Their bodies are the slices that
/// came in; nothing is copied, encoded or hashed before [`Blocks::seal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    geometry: Geometry,
    blocks: Vec<Block>,
    /// Sectors of zeros behind them.
    blank: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    checksums: Checksums,
    label: Label,
    payload: Payload,
}

/// What a block carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// Bytes of a body.
    Body(Vec<Bytes>),
    /// A record, and the end of its body.
    Record(Box<Content>, Vec<Bytes>),
    Tombstones(Vec<Tombstone>),
    Summary(Vec<Entry>),
    Mark(Mark),
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Body(slices) => length(slices),
            Self::Record(content, tail) => content.front_bytes() + length(tail),
            Self::Tombstones(tombstones) => TOMBSTONE_BYTES * tombstones.len(),
            Self::Summary(entries) => ENTRY_BYTES * entries.len(),
            Self::Mark(_) => MARK_BYTES,
        }
    }

    pub(super) fn encode_into(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Body(slices) => slices.iter().for_each(|slice| bytes.extend_from_slice(slice)),
            Self::Record(content, tail) => {
                bytes.extend_from_slice(&content.encode());
                tail.iter().for_each(|slice| bytes.extend_from_slice(slice));
            }
            Self::Tombstones(tombstones) => tombstones.iter().for_each(|it| it.encode_into(bytes)),
            Self::Summary(entries) => entries.iter().for_each(|entry| entry.encode_into(bytes)),
            Self::Mark(mark) => bytes.extend_from_slice(&mark.encode()),
        }
    }
}

/// The bytes in all slices.
pub(super) fn length(slices: &[Bytes]) -> usize {
    slices.iter().map(Bytes::len).sum()
}

impl Blocks {
    pub(super) const fn new(geometry: Geometry) -> Self {
        Self { geometry, blocks: Vec::new(), blank: 0 }
    }

    /// So many sectors that hold nothing.
    pub(super) const fn blank(geometry: Geometry, sectors: u32) -> Self {
        Self { geometry, blocks: Vec::new(), blank: sectors }
    }

    /// This, and one block behind it.
    pub(super) fn with(mut self, checksums: Checksums, label: Label, payload: Payload) -> Self {
        self.blocks.push(Block { checksums, label, payload });
        self
    }

    /// The bytes to write, whole sectors: heads are encoded and sums computed here. Twice gives the same
    /// twice.
    pub fn seal(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        for Block { checksums, label, payload } in &self.blocks {
            let begin = bytes.len();
            bytes.resize(begin + HEADER_BYTES, 0);
            payload.encode_into(&mut bytes);
            checksums.seal(&mut bytes, begin, &self.geometry, label);
        }
        bytes.resize(bytes.len() + self.geometry.length(self.blank), 0);
        bytes.into()
    }

    /// How many bytes they are.
    pub fn len(&self) -> u64 {
        let sectors =
            self.blocks.iter().map(|block| u64::from(self.geometry.sectors_for(block.payload.len())));
        (sectors.sum::<u64>() + u64::from(self.blank)) * u64::from(self.geometry.sector_bytes)
    }

    /// Is there nothing to write? Never so of what the store asks for.
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.blank == 0
    }
}

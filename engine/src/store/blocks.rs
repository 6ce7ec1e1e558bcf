//! Blocks on their way to the device. They are sealed outside of the store and so outside of any lock around it.

use super::{
    block::{Checksums, Label},
    geometry::Geometry,
};
use alloc::vec::Vec;
use bytes::Bytes;

/// What a write brings to the device: one block or several, side by side. Their bodies are the slices that came in; nothing
/// is copied or hashed before [`Blocks::seal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    geometry: Geometry,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    checksums: Checksums,
    label: Label,
    payload: Vec<Bytes>,
}

impl Blocks {
    pub(super) const fn new(geometry: Geometry) -> Self {
        Self { geometry, blocks: Vec::new() }
    }

    /// This, and one block behind it.
    pub(super) fn with(mut self, checksums: Checksums, label: Label, payload: Vec<Bytes>) -> Self {
        self.blocks.push(Block { checksums, label, payload });
        self
    }

    /// The bytes to write, whole sectors: sums are computed here. Twice gives the same twice.
    pub fn seal(&self) -> Bytes {
        let mut bytes = Vec::new();
        for Block { checksums, label, payload } in &self.blocks {
            checksums.seal_into(&mut bytes, &self.geometry, label, payload);
        }
        bytes.into()
    }

    /// How many bytes they are.
    pub fn len(&self) -> u64 {
        let payload = |block: &Block| block.payload.iter().map(Bytes::len).sum();
        let sectors = self.blocks.iter().map(|block| u64::from(self.geometry.sectors_for(payload(block))));
        sectors.sum::<u64>() * u64::from(self.geometry.sector_bytes)
    }

    /// Is there nothing to write? Never so of what the store asks for.
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

//! The synchronous lane into L0: chunks are kept as they pass, and become resident all at once at the end.

use crate::language::{chunk::Chunk, units::ByteCount};
use alloc::vec::Vec;

/// A body being collected, under the gate.
#[derive(Debug)]
pub(super) struct Collect<C> {
    chunks: Vec<C>,
    size: ByteCount,
    gate: ByteCount,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collected {
    /// It is kept.
    Kept,
    /// The body has grown past the gate; nothing of it will be kept.
    OverGate,
}

impl<C: Chunk> Collect<C> {
    pub(super) const fn new(gate: ByteCount) -> Self {
        Self { chunks: Vec::new(), size: ByteCount::ZERO, gate }
    }

    pub(super) fn push(&mut self, chunk: &C) -> Collected {
        let size = self.size.plus(chunk.size());
        if size > self.gate {
            return Collected::OverGate;
        }
        self.size = size;
        if self.chunks.is_empty() {
            // Most small bodies are one chunk: no room is made for a second before it comes.
            self.chunks.reserve_exact(1);
        }
        self.chunks.push(chunk.clone());
        Collected::Kept
    }

    pub(super) const fn size(&self) -> ByteCount {
        self.size
    }

    pub(super) fn into_body(self) -> Vec<C> {
        C::compact(self.chunks)
    }
}

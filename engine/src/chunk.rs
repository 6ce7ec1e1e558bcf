//! What streams through the engine: [`Chunk`], and its two forms.
//!
//! Production runs on [`Bytes`]. Simulation and replay run on [`Symbol`], which stands for a span of one version of one
//! object: a simulated gigabyte costs nothing, and a single byte out of place is still seen.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;

/// A piece of a body. Cloning shares it.
pub trait Chunk: Clone + Debug {
    /// How many bytes it stands for.
    fn size(&self) -> u64;

    /// All but its first `skip` bytes. `skip` is at most [`Chunk::size`].
    fn skip(&self, skip: u64) -> Self;

    /// Its first `size` bytes. `size` is at most [`Chunk::size`].
    fn take(&self, size: u64) -> Self;

    /// Bytes that the engine itself wrote: what stands between the parts of a multipart answer.
    fn text(text: &str) -> Self;

    /// The same bytes in as few pieces and as little memory as this kind of chunk can. Called once, when a body
    /// becomes resident in L0.
    fn compact(pieces: Vec<Self>) -> Vec<Self>;
}

impl Chunk for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn skip(&self, skip: u64) -> Self {
        // A length in memory fits `usize`, and `skip` is at most that.
        self.slice(usize::try_from(skip).unwrap_or(usize::MAX)..)
    }

    fn take(&self, size: u64) -> Self {
        self.slice(..usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn text(text: &str) -> Self {
        Self::copy_from_slice(text.as_bytes())
    }

    /// Copies into buffers of the exact size, so that a small resident body never holds a large receive buffer.
    fn compact(pieces: Vec<Self>) -> Vec<Self> {
        let total = pieces.iter().map(Bytes::len).sum();
        let mut whole = Vec::with_capacity(total);
        for piece in &pieces {
            whole.extend_from_slice(piece);
        }
        if whole.is_empty() { Vec::new() } else { Vec::from([Self::from(whole)]) }
    }
}

/// A span of one version of one object, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Symbol {
    /// Which object, in the numbering of whoever made it.
    pub object: u64,
    /// Which version of it.
    pub version: u32,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub size: u64,
}

impl Symbol {
    /// The object number of what the engine itself wrote.
    pub const TEXT: u64 = u64::MAX - 1;

    /// This span followed by `next`, when both are of one version and touch.
    pub fn joined(self, next: Self) -> Option<Self> {
        let touches = self.object == next.object
            && self.version == next.version
            && self.offset.checked_add(self.size) == Some(next.offset);
        touches.then_some(Self { size: self.size.saturating_add(next.size), ..self })
    }
}

impl Chunk for Symbol {
    fn size(&self) -> u64 {
        self.size
    }

    fn skip(&self, skip: u64) -> Self {
        Self { offset: self.offset.saturating_add(skip), size: self.size.saturating_sub(skip), ..*self }
    }

    fn take(&self, size: u64) -> Self {
        Self { size, ..*self }
    }

    fn text(text: &str) -> Self {
        Self { object: Self::TEXT, version: 0, offset: 0, size: text.len() as u64 }
    }

    fn compact(pieces: Vec<Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::with_capacity(1);
        for piece in pieces {
            match joined.last().and_then(|last| last.joined(piece)) {
                Some(longer) => *joined.last_mut().expect("a last element was just joined") = longer,
                None => joined.push(piece),
            }
        }
        joined
    }
}

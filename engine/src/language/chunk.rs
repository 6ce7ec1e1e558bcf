//! What streams through the engine: [`Chunk`], and its two forms.
//!
//! Production runs on [`Bytes`]. Simulation and replay run on [`Symbol`], which stands for a span of one
//! version of one object: a simulated gigabyte costs nothing, and a single byte out of place is still seen.

use crate::durable::BodyDigest;
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;
use core::fmt::Debug;

/// A piece of a body. Cloning shares it.
pub trait Chunk: Clone + Debug {
    /// What is kept of a body's bytes so far, to tell its digest at the end.
    type Digest: Clone + Debug + Default;

    /// How many bytes it stands for.
    fn size(&self) -> u64;

    /// All but its first `skip` bytes. `skip` is at most [`Chunk::size`].
    fn skip(&self, skip: u64) -> Self;

    /// Its first `size` bytes. `size` is at most [`Chunk::size`].
    fn take(&self, size: u64) -> Self;

    /// Bytes that the engine itself wrote: what stands between the parts of a multipart answer.
    fn text(text: &str) -> Self;

    /// The same bytes in as few pieces and as little memory as this kind of chunk can. Called once, when a
    /// body becomes resident in L0.
    fn compact(pieces: Vec<Self>) -> Vec<Self>;

    /// A whole body as bytes that a store can keep in a row.
    fn to_row(pieces: &[Self]) -> Bytes;

    /// The body that [`Chunk::to_row`] wrote, in one piece. `None`: these bytes are not one piece of a body.
    fn from_row(row: &Bytes) -> Option<Self>;

    /// Takes these bytes into the digest of a body, in order. Where they are cut makes no difference.
    fn digest_into(&self, digest: &mut Self::Digest);

    /// The digest of all that was taken in. Bodies with the same digest are the same.
    fn digest_of(digest: &Self::Digest) -> BodyDigest;
}

/// The digest of bytes in the making: the first half of their BLAKE3. The box keeps its 2 KiB out of tables.
#[derive(Clone, Debug, Default)]
pub struct BytesDigest(Box<blake3::Hasher>);

impl Chunk for Bytes {
    type Digest = BytesDigest;

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

    /// Copies into buffers of the exact size, so that a small resident body never holds a large receive
    /// buffer.
    fn compact(pieces: Vec<Self>) -> Vec<Self> {
        let total = pieces.iter().map(Bytes::len).sum();
        let mut whole = Vec::with_capacity(total);
        for piece in &pieces {
            whole.extend_from_slice(piece);
        }
        if whole.is_empty() { Vec::new() } else { Vec::from([Self::from(whole)]) }
    }

    fn to_row(pieces: &[Self]) -> Bytes {
        match pieces {
            [whole] => whole.clone(),
            _ => pieces.concat().into(),
        }
    }

    fn from_row(row: &Bytes) -> Option<Self> {
        Some(row.clone())
    }

    fn digest_into(&self, digest: &mut BytesDigest) {
        digest.0.update(self);
    }

    fn digest_of(digest: &BytesDigest) -> BodyDigest {
        let whole = digest.0.finalize();
        let (first, _) =
            whole.as_bytes().split_first_chunk().expect("a digest has 32 bytes, of which 16 are taken");
        BodyDigest(u128::from_le_bytes(*first))
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

/// The digest of symbols in the making: one number over all spans, with neighbours joined.
#[derive(Clone, Debug, Default)]
pub struct SymbolDigest {
    before: u128,
    last: Option<Symbol>,
}

impl SymbolDigest {
    fn with(&self) -> u128 {
        let Some(Symbol { object, version, offset, size }) = self.last else { return self.before };
        // The multiplier of a 128-bit linear congruential generator: odd, and known to mix well.
        let mix = |sum: u128, part: u64| {
            (sum ^ u128::from(part)).wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).rotate_left(29)
        };
        [object, version.into(), offset, size].into_iter().fold(self.before | 1, mix)
    }
}

impl Chunk for Symbol {
    type Digest = SymbolDigest;

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
        if pieces.len() < 2 {
            return pieces;
        }
        let mut joined: Vec<Self> = Vec::with_capacity(1);
        for piece in pieces {
            match joined.last().and_then(|last| last.joined(piece)) {
                Some(longer) => *joined.last_mut().expect("a last element was just joined") = longer,
                None => joined.push(piece),
            }
        }
        joined
    }

    fn to_row(pieces: &[Self]) -> Bytes {
        let span = |Self { object, version, offset, size }: &Self| {
            [*object, u64::from(*version), *offset, *size].map(u64::to_le_bytes).concat()
        };
        Self::compact(pieces.to_vec()).iter().flat_map(span).collect()
    }

    /// An empty body is a span of nothing.
    fn from_row(row: &Bytes) -> Option<Self> {
        if row.is_empty() {
            return Some(Self { object: 0, version: 0, offset: 0, size: 0 });
        }
        let (numbers, rest) = row.as_chunks::<8>();
        let [object, version, offset, size] = numbers else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let version = u32::try_from(number(version)).ok().filter(|_| rest.is_empty())?;
        Some(Self { object: number(object), version, offset: number(offset), size: number(size) })
    }

    fn digest_into(&self, digest: &mut SymbolDigest) {
        match digest.last.and_then(|last| last.joined(*self)) {
            Some(longer) => digest.last = Some(longer),
            None => *digest = SymbolDigest { before: digest.with(), last: Some(*self) },
        }
    }

    fn digest_of(digest: &SymbolDigest) -> BodyDigest {
        BodyDigest(digest.with())
    }
}

/// As many bytes as a chunk had, and nothing else of it: what a recording keeps of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blank(pub u64);

impl From<u64> for Blank {
    fn from(size: u64) -> Self {
        Self(size)
    }
}

impl Chunk for Blank {
    type Digest = ();

    fn size(&self) -> u64 {
        self.0
    }

    fn skip(&self, skip: u64) -> Self {
        Self(self.0.saturating_sub(skip))
    }

    fn take(&self, size: u64) -> Self {
        Self(size)
    }

    fn text(text: &str) -> Self {
        Self(text.len() as u64)
    }

    /// As [`Bytes`] does it: into one piece, or none.
    fn compact(pieces: Vec<Self>) -> Vec<Self> {
        let total = pieces.iter().map(|piece| piece.0).sum();
        if total == 0 { Vec::new() } else { Vec::from([Self(total)]) }
    }

    fn to_row(pieces: &[Self]) -> Bytes {
        let total: u64 = pieces.iter().map(|piece| piece.0).sum();
        Bytes::copy_from_slice(&total.to_le_bytes())
    }

    fn from_row(row: &Bytes) -> Option<Self> {
        Some(Self(u64::from_le_bytes(row.as_ref().try_into().ok()?)))
    }

    fn digest_into(&self, (): &mut ()) {}

    /// The same for every body: nothing is recorded of a durable tier, the one place where digests are
    /// compared.
    fn digest_of((): &()) -> BodyDigest {
        BodyDigest(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn digest<C: Chunk>(pieces: &[C]) -> BodyDigest {
        let mut digest = C::Digest::default();
        for piece in pieces {
            piece.digest_into(&mut digest);
        }
        C::digest_of(&digest)
    }

    /// A digest is that of the body, however it was cut; another body, or the same in another order, has
    /// another.
    #[test]
    fn a_digest_depends_on_bytes_and_not_on_cuts() {
        let whole = Symbol { object: 3, version: 1, offset: 0, size: 100 };
        let (first, rest) = (whole.take(40), whole.skip(40));
        assert_eq!(digest(&[first, rest]), digest(&[whole]));
        let other = Symbol { version: 2, ..whole };
        for wrong in [vec![rest, first], vec![first], vec![first, first], vec![first, other.skip(40)], vec![]]
        {
            assert_ne!(digest(&wrong), digest(&[whole]), "{wrong:?}");
        }
        let bytes = Bytes::from_static(b"hello world");
        assert_eq!(digest(&[bytes.take(4), bytes.skip(4)]), digest(std::slice::from_ref(&bytes)));
        assert_ne!(digest(&[bytes.skip(4), bytes.take(4)]), digest(&[bytes]));
    }
}

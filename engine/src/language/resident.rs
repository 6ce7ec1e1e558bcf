//! What L0 holds.

use crate::{
    language::{chunk::Chunk, head::Head, record::Freshness, selector::TargetUri, units::ByteCount},
    rules::{Piece, Staleness},
};
use alloc::{sync::Arc, vec::Vec};

/// One response in memory, whole. Shared by the tier and by everybody who is sending it: eviction takes it
/// out of the tier, not out of their hands (failure T9).
#[derive(Clone, Debug)]
pub struct Resident<C> {
    /// The head.
    pub head: Arc<Head>,
    /// The body, in order.
    pub chunks: Vec<C>,
    /// The body's length.
    pub length: ByteCount,
    /// How long it may be used.
    pub freshness: Freshness,
    /// And how, when that is over.
    pub(crate) staleness: Staleness,
    /// Where it was asked for.
    pub(crate) uri: TargetUri,
}

impl<C: Chunk> Resident<C> {
    /// These pieces of the body, under another head.
    pub(crate) fn share(&self, head: Head, pieces: &[Piece]) -> Self {
        let mut chunks = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => chunks.push(C::text(text)),
                Piece::Bytes { first, count } => self.cut(*first, *count, &mut chunks),
            }
        }
        let length = ByteCount(pieces.iter().fold(0, |sum, piece| sum + piece.size()));
        let (freshness, staleness) = (self.freshness, self.staleness);
        let uri = self.uri.clone();
        Self { head: Arc::new(head), chunks, length, freshness, staleness, uri }
    }

    /// Adds `count` bytes of the body, from `first` on, to `chunks`.
    fn cut(&self, first: u64, count: u64, chunks: &mut Vec<C>) {
        let (mut skip, mut left) = (first, count);
        for chunk in &self.chunks {
            let size = chunk.size();
            if skip >= size {
                skip -= size;
            } else if left > 0 {
                let piece = chunk.skip(skip);
                let piece = if piece.size() > left { piece.take(left) } else { piece };
                skip = 0;
                left -= piece.size();
                chunks.push(piece);
            }
        }
    }
}

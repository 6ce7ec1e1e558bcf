//! What a read of the device must be, checked outside of the store and so outside of any lock around it.
//!
//! A [`Check`] goes out with each read and takes what the device gave; [`Checked`] comes back with the answer. Nothing
//! here knows the store's state, and nothing does I/O.

use super::{
    block::{Checksums, HEADER_BYTES, Header, Kind, Place, Unfit},
    content::Mark,
    geometry::Geometry,
    plant::StoreFault,
    walk::{Walked, walk},
};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// Says whether what a read gave is what was written there. Hashes in [`Check::run`], and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub(super) checksums: Checksums,
    pub(super) geometry: Geometry,
    pub(super) place: Place,
    pub(super) expected: Expected,
    /// What earlier reads gave that were short.
    pub(super) got: Bytes,
    /// The bytes that are wanted in all.
    pub(super) length: usize,
}

/// What is expected at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A block of a segment that was opened as this.
    Block { sequence: u64 },
    /// The header of a block alone.
    Header { sequence: u64 },
    /// A segment's headers, in their two sectors, or its footer.
    Marks { kind: Kind },
    /// A whole segment that was opened as this.
    Segment { sequence: u64 },
}

/// What became of a read: the input to the store that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked(pub(super) Outcome);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The device gave less than was wanted: the whole sectors so far.
    Short(Bytes),
    /// A block's header, and its payload. A payload that goes on behind what was read is `TooShort`.
    Block(Result<Header, Unfit>, Result<Bytes, Unfit>),
    /// What a segment's header or footer says, and as which it was opened.
    Mark(Option<(u64, Mark)>),
    /// The whole blocks of a segment.
    Segment(Vec<Walked>),
}

impl Check {
    /// Verifies what was read, from the offset that the effect named on. Fewer bytes than it named are a short read, which
    /// the store asks on for.
    pub fn run(self, bytes: Bytes) -> Checked {
        let left = self.length - self.got.len();
        let bytes = if bytes.len() < left && self.checksums.planted().is(StoreFault::FillsUp) {
            let mut filled = bytes.to_vec();
            filled.resize(left, 0);
            Bytes::from(filled)
        } else {
            bytes
        };
        let is_short = bytes.len() < left;
        let whole = bytes.len() - bytes.len() % self.geometry.sector_bytes as usize;
        let bytes = if self.got.is_empty() {
            bytes.slice(..whole.min(left))
        } else {
            let mut all = BytesMut::from(&self.got[..]);
            all.extend_from_slice(&bytes[..whole.min(left)]);
            all.freeze()
        };
        Checked(if is_short { Outcome::Short(bytes) } else { self.outcome(&bytes) })
    }

    fn outcome(&self, bytes: &Bytes) -> Outcome {
        match self.expected {
            Expected::Block { sequence } => {
                let header = self.checksums.header(bytes, self.place, Some(sequence));
                let payload = header.and_then(|header| {
                    self.checksums.payload(&header, bytes)?;
                    Ok(bytes.slice(HEADER_BYTES..HEADER_BYTES + header.payload))
                });
                Outcome::Block(header, payload)
            }
            Expected::Header { sequence } => {
                Outcome::Block(self.checksums.header(bytes, self.place, Some(sequence)), Err(Unfit::TooShort))
            }
            Expected::Marks { kind } => {
                let size = self.geometry.sector_bytes as usize;
                let mut copies = bytes.chunks(size).zip(self.place.sector..);
                Outcome::Mark(copies.find_map(|(bytes, sector)| {
                    let header = Checksums::OPEN.header(bytes, Place { sector, ..self.place }, None).ok()?;
                    let mark = Mark::decode(Checksums::OPEN.payload(&header, bytes).ok()?)?;
                    (header.label.kind == kind).then_some((header.label.sequence, mark))
                }))
            }
            Expected::Segment { sequence } => {
                let segment = self.place.segment;
                Outcome::Segment(walk(bytes, &self.geometry, &self.checksums, segment, sequence))
            }
        }
    }
}

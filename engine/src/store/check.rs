//! What a read of the device must be, checked outside of the store and so outside of any lock around it.
//!
//! A [`Check`] goes out with each read and takes what the device gave; [`Checked`] comes back with the
//! answer. Nothing here knows the store's state, and nothing does I/O.

use super::{
    block::{Checksums, HEADER_BYTES, Header, Kind, Place, Unfit},
    content::{Content, Entry, Mark},
    geometry::Geometry,
    plant::StoreFault,
    walk::{Walked, walk},
};
use alloc::{boxed::Box, vec::Vec};
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

/// What is expected at a place, in a segment that was opened as `sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Record {
        sequence: u64,
    },
    Piece {
        sequence: u64,
    },
    Summary {
        sequence: u64,
    },
    /// The header of a block alone.
    Header {
        sequence: u64,
    },
    /// A segment's headers, in their two sectors, or its footer.
    Marks {
        kind: Kind,
    },
    /// A whole segment.
    Segment {
        sequence: u64,
    },
}

/// What became of a read: the input to the store that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked(pub(super) Outcome);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The device gave less than was wanted: the whole sectors so far.
    Short(Bytes),
    Record(Result<Box<Loaded>, Unfit>),
    /// It goes on behind what was read: its payload in all.
    Longer(usize),
    /// A piece of a body, and what its header says.
    Piece(Result<(Header, Bytes), Unfit>),
    Summary(Option<Vec<Entry>>),
    Header(Result<Header, Unfit>),
    /// What a segment's header or footer says, and as which it was opened.
    Mark(Option<(u64, Mark)>),
    /// The whole blocks of a segment.
    Segment(Vec<Walked>),
}

/// A record's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) stamp: u64,
    pub(super) content: Content,
    /// The end of the body, or all of it.
    pub(super) tail: Bytes,
}

impl Check {
    /// Verifies what was read, from the offset that the effect named on. Fewer bytes than it named are a
    /// short read, which the store asks on for.
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
        let whole = (bytes.len() - bytes.len() % self.geometry.sector_bytes as usize).min(left);
        let bytes = if self.got.is_empty() {
            bytes.slice(..whole)
        } else {
            let mut all = BytesMut::with_capacity(self.got.len() + whole);
            all.extend_from_slice(&self.got);
            all.extend_from_slice(&bytes[..whole]);
            all.freeze()
        };
        Checked(if is_short { Outcome::Short(bytes) } else { self.outcome(&bytes) })
    }

    fn outcome(&self, bytes: &Bytes) -> Outcome {
        match self.expected {
            Expected::Record { sequence } => {
                let header = self.checksums.header(bytes, self.place, Some(sequence));
                match header {
                    Ok(header) if self.goes_on(&header) => Outcome::Longer(header.payload),
                    Ok(_) | Err(_) => Outcome::Record(header.and_then(|header| self.record(&header, bytes))),
                }
            }
            Expected::Piece { sequence } => {
                let header = self.checksums.header(bytes, self.place, Some(sequence));
                let is_piece = |header: Header| {
                    let is_piece = header.label.kind == Kind::Body;
                    if is_piece { Ok(header) } else { Err(Unfit::Unexpected) }
                };
                let piece = header.and_then(is_piece);
                Outcome::Piece(piece.and_then(|header| Ok((header, self.payload(&header, bytes)?))))
            }
            Expected::Summary { sequence } => {
                let header = self.checksums.header(bytes, self.place, Some(sequence)).ok();
                let header = header.filter(|header| header.label.kind == Kind::Summary);
                let payload = header.and_then(|header| self.payload(&header, bytes).ok());
                Outcome::Summary(payload.and_then(|payload| Entry::decode_all(&payload)))
            }
            Expected::Header { sequence } => {
                Outcome::Header(self.checksums.header(bytes, self.place, Some(sequence)))
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

    /// Does a record's block go on behind what was read, within its segment?
    fn goes_on(&self, header: &Header) -> bool {
        let sectors = self.geometry.sectors_for(header.payload);
        header.label.kind == Kind::Record
            && self.geometry.length(sectors) > self.length
            && sectors <= self.geometry.sectors - self.place.sector
    }

    fn payload(&self, header: &Header, bytes: &Bytes) -> Result<Bytes, Unfit> {
        self.checksums.payload(header, bytes)?;
        Ok(bytes.slice(HEADER_BYTES..HEADER_BYTES + header.payload))
    }

    fn record(&self, header: &Header, bytes: &Bytes) -> Result<Box<Loaded>, Unfit> {
        let (content, tail) = Content::decode(&self.payload(header, bytes)?).ok_or(Unfit::Unexpected)?;
        let label = header.label;
        let is_labelled = (label.kind, label.key, label.name)
            == (Kind::Record, content.record.stored_key(), content.record.name);
        let loaded = Loaded { stamp: label.stamp, content, tail };
        if is_labelled { Ok(Box::new(loaded)) } else { Err(Unfit::Unexpected) }
    }
}

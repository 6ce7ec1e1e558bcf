//! Finds the blocks of a segment that has no summary, by their headers.
//!
//! A block whose checksums hold is followed by the next; where none is, every further sector is tried. So whatever was
//! lost, torn or put somewhere else costs that block and no other.

use super::{
    block::{Checksums, HEADER_BYTES, Kind, Place},
    content::{Content, Entry, Extent, Grave, What},
    geometry::Geometry,
};
use alloc::vec::Vec;
use bytes::Bytes;

/// A whole block, and where the rest of its object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) entry: Entry,
    pub(super) extents: Vec<Extent>,
}

/// The whole blocks in the bytes of a segment, in order.
pub(super) fn walk(
    bytes: &Bytes,
    geometry: &Geometry,
    checksums: &Checksums,
    segment: u32,
    sequence: u64,
) -> Vec<Walked> {
    let mut found = Vec::new();
    let mut sector = 2;
    while sector < geometry.sectors {
        let rest = bytes.slice(geometry.length(sector).min(bytes.len())..);
        let walked = block(&rest, geometry, checksums, Place { segment, sector }, sequence);
        sector += walked.as_ref().map_or(1, |walked| walked.entry.sectors);
        found.extend(walked);
    }
    found
}

fn block(
    bytes: &Bytes,
    geometry: &Geometry,
    checksums: &Checksums,
    place: Place,
    sequence: u64,
) -> Option<Walked> {
    let header = checksums.header(bytes, place, Some(sequence)).ok()?;
    let payload = checksums.payload(&header, bytes).ok()?;
    let mut extents = Vec::new();
    let what = match header.label.kind {
        Kind::Body => What::Body,
        Kind::Record => {
            let content = Content::decode(&bytes.slice(HEADER_BYTES..HEADER_BYTES + header.payload))?;
            extents = content.extents;
            let first = extents.first().map_or(sequence, |extent: &Extent| extent.at.sequence);
            What::Record { object: content.sectors, first }
        }
        Kind::Tombstone => What::Tombstone(Grave::decode(payload)?),
        Kind::Segment | Kind::Summary | Kind::Footer => return None,
    };
    let sectors = geometry.sectors_for(header.payload);
    let entry = Entry { what, sector: place.sector, sectors, key: header.label.key, name: header.label.name };
    Some(Walked { entry, extents })
}

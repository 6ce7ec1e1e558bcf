//! Finds the blocks of a segment that has no summary, by their headers.
//!
//! A block whose checksums hold is followed by the next; where none is, every further sector is tried. So
//! whatever was lost, torn or put somewhere else costs that block and no other.

use super::{
    block::{Checksums, HEADER_BYTES, Kind, Place},
    content::{Content, Entry, Extent, Tombstone, What},
    geometry::Geometry,
};
use crate::language::id::RecordName;
use alloc::vec::Vec;
use bytes::Bytes;

/// A whole block, or a tombstone in one, and where the rest of its object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) entry: Entry,
    pub(super) name: RecordName,
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
        let sectors =
            block(&rest, geometry, checksums, Place { segment, sector }, sequence, &mut found).unwrap_or(1);
        sector += sectors;
    }
    found
}

/// Adds what a block holds, and says how many sectors it has.
fn block(
    bytes: &Bytes,
    geometry: &Geometry,
    checksums: &Checksums,
    place: Place,
    sequence: u64,
    found: &mut Vec<Walked>,
) -> Option<u32> {
    let header = checksums.header(bytes, place, Some(sequence)).ok()?;
    let payload = checksums.payload(&header, bytes).ok()?;
    let (key, name, stamp) = (header.label.key, header.label.name, header.label.stamp);
    let (sector, sectors) = (place.sector, geometry.sectors_for(header.payload));
    let walked = |what, extents| Walked { entry: Entry { what, sector, sectors }, name, extents };
    match header.label.kind {
        Kind::Body => found.push(walked(What::Body { key, stamp }, Vec::new())),
        Kind::Record => {
            let payload = bytes.slice(HEADER_BYTES..HEADER_BYTES + header.payload);
            let (content, _) = Content::decode(&payload).filter(|(content, _)| content.sectors > 0)?;
            let object = content.sectors;
            found.push(walked(What::Record { key, stamp, object }, content.extents));
        }
        Kind::Tombstone => {
            let tombstones = Tombstone::decode_all(payload)?;
            found.extend(tombstones.into_iter().map(|it| walked(What::Tombstone(it), Vec::new())));
        }
        Kind::Segment | Kind::Summary | Kind::Footer => return None,
    }
    Some(sectors)
}

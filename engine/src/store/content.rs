//! What the blocks carry: a record, a tombstone, the mark of a segment, and the list of its blocks.
//!
//! ```text
//! record     head's length (4), extents (4), sectors of the whole object (4), zero (4),
//!            the head as `format.rs` writes it, extents of 16 bytes, the end of the body
//! extent     sequence (8), sector (4), bytes of the body in it (4)
//! tombstone  what it is of (1), zero (3), through: sector (4), sequence (8)
//! mark       the store's number (16), floor (8), segments (4), sectors (4), sector bytes (4), summary's sector (4)
//! entry      kind (1), of a tombstone what it is of (1), zero (2), sector (4), sectors (4),
//!            of a record its object's sectors, of a tombstone through's sector (4),
//!            key (16), target (16), name (16),
//!            of a record the sequence where its object begins, of a tombstone through's sequence (8)
//! ```

use super::{
    block::{Fields, Kind, Place, Position},
    geometry::Geometry,
};
use crate::{
    format,
    id::RecordName,
    key::{CacheKey, StoredKey},
    record::Record,
};
use alloc::vec::Vec;
use bytes::Bytes;

/// A piece of a body that has a block of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) at: Position,
    /// Bytes of the body.
    pub(super) bytes: u32,
}

pub(super) const EXTENT_BYTES: usize = 16;
pub(super) const RECORD_FIXED: usize = 16;

/// The payload of a record's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) record: Record,
    /// Sectors of this block and of those that the extents name.
    pub(super) sectors: u32,
    /// In the body's order.
    pub(super) extents: Vec<Extent>,
    /// The end of the body, or all of it.
    pub(super) tail: Bytes,
}

/// A record's payload on its way to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    /// All but the tail.
    pub(super) front: Vec<u8>,
    /// Sectors of the record's block.
    pub(super) own: u32,
    /// Sectors of the whole object.
    pub(super) object: u32,
}

impl Content {
    /// Everything but the tail, which follows it. `sectors` is of the other blocks; this one's are added.
    pub(super) fn encode(&self, geometry: &Geometry) -> Encoded {
        let head = format::encode(&self.record);
        let size = RECORD_FIXED + head.len() + EXTENT_BYTES * self.extents.len();
        let own = geometry.sectors_for(size + self.tail.len());
        let object = self.sectors.saturating_add(own);
        let mut front = Vec::with_capacity(size);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        front.extend_from_slice(&number(head.len()));
        front.extend_from_slice(&number(self.extents.len()));
        front.extend_from_slice(&object.to_le_bytes());
        front.extend_from_slice(&[0; 4]);
        front.extend_from_slice(&head);
        for extent in &self.extents {
            front.extend_from_slice(&extent.at.sequence.to_le_bytes());
            front.extend_from_slice(&extent.at.sector.to_le_bytes());
            front.extend_from_slice(&extent.bytes.to_le_bytes());
        }
        Encoded { front, own, object }
    }

    /// What a payload says; nothing if it does not add up.
    pub(super) fn decode(payload: &Bytes) -> Option<Self> {
        if payload.len() < RECORD_FIXED {
            return None;
        }
        let mut fields = Fields(payload);
        let [head, extents, sectors, _zero] = [fields.u32(), fields.u32(), fields.u32(), fields.u32()];
        let extents_at = RECORD_FIXED.checked_add(head as usize)?;
        let tail_at = extents_at.checked_add((extents as usize).checked_mul(EXTENT_BYTES)?)?;
        if tail_at > payload.len() {
            return None;
        }
        let record = format::decode(&payload[RECORD_FIXED..extents_at]).ok()?;
        let mut fields = Fields(&payload[extents_at..tail_at]);
        let extents: Vec<Extent> = (0..extents)
            .map(|_| {
                let at = Position { sequence: fields.u64(), sector: fields.u32() };
                Extent { at, bytes: fields.u32() }
            })
            .collect();
        let tail = payload.slice(tail_at..);
        let is_even = extents.windows(2).all(|pair| pair[0].bytes == pair[1].bytes);
        let length = extents.iter().map(|extent| u64::from(extent.bytes)).sum::<u64>() + tail.len() as u64;
        (is_even && length == record.length.0).then_some(Self { record, sectors, extents, tail })
    }
}

/// What a tombstone takes away, of all that lies before it in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grave {
    /// Of its key, the record of its name, and whatever lies there or before.
    Record { through: Position },
    /// Everything of its target.
    Target,
}

pub(super) const TOMBSTONE_BYTES: usize = 16;

impl Grave {
    pub(super) fn encode(self) -> [u8; TOMBSTONE_BYTES] {
        let mut bytes = [0; TOMBSTONE_BYTES];
        bytes[0] = self.byte();
        bytes[4..8].copy_from_slice(&self.through().sector.to_le_bytes());
        bytes[8..].copy_from_slice(&self.through().sequence.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TOMBSTONE_BYTES] = bytes.try_into().ok()?;
        let mut fields = Fields(&bytes[4..]);
        let sector = fields.u32();
        Self::of(bytes[0], Position { sequence: fields.u64(), sector })
    }

    const fn of(byte: u8, through: Position) -> Option<Self> {
        match byte {
            1 => Some(Self::Record { through }),
            2 => Some(Self::Target),
            _ => None,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Record { .. } => 1,
            Self::Target => 2,
        }
    }

    const fn through(self) -> Position {
        match self {
            Self::Record { through } => through,
            Self::Target => Position { sequence: 0, sector: 0 },
        }
    }
}

/// What the header and the footer of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Told apart from every other store by it.
    pub(super) store: u128,
    /// Segments of lower sequences held nothing when this one was opened.
    pub(super) floor: u64,
    pub(super) segments: u32,
    pub(super) sectors: u32,
    pub(super) sector_bytes: u32,
    /// Of a footer: where the summary begins.
    pub(super) summary: u32,
}

pub(super) const MARK_BYTES: usize = 40;

impl Mark {
    pub(super) fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..16].copy_from_slice(&self.store.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.floor.to_le_bytes());
        let numbers = [self.segments, self.sectors, self.sector_bytes, self.summary];
        for (field, number) in bytes[24..].chunks_exact_mut(4).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != MARK_BYTES {
            return None;
        }
        let mut fields = Fields(bytes);
        Some(Self {
            store: fields.u128(),
            floor: fields.u64(),
            segments: fields.u32(),
            sectors: fields.u32(),
            sector_bytes: fields.u32(),
            summary: fields.u32(),
        })
    }

    /// Is it of a device cut up like this?
    pub(super) const fn is_of(&self, geometry: &Geometry) -> bool {
        self.segments == geometry.segments
            && self.sectors == geometry.sectors
            && self.sector_bytes == geometry.sector_bytes
    }
}

/// One block of a segment, as its summary has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) what: What,
    pub(super) sector: u32,
    /// Of the block.
    pub(super) sectors: u32,
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
}

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A piece of a body.
    Body,
    /// A record; its object has so many sectors, the first in the segment opened as `first`.
    Record { object: u32, first: u64 },
    /// A tombstone.
    Tombstone(Grave),
}

pub(super) const ENTRY_BYTES: usize = 72;

impl Entry {
    pub(super) const fn place(&self, segment: u32) -> Place {
        Place { segment, sector: self.sector }
    }

    pub(super) fn encode_into(&self, bytes: &mut Vec<u8>) {
        let (kind, grave, number, sequence) = match self.what {
            What::Body => (Kind::Body, 0, 0, 0),
            What::Record { object, first } => (Kind::Record, 0, object, first),
            What::Tombstone(grave) => {
                (Kind::Tombstone, grave.byte(), grave.through().sector, grave.through().sequence)
            }
        };
        bytes.extend_from_slice(&[kind as u8, grave, 0, 0]);
        for number in [self.sector, self.sectors, number] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.key.key.0, self.key.target.0, self.name.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&sequence.to_le_bytes());
    }

    /// All entries of a summary, or nothing.
    pub(super) fn decode_all(payload: &[u8]) -> Option<Vec<Self>> {
        let entries = payload.chunks_exact(ENTRY_BYTES);
        if !entries.remainder().is_empty() {
            return None;
        }
        entries.map(Self::decode).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, grave) = (bytes[0], bytes[1]);
        let mut fields = Fields(&bytes[4..]);
        let [sector, sectors, number] = [fields.u32(), fields.u32(), fields.u32()];
        let key = StoredKey { key: CacheKey(fields.u128()), target: CacheKey(fields.u128()) };
        let name = RecordName(fields.u128());
        let through = Position { sequence: fields.u64(), sector: number };
        let what = match Kind::from_byte(kind)? {
            Kind::Body => What::Body,
            Kind::Record => What::Record { object: number, first: through.sequence },
            Kind::Tombstone => What::Tombstone(Grave::of(grave, through)?),
            Kind::Segment | Kind::Summary | Kind::Footer => return None,
        };
        Some(Self { what, sector, sectors, key, name })
    }
}

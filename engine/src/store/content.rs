//! What the blocks carry: a record, tombstones, the mark of a segment, and the list of its blocks.
//!
//! ```text
//! record     head's length (4), extents (4), sectors of the whole object (4), zero (4),
//!            the head as `format.rs` writes it, extents of 16 bytes, the end of the body
//! extent     sequence (8), sector (4), bytes of the body in it (4)
//! tombstones of 48 bytes each: what it is of (1), zero (7), through (8), key (16), target (16)
//! mark       the store's number (16), stamp (8), floor of newcomers (8), of main (8), segments (4), sectors (4),
//!            sector bytes (4), summary's sector (4), stream (1), zero (7)
//! entry      kind (1), of a tombstone what it is of (1), zero (2), sector (4), sectors (4),
//!            of a record its object's sectors (4), stamp or, of a tombstone, through (8), key (16), target (16)
//! ```

use super::{
    block::{Fields, Kind, Place, Position},
    geometry::Geometry,
    log::Both,
    policy::Stream,
};
use crate::{
    format,
    language::{
        key::{CacheKey, StoredKey},
        record::Record,
    },
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

/// The payload of a record's block, but for the end of the body, which may be in several slices and lies
/// behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) record: Record,
    /// Sectors of this block and of those that the extents name.
    pub(super) sectors: u32,
    /// In the body's order.
    pub(super) extents: Vec<Extent>,
}

impl Content {
    /// The bytes of its payload before the end of the body.
    pub(super) fn front_bytes(&self) -> usize {
        RECORD_FIXED + format::encoded_length(&self.record) + EXTENT_BYTES * self.extents.len()
    }

    /// Everything but the end of the body, which follows it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let head = format::encode(&self.record);
        let mut front = Vec::with_capacity(self.front_bytes());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        front.extend_from_slice(&number(head.len()));
        front.extend_from_slice(&number(self.extents.len()));
        front.extend_from_slice(&self.sectors.to_le_bytes());
        front.extend_from_slice(&[0; 4]);
        front.extend_from_slice(&head);
        for extent in &self.extents {
            front.extend_from_slice(&extent.at.sequence.to_le_bytes());
            front.extend_from_slice(&extent.at.sector.to_le_bytes());
            front.extend_from_slice(&extent.bytes.to_le_bytes());
        }
        front
    }

    /// What a payload says, and the end of the body; nothing if it does not add up.
    pub(super) fn decode(payload: &Bytes) -> Option<(Self, Bytes)> {
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
        let is_empty = extents.first().is_some_and(|extent| extent.bytes == 0);
        let content = Self { record, sectors, extents };
        (is_even && !is_empty && length == content.record.length.0).then_some((content, tail))
    }
}

/// What a tombstone takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grave {
    /// What has this key.
    Key(StoredKey),
    /// Everything of this target.
    Target(CacheKey),
}

/// A deletion: it takes away what has a stamp of at most `through`, wherever that lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tombstone {
    pub(super) of: Grave,
    pub(super) through: u64,
}

pub(super) const TOMBSTONE_BYTES: usize = 48;

impl Tombstone {
    pub(super) fn encode_into(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&[self.of.byte(), 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&self.through.to_le_bytes());
        let key = self.of.key();
        bytes.extend_from_slice(&key.key.0.to_le_bytes());
        bytes.extend_from_slice(&key.target.0.to_le_bytes());
    }

    /// All tombstones of a block, or nothing.
    pub(super) fn decode_all(payload: &[u8]) -> Option<Vec<Self>> {
        let tombstones = payload.chunks_exact(TOMBSTONE_BYTES);
        if !tombstones.remainder().is_empty() {
            return None;
        }
        tombstones.map(Self::decode).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(&bytes[8..]);
        let through = fields.u64();
        let key = StoredKey { key: CacheKey(fields.u128()), target: CacheKey(fields.u128()) };
        Some(Self { of: Grave::from_parts(bytes[0], key)?, through })
    }
}

impl Grave {
    const fn from_parts(byte: u8, key: StoredKey) -> Option<Self> {
        match byte {
            1 => Some(Self::Key(key)),
            2 => Some(Self::Target(key.target)),
            _ => None,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Key(_) => 1,
            Self::Target(_) => 2,
        }
    }

    pub(super) const fn key(self) -> StoredKey {
        match self {
            Self::Key(key) => key,
            Self::Target(target) => StoredKey::plain(target),
        }
    }
}

/// What the header and the footer of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Told apart from every other store by it.
    pub(super) store: u128,
    /// Every block in the segment has at least this stamp.
    pub(super) stamp: u64,
    /// Segments of lower sequences hold nothing, by stream.
    pub(super) floors: Both<u64>,
    pub(super) segments: u32,
    pub(super) sectors: u32,
    pub(super) sector_bytes: u32,
    /// Of a footer: where the summary begins.
    pub(super) summary: u32,
    pub(super) stream: Stream,
}

pub(super) const MARK_BYTES: usize = 64;

impl Mark {
    pub(super) fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..16].copy_from_slice(&self.store.to_le_bytes());
        let numbers = [self.stamp, self.floors[Stream::Newcomer], self.floors[Stream::Main]];
        for (field, number) in bytes[16..40].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        let numbers = [self.segments, self.sectors, self.sector_bytes, self.summary];
        for (field, number) in bytes[40..56].chunks_exact_mut(4).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[56] = match self.stream {
            Stream::Newcomer => 1,
            Stream::Main => 2,
        };
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != MARK_BYTES || bytes[57..] != [0; 7] {
            return None;
        }
        let mut fields = Fields(bytes);
        Some(Self {
            store: fields.u128(),
            stamp: fields.u64(),
            floors: Both { newcomer: fields.u64(), main: fields.u64() },
            segments: fields.u32(),
            sectors: fields.u32(),
            sector_bytes: fields.u32(),
            summary: fields.u32(),
            stream: match bytes[56] {
                1 => Stream::Newcomer,
                2 => Stream::Main,
                _ => return None,
            },
        })
    }

    /// Is it of a device that is cut up like this, or was when it had fewer segments?
    pub(super) const fn is_of(&self, geometry: &Geometry) -> bool {
        self.sectors == geometry.sectors && self.sector_bytes == geometry.sector_bytes
    }
}

/// One block of a segment, or one tombstone in a block, as its summary has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) what: What,
    pub(super) sector: u32,
    /// Of the block.
    pub(super) sectors: u32,
}

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A piece of a body.
    Body { key: StoredKey, stamp: u64 },
    /// A record; its object has so many sectors.
    Record { key: StoredKey, stamp: u64, object: u32 },
    /// A tombstone.
    Tombstone(Tombstone),
}

pub(super) const ENTRY_BYTES: usize = 56;

impl Entry {
    pub(super) const fn place(&self, segment: u32) -> Place {
        Place { segment, sector: self.sector }
    }

    /// No block of the log has a greater one, as far as this entry tells.
    pub(super) const fn stamp(&self) -> u64 {
        match self.what {
            What::Body { stamp, .. } | What::Record { stamp, .. } => stamp,
            What::Tombstone(tombstone) => tombstone.through,
        }
    }

    pub(super) fn encode_into(&self, bytes: &mut Vec<u8>) {
        let (kind, grave, object, key) = match self.what {
            What::Body { key, .. } => (Kind::Body, 0, 0, key),
            What::Record { key, object, .. } => (Kind::Record, 0, object, key),
            What::Tombstone(Tombstone { of, .. }) => (Kind::Tombstone, of.byte(), 0, of.key()),
        };
        bytes.extend_from_slice(&[kind as u8, grave, 0, 0]);
        for number in [self.sector, self.sectors, object] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.stamp().to_le_bytes());
        for number in [key.key.0, key.target.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
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
        let [sector, sectors, object] = [fields.u32(), fields.u32(), fields.u32()];
        let stamp = fields.u64();
        let key = StoredKey { key: CacheKey(fields.u128()), target: CacheKey(fields.u128()) };
        let what = match Kind::from_byte(kind)? {
            Kind::Body => What::Body { key, stamp },
            // An object has sectors; the index knows free room by their absence.
            Kind::Record if object == 0 => return None,
            Kind::Record => What::Record { key, stamp, object },
            Kind::Tombstone => {
                What::Tombstone(Tombstone { of: Grave::from_parts(grave, key)?, through: stamp })
            }
            Kind::Segment | Kind::Summary | Kind::Footer => return None,
        };
        Some(Self { what, sector, sectors })
    }
}

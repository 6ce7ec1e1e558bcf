//! One block: a header that says what it is and where it belongs, a payload, and zeros up to the next sector.
//!
//! A block is valid in one place and in one life of its segment only: the header names both, and its checksum
//! is keyed with a number that is the store's own, so that no body can contain a block, nor another store's
//! blocks pass for ours. The payload's checksum need not be keyed, for the header binds it: it is a cheap one
//! that finds what rots. `docs/format.md` has the picture. Nothing here does I/O.

use super::{
    geometry::Geometry,
    plant::{Planted, StoreFault},
};
use crate::language::{
    id::RecordName,
    key::{CacheKey, StoredKey},
};
use alloc::vec::Vec;
use xxhash_rust::xxh3::xxh3_64;

/// What a block begins with.
const MAGIC: [u8; 4] = *b"TGBK";
/// Raised with every change of the layout: blocks of another version are none.
const VERSION: u16 = 2;
/// The bytes of a header.
pub(super) const HEADER_BYTES: usize = 112;
/// Where the header's own checksum is.
const SEAL_AT: usize = 104;
/// The bytes of a checksum.
const CHECKSUM_BYTES: usize = 8;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The beginning of a segment.
    Segment = 1,
    /// A piece of a body.
    Body = 2,
    /// A record: its head, where the pieces of its body are, and the rest of it. It makes the whole visible.
    Record = 3,
    /// A deletion.
    Tombstone = 4,
    /// The list of the blocks of a segment.
    Summary = 5,
    /// The end of a segment that was sealed.
    Footer = 6,
}

impl Kind {
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Segment),
            2 => Some(Self::Body),
            3 => Some(Self::Record),
            4 => Some(Self::Tombstone),
            5 => Some(Self::Summary),
            6 => Some(Self::Footer),
            _ => None,
        }
    }
}

/// Where a block begins on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) sector: u32,
}

/// Where a block begins in the log, whichever segment that is on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Counts the openings of segments; none is used twice.
    pub(super) sequence: u64,
    pub(super) sector: u32,
}

/// What a header says of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// The segment's sequence at the time.
    pub(super) sequence: u64,
    /// Counts blocks as they get their places, in all segments: of two records of a key, the greater is the
    /// newer.
    pub(super) stamp: u64,
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
    /// Of a body's piece: where in the body it begins.
    pub(super) offset: u64,
}

impl Label {
    /// Of a block that belongs to no record.
    pub(super) const fn of_segment(kind: Kind, place: Place, sequence: u64) -> Self {
        let key = StoredKey::plain(CacheKey(0));
        Self { kind, place, sequence, stamp: 0, key, name: RecordName(0), offset: 0 }
    }
}

/// A header that is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) label: Label,
    /// The bytes of the payload.
    pub(super) payload: usize,
    checksum: u64,
}

/// Why bytes are not the block that belongs where they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// There are too few of them.
    TooShort,
    /// They do not begin like a block, or like one of another version.
    Magic,
    /// The header is not what was written.
    Header,
    /// It is a block of another place.
    Misdirected,
    /// It is a block of another life of the segment.
    StaleLap,
    /// The payload is not what was written.
    Payload,
    /// It is what was written, and not what was expected here.
    Unexpected,
}

/// Checks what this store wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checksums([u8; 32], Planted);

impl Checksums {
    /// Of headers and footers of segments, from which the store's own number is only learned.
    pub(super) const OPEN: Self = Self([0; 32], Planted::NONE);

    /// Of everything else.
    pub(super) fn of_store(number: u128, planted: Planted) -> Self {
        Self(blake3::derive_key("tiergate l2 store, blocks", &number.to_le_bytes()), planted)
    }

    pub(super) const fn planted(&self) -> Planted {
        self.1
    }

    fn of(&self, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let digest = blake3::keyed_hash(&self.0, bytes);
        *digest.as_bytes().first_chunk().expect("a digest has 32 bytes, of which 8 are taken")
    }

    /// Makes a block of what lies in `bytes` from `begin` on: room for a header, and a payload. It is filled
    /// up to the end of its last sector.
    pub(super) fn seal(&self, bytes: &mut Vec<u8>, begin: usize, geometry: &Geometry, label: &Label) {
        let size = bytes.len() - begin - HEADER_BYTES;
        let payload = u32::try_from(size).expect("a block lies in a segment, which is below 4 GiB");
        let checksum = xxh3_64(&bytes[begin + HEADER_BYTES..]);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[label.kind as u8, 0]);
        for number in [label.place.segment, label.place.sector] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        for number in [label.sequence, label.stamp, label.offset] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        for number in [label.key.key.0, label.key.target.0, label.name.0] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&payload.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&checksum.to_le_bytes());
        let seal = self.of(&header);
        header.extend_from_slice(&seal);
        bytes[begin..begin + HEADER_BYTES].copy_from_slice(&header);
        bytes.resize(begin + geometry.length(geometry.sectors_for(size)), 0);
    }

    /// The header that `bytes` begin with, if it belongs to `place` and, where that is known, `sequence`.
    pub(super) fn header(&self, bytes: &[u8], place: Place, sequence: Option<u64>) -> Result<Header, Unfit> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(Unfit::TooShort)?;
        if bytes[..4] != MAGIC || bytes[4..6] != VERSION.to_le_bytes() {
            return Err(Unfit::Magic);
        }
        if self.of(&bytes[..SEAL_AT]) != bytes[SEAL_AT..] {
            return Err(Unfit::Header);
        }
        let mut fields = Fields(&bytes[8..]);
        let found = Place { segment: fields.u32(), sector: fields.u32() };
        let label = Label {
            kind: Kind::from_byte(bytes[6]).ok_or(Unfit::Header)?,
            place: found,
            sequence: fields.u64(),
            stamp: fields.u64(),
            offset: fields.u64(),
            key: StoredKey { key: CacheKey(fields.u128()), target: CacheKey(fields.u128()) },
            name: RecordName(fields.u128()),
        };
        let payload = fields.u32() as usize;
        fields.u32();
        if found != place {
            return Err(Unfit::Misdirected);
        }
        let is_stale = sequence.is_some_and(|sequence| sequence != label.sequence);
        if is_stale && !self.1.is(StoreFault::TrustsLap) {
            return Err(Unfit::StaleLap);
        }
        Ok(Header { label, payload, checksum: fields.u64() })
    }

    /// The payload of a block, all of it.
    pub(super) fn payload<'b>(&self, header: &Header, bytes: &'b [u8]) -> Result<&'b [u8], Unfit> {
        let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + header.payload).ok_or(Unfit::TooShort)?;
        let is_whole = xxh3_64(payload) == header.checksum || self.1.is(StoreFault::TrustsPayload);
        if is_whole { Ok(payload) } else { Err(Unfit::Payload) }
    }
}

/// Numbers out of bytes whose length was checked.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("the caller checked the length");
        self.0 = rest;
        *taken
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(super) fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.take())
    }
}

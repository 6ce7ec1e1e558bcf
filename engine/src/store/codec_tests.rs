//! The bytes of every structure, and what becomes of them when they are cut or turned over.

use super::{
    block::{Checksums, HEADER_BYTES, Kind, Label, Place, Position, Unfit},
    content::{Content, Entry, Extent, Grave, MARK_BYTES, Mark, What},
    geometry::{Geometry, RawGeometry},
    plant::Planted,
    walk::walk,
};
use crate::{
    head::{Fields, Head},
    id::RecordName,
    key::{CacheKey, StoredKey},
    record::{Record, StoredFreshness},
    time::WallTime,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use std::vec;

pub(super) const STORE: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

pub(super) fn geometry() -> Geometry {
    let raw = RawGeometry { segments: 4, segment_bytes: 16_384, sector_bytes: 512, block_bytes: 1_024 };
    Geometry::try_from(raw).expect("the bounds hold")
}

pub(super) fn label(kind: Kind) -> Label {
    Label {
        kind,
        place: Place { segment: 2, sector: 5 },
        sequence: 9,
        key: StoredKey { key: CacheKey(0x1111), target: CacheKey(0x2222) },
        name: RecordName(0x3333),
        offset: 0x4444,
    }
}

fn sealed(label: &Label, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    Checksums::of_store(STORE, Planted::NONE).seal_into(
        &mut bytes,
        &geometry(),
        label,
        &[Bytes::copy_from_slice(payload)],
    );
    bytes.into()
}

fn content() -> Content {
    let record = Record {
        key: CacheKey(0x1111),
        target: CacheKey(0x2222),
        name: RecordName(0x3333),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\"")]) }),
        length: ByteCount(923),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(7),
            age_then: Duration::ZERO,
            lifetime: Duration::from_secs(60),
        },
    };
    let extents = vec![Extent { at: Position { sequence: 8, sector: 0x0102 }, bytes: 920 }];
    Content { record, sectors: 3, extents, tail: Bytes::from_static(b"end") }
}

pub(super) fn payload() -> Bytes {
    let content = content();
    [&content.encode(&geometry()).front[..], &content.tail].concat().into()
}

/// A block, byte for byte. If this goes red, what is on disks is lost with the change: raise `VERSION`.
#[test]
fn a_block_is_the_documented_bytes() {
    let block = sealed(&label(Kind::Body), b"hello");
    let mut golden = b"TGBK\x01\x00\x02\x00".to_vec();
    golden.extend([2, 0, 0, 0, 5, 0, 0, 0]);
    golden.extend([9, 0, 0, 0, 0, 0, 0, 0, 0x44, 0x44, 0, 0, 0, 0, 0, 0]);
    for number in [0x1111_u128, 0x2222, 0x3333] {
        golden.extend(number.to_le_bytes());
    }
    golden.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend(GOLDEN_CHECKSUMS);
    golden.extend(b"hello");
    golden.resize(512, 0);
    assert_eq!(block[..], golden);
}

const GOLDEN_CHECKSUMS: [u8; 16] = [220, 205, 75, 41, 84, 43, 230, 112, 89, 183, 62, 85, 117, 79, 142, 228];

/// The payloads, byte for byte.
#[test]
fn payloads_are_the_documented_bytes() {
    let head = crate::format::encode(&content().record);
    let mut golden = vec![u8::try_from(head.len()).expect("a short head"), 0, 0, 0, 1, 0, 0, 0];
    // Three sectors elsewhere, and the record's own.
    golden.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend(&head);
    golden.extend([8, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0x98, 3, 0, 0]);
    golden.extend(b"end");
    assert_eq!(payload()[..], golden);

    let grave = Grave::Record { through: Position { sequence: 8, sector: 0x0102 } };
    assert_eq!(grave.encode(), [1, 0, 0, 0, 2, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Grave::Target.encode(), [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    let mark = Mark { store: STORE, floor: 7, segments: 4, sectors: 32, sector_bytes: 512, summary: 30 };
    let mut golden: Vec<u8> = (0..=15).collect();
    golden.extend([7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 32, 0, 0, 0, 0, 2, 0, 0, 30, 0, 0, 0]);
    assert_eq!(mark.encode()[..], golden);

    let label = label(Kind::Tombstone);
    let entry =
        Entry { what: What::Tombstone(grave), sector: 5, sectors: 2, key: label.key, name: label.name };
    let mut bytes = Vec::new();
    entry.encode_into(&mut bytes);
    let mut golden = vec![4, 1, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0];
    for number in [0x1111_u128, 0x2222, 0x3333] {
        golden.extend(number.to_le_bytes());
    }
    golden.extend([8, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes, golden);
}

/// What was encoded comes back equal.
#[test]
fn payloads_come_back() {
    let back = Content::decode(&payload()).expect("it was encoded");
    assert_eq!(back, Content { sectors: 4, ..content() });
    let through = Position { sequence: u64::MAX, sector: u32::MAX };
    for grave in [Grave::Record { through }, Grave::Target] {
        assert_eq!(Grave::decode(&grave.encode()), Some(grave));
    }
    let mark = Mark { store: STORE, floor: 1, segments: 2, sectors: 3, sector_bytes: 4, summary: 5 };
    assert_eq!(Mark::decode(&mark.encode()), Some(mark));
    let (key, name) = (label(Kind::Body).key, RecordName(1));
    let whats = [What::Body, What::Record { object: 77, first: 3 }, What::Tombstone(Grave::Target)];
    let entries: Vec<Entry> =
        (0..).zip(whats).map(|(sector, what)| Entry { what, sector, sectors: 1, key, name }).collect();
    let mut bytes = Vec::new();
    for entry in &entries {
        entry.encode_into(&mut bytes);
    }
    assert_eq!(Entry::decode_all(&bytes), Some(entries));
}

/// Every beginning of a payload that is not the whole is refused, and so is what goes on.
#[test]
fn cut_payloads_are_refused() {
    let payload = payload();
    for cut in 0..payload.len() {
        assert_eq!(Content::decode(&payload.slice(..cut)), None, "cut at {cut}");
    }
    assert_eq!(Content::decode(&[&payload[..], &[0]].concat().into()), None);
    for length in [0, 15, 17] {
        assert_eq!(Grave::decode(&vec![1; length]), None);
    }
    assert_eq!(Grave::decode(&[3; 16]), None);
    assert_eq!(Mark::decode(&[0; MARK_BYTES + 1]), None);
    assert_eq!(Entry::decode_all(&[1; 71]), None);
    assert_eq!(Entry::decode_all(&[0; 72]), None);
}

fn check(bytes: &[u8]) -> Result<(), Unfit> {
    let checksums = Checksums::of_store(STORE, Planted::NONE);
    let header = checksums.header(bytes, label(Kind::Record).place, Some(9))?;
    checksums.payload(&header, bytes).map(drop)
}

/// A block of which a byte is missing, or a bit turned over, is none; the zeros behind it say nothing.
#[test]
fn every_cut_and_every_flipped_bit_of_a_block_is_seen() {
    let payload = payload();
    let block = sealed(&label(Kind::Record), &payload);
    assert_eq!(check(&block), Ok(()));
    let end = HEADER_BYTES + payload.len();
    for cut in 0..end {
        assert_eq!(check(&block[..cut]), Err(Unfit::TooShort), "cut at {cut}");
    }
    for bit in 0..8 * block.len() {
        let mut rotten = block.to_vec();
        rotten[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, check(&rotten)) {
            (0..6, Err(Unfit::Magic)) | (6..104, Err(Unfit::Header)) => {}
            (104.., Err(Unfit::Payload)) if bit / 8 < end => {}
            (104.., Ok(())) if bit / 8 >= end => {}
            (byte, result) => panic!("bit {bit} in byte {byte}: {result:?}"),
        }
    }
}

/// A block is one in its own place, its own life of the segment and its own store only.
#[test]
fn a_block_is_none_elsewhere() {
    let block = sealed(&label(Kind::Body), b"hello");
    let ours = Checksums::of_store(STORE, Planted::NONE);
    let place = Place { segment: 2, sector: 5 };
    let refused = |checksums: Checksums, place, sequence| checksums.header(&block, place, sequence).err();
    assert_eq!(refused(ours, place, None), None);
    assert_eq!(refused(ours, place, Some(9)), None);
    assert_eq!(refused(ours, place, Some(8)), Some(Unfit::StaleLap));
    assert_eq!(refused(ours, Place { sector: 6, ..place }, Some(9)), Some(Unfit::Misdirected));
    assert_eq!(refused(ours, Place { segment: 3, ..place }, Some(9)), Some(Unfit::Misdirected));
    assert_eq!(refused(Checksums::of_store(STORE + 1, Planted::NONE), place, Some(9)), Some(Unfit::Header));
    assert_eq!(refused(Checksums::OPEN, place, Some(9)), Some(Unfit::Header));
}

/// A walk finds what is whole behind what is not, and never a block inside a block's payload.
#[test]
fn a_walk_finds_what_is_whole() {
    let geometry = geometry();
    let at = |sector| Label { place: Place { segment: 2, sector }, ..label(Kind::Body) };
    let mut bytes = vec![0xa5; 16_384];
    let mut put = |sector: usize, block: &[u8]| bytes[512 * sector..][..block.len()].copy_from_slice(block);
    // A body that contains a block of another place, and one as it would have to be, but for the store's number.
    let mut forged = vec![0; 512 - HEADER_BYTES];
    let inner = Label { place: Place { segment: 2, sector: 3 }, ..label(Kind::Tombstone) };
    Checksums::of_store(STORE + 1, Planted::NONE).seal_into(
        &mut forged,
        &geometry,
        &inner,
        &[Bytes::copy_from_slice(&Grave::Target.encode())],
    );
    put(2, &sealed(&at(2), &forged));
    put(6, &sealed(&at(6), b"one")[..400]);
    put(9, &sealed(&at(8), b"misdirected"));
    put(12, &sealed(&Label { sequence: 8, ..at(12) }, b"stale"));
    put(31, &sealed(&at(31), b"two"));
    let found: Vec<u32> = walk(&bytes.into(), &geometry, &Checksums::of_store(STORE, Planted::NONE), 2, 9)
        .iter()
        .map(|walked| walked.entry.sector)
        .collect();
    assert_eq!(found, [2, 6, 31]);
}

/// A device that cannot be cut up so is refused, by field, value and bound.
#[test]
fn impossible_geometries_are_refused() {
    let good = RawGeometry { segments: 3, segment_bytes: 8_192, sector_bytes: 512, block_bytes: 512 };
    assert!(Geometry::try_from(good).is_ok());
    let refused = |raw: RawGeometry| Geometry::try_from(raw).map_err(|error| (error.field, error.value));
    assert_eq!(refused(RawGeometry { sector_bytes: 256, ..good }), Err(("sector_bytes", 256)));
    assert_eq!(refused(RawGeometry { sector_bytes: 600, ..good }), Err(("sector_bytes", 600)));
    assert_eq!(refused(RawGeometry { segments: 2, ..good }), Err(("segments", 2)));
    assert_eq!(refused(RawGeometry { segment_bytes: 7_680, ..good }), Err(("segment_bytes", 7_680)));
    assert_eq!(refused(RawGeometry { segment_bytes: 8_193, ..good }), Err(("segment_bytes", 8_193)));
    assert_eq!(refused(RawGeometry { segment_bytes: 1 << 32, ..good }), Err(("segment_bytes", 1 << 32)));
    assert_eq!(refused(RawGeometry { block_bytes: 0, ..good }), Err(("block_bytes", 0)));
    assert_eq!(refused(RawGeometry { block_bytes: 700, ..good }), Err(("block_bytes", 700)));
    assert_eq!(refused(RawGeometry { block_bytes: 4_096, ..good }), Err(("block_bytes", 4_096)));
}

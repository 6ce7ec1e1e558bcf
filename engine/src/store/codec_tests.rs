//! The bytes of every structure, and what becomes of them when they are cut or turned over.

use super::{
    block::{Checksums, HEADER_BYTES, Kind, Label, Place, Position, Unfit},
    blocks::{Blocks, Payload},
    check::{Check, Expected, Outcome},
    content::{
        Content, ENTRY_BYTES, Entry, Extent, Grave, MARK_BYTES, Mark, TOMBSTONE_BYTES, Tombstone, What,
    },
    geometry::{Geometry, RawGeometry},
    log::Both,
    plant::Planted,
    policy::Stream,
    walk::walk,
};
use crate::language::{
    head::{Fields, Head},
    id::RecordName,
    key::{CacheKey, StoredKey},
    record::{Record, StoredFreshness},
    time::WallTime,
    units::ByteCount,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use std::vec;

pub(super) const STORE: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

pub(super) fn geometry() -> Geometry {
    let raw = RawGeometry { segments: 6, segment_bytes: 16_384, sector_bytes: 512, block_bytes: 1_024 };
    Geometry::try_from(raw).expect("the bounds hold")
}

pub(super) fn label(kind: Kind) -> Label {
    Label {
        kind,
        place: Place { segment: 2, sector: 5 },
        sequence: 9,
        stamp: 0x77,
        key: StoredKey { key: CacheKey(0x1111), target: CacheKey(0x2222) },
        name: RecordName(0x3333),
        offset: 0x4444,
    }
}

pub(super) fn sealed(label: &Label, payload: &[u8]) -> Bytes {
    sealed_by(STORE, label, Payload::Body(vec![Bytes::copy_from_slice(payload)]))
}

fn sealed_by(store: u128, label: &Label, payload: Payload) -> Bytes {
    let checksums = Checksums::of_store(store, Planted::NONE);
    Blocks::new(geometry()).with(checksums, *label, payload).seal()
}

fn content() -> Content {
    let record = Record {
        key: CacheKey(0x1111),
        target: CacheKey(0x2222),
        name: RecordName(0x3333),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\"")]) }),
        length: ByteCount(915),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(7),
            age_then: Duration::ZERO,
            lifetime: Duration::from_secs(60),
        },
    };
    let extents = vec![Extent { at: Position { sequence: 8, sector: 0x0102 }, bytes: 912 }];
    Content { record, sectors: 4, extents }
}

fn encoded(payload: &Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload.encode_into(&mut bytes);
    assert_eq!(bytes.len(), payload.len());
    bytes
}

fn record() -> Payload {
    Payload::Record(Box::new(content()), vec![Bytes::from_static(b"e"), Bytes::from_static(b"nd")])
}

pub(super) fn payload() -> Bytes {
    encoded(&record()).into()
}

pub(super) fn mark() -> Mark {
    Mark {
        store: STORE,
        stamp: 5,
        floors: Both { newcomer: 7, main: 6 },
        segments: 6,
        sectors: 32,
        sector_bytes: 512,
        summary: 30,
        stream: Stream::Main,
    }
}

pub(super) fn tombstones() -> [Tombstone; 2] {
    let key = label(Kind::Tombstone).key;
    [(Grave::Key(key), 0x0908), (Grave::Target(key.target), u64::MAX)]
        .map(|(of, through)| Tombstone { of, through })
}

pub(super) fn entries() -> Vec<Entry> {
    let (key, stamp) = (label(Kind::Body).key, 0x77);
    let [first, second] = tombstones();
    let whats = [
        What::Body { key, stamp },
        What::Record { key, stamp, object: 3 },
        What::Tombstone(first),
        What::Tombstone(second),
    ];
    (5..).zip(whats).map(|(sector, what)| Entry { what, sector, sectors: 2 }).collect()
}

/// A block, byte for byte. If this goes red, what is on disks is lost with the change: raise `VERSION`.
#[test]
fn a_block_is_the_documented_bytes() {
    let block = sealed(&label(Kind::Body), b"hello");
    let mut golden = b"TGBK\x02\x00\x02\x00".to_vec();
    golden.extend([2, 0, 0, 0, 5, 0, 0, 0]);
    golden.extend([9, 0, 0, 0, 0, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0x44, 0x44, 0, 0, 0, 0, 0, 0]);
    for number in [0x1111_u128, 0x2222, 0x3333] {
        golden.extend(number.to_le_bytes());
    }
    golden.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend(GOLDEN_CHECKSUMS);
    golden.extend(b"hello");
    golden.resize(512, 0);
    assert_eq!(block[..], golden);
}

const GOLDEN_CHECKSUMS: [u8; 16] = [253, 220, 98, 92, 85, 232, 85, 149, 48, 148, 114, 98, 133, 184, 77, 2];

/// The payloads, byte for byte.
#[test]
fn payloads_are_the_documented_bytes() {
    let head = crate::format::encode(&content().record);
    let mut golden = vec![u8::try_from(head.len()).expect("a short head"), 0, 0, 0, 1, 0, 0, 0];
    golden.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend(&head);
    golden.extend([8, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0x90, 3, 0, 0]);
    golden.extend(b"end");
    assert_eq!(payload()[..], golden);

    let key = [0x1111_u128, 0x2222].map(u128::to_le_bytes).concat();
    let target = [0x2222_u128, 0x2222].map(u128::to_le_bytes).concat();
    let golden = [
        &[1, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0, 0, 0, 0, 0, 0][..],
        &key,
        &[2, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        &target,
    ];
    assert_eq!(encoded(&Payload::Tombstones(tombstones().to_vec())), golden.concat());

    let mut golden: Vec<u8> = (0..=15).collect();
    golden.extend([5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend([6, 0, 0, 0, 32, 0, 0, 0, 0, 2, 0, 0, 30, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(mark().encode()[..], golden);

    let golden = [
        &[2, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0][..],
        &key,
        &[3, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0],
        &key,
        &[4, 1, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0, 0, 0, 0, 0, 0],
        &key,
        &[4, 2, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        &target,
    ];
    assert_eq!(encoded(&Payload::Summary(entries())), golden.concat());
}

/// What was encoded comes back equal.
#[test]
fn payloads_come_back() {
    assert_eq!(Content::decode(&payload()), Some((content(), Bytes::from_static(b"end"))));
    let bytes = encoded(&Payload::Tombstones(tombstones().to_vec()));
    assert_eq!(Tombstone::decode_all(&bytes), Some(tombstones().to_vec()));
    assert_eq!(Mark::decode(&mark().encode()), Some(mark()));
    let mut bytes = Vec::new();
    for entry in entries() {
        entry.encode_into(&mut bytes);
    }
    assert_eq!(Entry::decode_all(&bytes), Some(entries()));
}

/// Every beginning of a payload that is not the whole is refused, and so is what goes on, and what cannot be.
#[test]
fn cut_payloads_are_refused() {
    let payload = payload();
    for cut in 0..payload.len() {
        assert_eq!(Content::decode(&payload.slice(..cut)), None, "cut at {cut}");
    }
    assert_eq!(Content::decode(&[&payload[..], &[0]].concat().into()), None);
    for length in [1, TOMBSTONE_BYTES - 1, TOMBSTONE_BYTES + 1] {
        assert_eq!(Tombstone::decode_all(&vec![1; length]), None);
    }
    assert_eq!(Tombstone::decode_all(&[3; TOMBSTONE_BYTES]), None);
    assert_eq!(Mark::decode(&[0; MARK_BYTES + 1]), None);
    assert_eq!(Mark::decode(&[0; MARK_BYTES]), None);
    assert_eq!(Entry::decode_all(&[1; ENTRY_BYTES - 1]), None);
    assert_eq!(Entry::decode_all(&[0; ENTRY_BYTES]), None);
    let mut without_sectors = vec![0; ENTRY_BYTES];
    without_sectors[0] = 3;
    assert_eq!(Entry::decode_all(&without_sectors), None);
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
            (0..6, Err(Unfit::Magic)) | (6..HEADER_BYTES, Err(Unfit::Header)) => {}
            (HEADER_BYTES.., Err(Unfit::Payload)) if bit / 8 < end => {}
            (HEADER_BYTES.., Ok(())) if bit / 8 >= end => {}
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
    // A body that contains a block of another place, and one as it would have to be, but for the store's
    // number.
    let inner = Label { place: Place { segment: 2, sector: 3 }, ..label(Kind::Tombstone) };
    let forged = sealed_by(STORE + 1, &inner, Payload::Tombstones(tombstones().to_vec()));
    put(2, &sealed(&at(2), &[&[0; 512 - HEADER_BYTES], &forged[..]].concat()));
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

fn check_of(expected: Expected, sectors: u32) -> Check {
    let checksums = Checksums::of_store(STORE, Planted::NONE);
    let length = geometry().length(sectors);
    let place = Place { segment: 2, sector: 5 };
    Check { checksums, geometry: geometry(), place, expected, got: Bytes::new(), length }
}

/// A read that is short is asked on from its last whole sector, and what comes of it then is the whole.
#[test]
fn short_reads_add_up() {
    let body = vec![7; 900];
    let block = sealed(&label(Kind::Body), &body);
    let expected = Expected::Piece { sequence: 9 };
    let Outcome::Short(got) = check_of(expected, 2).run(block.slice(..700)).0 else {
        panic!("700 bytes are not two sectors")
    };
    assert_eq!(got[..], block[..512]);
    let check = Check { got, ..check_of(expected, 2) };
    let Outcome::Piece(Ok((header, found))) = check.run(block.slice(512..)).0 else {
        panic!("the block is whole")
    };
    assert_eq!((header.label, &found[..]), (label(Kind::Body), &body[..]));
    assert_eq!(check_of(expected, 2).run(Bytes::new()).0, Outcome::Short(Bytes::new()));
}

/// A record that goes on behind what was read says how far; what is no record, or under another label, is
/// none.
#[test]
fn a_record_is_read_to_its_end() {
    let long = vec![Bytes::from(vec![1; 915])];
    let content = Content { extents: Vec::new(), ..content() };
    let payload = Payload::Record(Box::new(content), long);
    let bytes = payload.len();
    let block = sealed_by(STORE, &label(Kind::Record), payload);
    let expected = Expected::Record { sequence: 9 };
    assert_eq!(check_of(expected, 1).run(block.slice(..512)).0, Outcome::Longer(bytes));
    let Outcome::Record(Ok(loaded)) = check_of(expected, 3).run(block).0 else {
        panic!("the block is whole")
    };
    assert_eq!((loaded.stamp, loaded.tail.len()), (0x77, 915));
    let other = Label { name: RecordName(1), ..label(Kind::Record) };
    for block in [sealed_by(STORE, &other, record()), sealed(&label(Kind::Body), b"x")] {
        let sectors = u32::try_from(block.len() / 512).expect("a short block");
        assert_eq!(check_of(expected, sectors).run(block).0, Outcome::Record(Err(Unfit::Unexpected)));
    }
}

/// A device that cannot be cut up so is refused, by field, value and bound.
#[test]
fn impossible_geometries_are_refused() {
    let good = RawGeometry { segments: 6, segment_bytes: 8_192, sector_bytes: 512, block_bytes: 512 };
    assert!(Geometry::try_from(good).is_ok());
    let refused = |raw: RawGeometry| Geometry::try_from(raw).map_err(|error| (error.field, error.value));
    assert_eq!(refused(RawGeometry { sector_bytes: 256, ..good }), Err(("sector_bytes", 256)));
    assert_eq!(refused(RawGeometry { sector_bytes: 600, ..good }), Err(("sector_bytes", 600)));
    assert_eq!(refused(RawGeometry { segments: 5, ..good }), Err(("segments", 5)));
    assert_eq!(refused(RawGeometry { segment_bytes: 7_680, ..good }), Err(("segment_bytes", 7_680)));
    assert_eq!(refused(RawGeometry { segment_bytes: 8_193, ..good }), Err(("segment_bytes", 8_193)));
    assert_eq!(refused(RawGeometry { segment_bytes: 1 << 32, ..good }), Err(("segment_bytes", 1 << 32)));
    assert_eq!(refused(RawGeometry { block_bytes: 0, ..good }), Err(("block_bytes", 0)));
    assert_eq!(refused(RawGeometry { block_bytes: 700, ..good }), Err(("block_bytes", 700)));
    assert_eq!(refused(RawGeometry { block_bytes: 4_096, ..good }), Err(("block_bytes", 4_096)));
}

/// A capacity is cut into powers of two, at least 64 of them where that leaves them a MiB; a larger one keeps
/// the parts.
#[test]
fn capacities_are_cut_up() {
    let parts = |bytes: u64| Geometry::for_capacity(bytes).map(|it| (it.segments, it.segment_bytes()));
    let (mib, gib) = (1_u64 << 20, 1_u64 << 30);
    assert_eq!(parts(16 * mib), Ok((16, mib)));
    assert_eq!(parts(17 * mib - 1), Ok((16, mib)));
    assert_eq!(parts(200 * mib), Ok((100, 2 * mib)));
    assert_eq!(parts(4 * gib), Ok((64, 64 * mib)));
    assert_eq!(parts(1_024 * gib), Ok((16_384, 64 * mib)));
    assert_eq!(parts(16 * mib - 1).map_err(|error| error.field), Err("capacity"));
    assert_eq!(parts(u64::MAX).map_err(|error| error.field), Err("capacity"));
    let small = Geometry::for_capacity(16 * mib).expect("it is large enough");
    assert_eq!(small.object_max(), ByteCount(4 * mib));
    let larger = small.with_capacity(gib).expect("it is not too large");
    assert_eq!((larger.segments, larger.segment_bytes()), (1_024, mib));
    assert_eq!(small.with_capacity(5 * mib).map_err(|error| error.field), Err("segments"));
}

//! What is on a device, read by somebody who knows `docs/format.md` and nothing of the store.
//!
//! Slow and simple: every sector of every segment that holds something, in any order, without summaries; of
//! each key the newest record by its stamp, unless a tombstone takes it away. What the store says it holds
//! after recovery must be this, to the sector.

use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{CacheKey, Record, RecordName, StoredKey, format};
use xxhash_rust::xxh3::xxh3_64;

/// An object that is there whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Its record.
    pub record: Record,
    /// The sectors of all its blocks.
    pub sectors: u64,
    stamp: u64,
}

/// A device's shape.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a segment.
    pub segment_bytes: usize,
    /// Bytes of a sector.
    pub sector_bytes: usize,
}

struct Block<'i> {
    kind: u8,
    sequence: u64,
    stamp: u64,
    key: StoredKey,
    name: RecordName,
    payload: &'i [u8],
}

const HEADER: usize = 112;

fn number(bytes: &[u8], at: usize, size: usize) -> u128 {
    bytes[at..at + size].iter().rev().fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

fn short(bytes: &[u8], at: usize) -> u32 {
    u32::try_from(number(bytes, at, 4)).expect("four bytes")
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::try_from(number(bytes, at, 8)).expect("eight bytes")
}

/// The block that begins at a sector of a segment, if one does.
fn block<'i>(bytes: &'i [u8], secret: &[u8; 32], segment: usize, sector: usize) -> Option<Block<'i>> {
    let header = bytes.get(..HEADER)?;
    let seal = blake3::keyed_hash(secret, &header[..104]);
    let is_ours = header[..6] == *b"TGBK\x02\x00" && seal.as_bytes()[..8] == header[104..];
    let is_here = is_ours && short(header, 8) as usize == segment && short(header, 12) as usize == sector;
    let payload = bytes.get(HEADER..HEADER + short(header, 88) as usize)?;
    (is_here && xxh3_64(payload) == long(header, 96)).then(|| Block {
        kind: header[6],
        sequence: long(header, 16),
        stamp: long(header, 24),
        key: StoredKey { key: CacheKey(number(header, 40, 16)), target: CacheKey(number(header, 56, 16)) },
        name: RecordName(number(header, 72, 16)),
        payload,
    })
}

/// A segment that was opened, as its header says.
struct Head {
    segment: usize,
    sequence: u64,
    store: u128,
    /// By stream.
    floors: [u64; 2],
    stream: usize,
}

fn heads(image: &[u8], shape: Shape) -> Vec<Head> {
    let head = |(segment, bytes): (usize, &[u8])| {
        let mut copies = (0..2)
            .filter_map(|sector| block(&bytes[sector * shape.sector_bytes..], &[0; 32], segment, sector));
        let head = copies.find(|block| block.kind == 1).map(|block| (block.sequence, block.payload.to_vec()));
        let (sequence, mark) = head?;
        let floors = [long(&mark, 24), long(&mark, 32)];
        let stream = usize::from(mark[56] - 1);
        Some(Head { segment, sequence, store: number(&mark, 0, 16), floors, stream })
    };
    image.chunks(shape.segment_bytes).enumerate().filter_map(head).collect()
}

/// The whole blocks of a segment, each with its place in the log.
fn blocks<'i>(bytes: &'i [u8], shape: Shape, secret: &[u8; 32], head: &Head) -> Vec<((u64, u32), Block<'i>)> {
    let mut found = Vec::new();
    let mut sector = 2;
    while sector * shape.sector_bytes < shape.segment_bytes {
        let block = block(&bytes[sector * shape.sector_bytes..], secret, head.segment, sector)
            .filter(|block| block.sequence == head.sequence && (2..=4).contains(&block.kind));
        let at = (head.sequence, u32::try_from(sector).expect("a small segment"));
        sector += block.as_ref().map_or(1, |block| sectors(block, shape));
        found.extend(block.map(|block| (at, block)));
    }
    found
}

fn sectors(block: &Block<'_>, shape: Shape) -> usize {
    (HEADER + block.payload.len()).div_ceil(shape.sector_bytes)
}

/// Every object that is there.
pub fn scan(image: &[u8], shape: Shape) -> BTreeMap<StoredKey, Scanned> {
    let mut heads = heads(image, shape);
    let Some(store) = heads.iter().max_by_key(|head| head.sequence).map(|head| head.store) else {
        return BTreeMap::new();
    };
    heads.retain(|head| head.store == store);
    let floors = [0, 1].map(|stream| heads.iter().map(|head| head.floors[stream]).max().unwrap_or(0));
    heads.retain(|head| head.sequence >= floors[head.stream]);
    let live: BTreeSet<u64> = heads.iter().map(|head| head.sequence).collect();
    let secret = blake3::derive_key("tiergate l2 store, blocks", &store.to_le_bytes());

    let mut pieces: BTreeMap<(u64, u32), (RecordName, u64)> = BTreeMap::new();
    let (mut records, mut tombstones) = (Vec::new(), Vec::new());
    for head in &heads {
        let bytes = &image[head.segment * shape.segment_bytes..(head.segment + 1) * shape.segment_bytes];
        for (at, block) in blocks(bytes, shape, &secret, head) {
            match block.kind {
                2 => drop(pieces.insert(at, (block.name, sectors(&block, shape) as u64))),
                3 => records.push(block),
                _ => tombstones.extend(block.payload.chunks(48).map(|tombstone| {
                    let key = StoredKey {
                        key: CacheKey(number(tombstone, 16, 16)),
                        target: CacheKey(number(tombstone, 32, 16)),
                    };
                    (tombstone[0], long(tombstone, 8), key)
                })),
            }
        }
    }
    let mut objects: BTreeMap<StoredKey, Option<Scanned>> = BTreeMap::new();
    records.sort_by_key(|block| block.stamp);
    for block in records {
        let is_meant = |(kind, through, key): &(u8, u64, StoredKey)| {
            let is_its = if *kind == 1 { *key == block.key } else { key.target == block.key.target };
            is_its && *through >= block.stamp
        };
        if !tombstones.iter().any(is_meant) {
            take_record(&mut objects, &pieces, &live, &block, sectors(&block, shape) as u64);
        }
    }
    objects.into_iter().filter_map(|(key, object)| Some((key, object?))).collect()
}

fn take_record(
    objects: &mut BTreeMap<StoredKey, Option<Scanned>>,
    pieces: &BTreeMap<(u64, u32), (RecordName, u64)>,
    live: &BTreeSet<u64>,
    block: &Block<'_>,
    own: u64,
) {
    let head = short(block.payload, 0) as usize;
    let extents = short(block.payload, 4) as usize;
    let record = format::decode(&block.payload[16..16 + head]).expect("the checksum holds");
    let extents: Vec<(u64, u32)> = (0..extents)
        .map(|extent| 16 + head + 16 * extent)
        .map(|begin| (long(block.payload, begin), short(block.payload, begin + 8)))
        .collect();
    if extents.iter().any(|extent| !live.contains(&extent.0)) {
        objects.insert(block.key, None);
        return;
    }
    let mut sectors = own;
    for extent in &extents {
        match pieces.get(extent) {
            Some((name, size)) if *name == block.name => sectors += size,
            Some(_) | None => return,
        }
    }
    objects.insert(block.key, Some(Scanned { record, sectors, stamp: block.stamp }));
}

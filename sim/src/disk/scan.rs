//! What is on a device, read by somebody who knows `docs/format.md` and nothing of the store.
//!
//! Slow and simple: every sector of every segment that holds something, in the log's order, without summaries. What the
//! store says it holds after recovery must be this, to the sector.

use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{CacheKey, Record, RecordName, StoredKey, format};

/// An object that is there whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Its record.
    pub record: Record,
    /// The sectors of all its blocks.
    pub sectors: u64,
    at: (u64, u32),
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
    key: StoredKey,
    name: RecordName,
    payload: &'i [u8],
}

const HEADER: usize = 104;

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
    let sum = |bytes: &[u8]| blake3::keyed_hash(secret, bytes).as_bytes()[..8].to_vec();
    let header = bytes.get(..HEADER)?;
    let is_ours = header[..6] == *b"TGBK\x01\x00" && sum(&header[..96]) == header[96..];
    let is_here = is_ours && short(header, 8) as usize == segment && short(header, 12) as usize == sector;
    let payload = bytes.get(HEADER..HEADER + short(header, 80) as usize)?;
    (is_here && sum(payload) == header[88..96]).then(|| Block {
        kind: header[6],
        sequence: long(header, 16),
        key: StoredKey { key: CacheKey(number(header, 32, 16)), target: CacheKey(number(header, 48, 16)) },
        name: RecordName(number(header, 64, 16)),
        payload,
    })
}

/// Every object that is there.
pub fn scan(image: &[u8], shape: Shape) -> BTreeMap<StoredKey, Scanned> {
    let Shape { segment_bytes, sector_bytes } = shape;
    // Which segments are there: sequence, number, the store's number, floor.
    let mut heads: Vec<(u64, usize, u128, u64)> = Vec::new();
    for (segment, bytes) in image.chunks(segment_bytes).enumerate() {
        let copies = (0..2).map(|sector| block(&bytes[sector * sector_bytes..], &[0; 32], segment, sector));
        if let Some(head) = copies.flatten().find(|block| block.kind == 1) {
            heads.push((head.sequence, segment, number(head.payload, 0, 16), long(head.payload, 16)));
        }
    }
    heads.sort_unstable();
    let Some((_, _, store, _)) = heads.last().copied() else { return BTreeMap::new() };
    heads.retain(|head| head.2 == store);
    let floor = heads.iter().map(|head| head.3).max().unwrap_or(0);
    heads.retain(|head| head.0 >= floor);
    let live: BTreeSet<u64> = heads.iter().map(|head| head.0).collect();
    let secret = blake3::derive_key("tiergate l2 store, blocks", &store.to_le_bytes());

    let mut pieces: BTreeMap<(u64, u32), (RecordName, u64)> = BTreeMap::new();
    let mut objects: BTreeMap<StoredKey, Scanned> = BTreeMap::new();
    for (sequence, segment, ..) in heads {
        let bytes = &image[segment * segment_bytes..(segment + 1) * segment_bytes];
        let mut sector = 2;
        while sector * sector_bytes < segment_bytes {
            let found = block(&bytes[sector * sector_bytes..], &secret, segment, sector)
                .filter(|block| block.sequence == sequence && (2..=4).contains(&block.kind));
            let Some(block) = found else {
                sector += 1;
                continue;
            };
            let at = (sequence, u32::try_from(sector).expect("a small segment"));
            let own = (HEADER + block.payload.len()).div_ceil(sector_bytes);
            sector += own;
            match block.kind {
                2 => drop(pieces.insert(at, (block.name, own as u64))),
                3 => take_record(&mut objects, &pieces, &live, at, &block, own as u64),
                _ => take_tombstone(&mut objects, &block),
            }
        }
    }
    objects
}

fn take_record(
    objects: &mut BTreeMap<StoredKey, Scanned>,
    pieces: &BTreeMap<(u64, u32), (RecordName, u64)>,
    live: &BTreeSet<u64>,
    at: (u64, u32),
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
        objects.remove(&block.key);
        return;
    }
    let mut sectors = own;
    for extent in &extents {
        match pieces.get(extent) {
            Some((name, size)) if *name == block.name => sectors += size,
            Some(_) | None => return,
        }
    }
    objects.insert(block.key, Scanned { record, sectors, at });
}

fn take_tombstone(objects: &mut BTreeMap<StoredKey, Scanned>, block: &Block<'_>) {
    if block.payload[0] == 2 {
        objects.retain(|key, _| key.target != block.key.target);
        return;
    }
    let through = (long(block.payload, 8), short(block.payload, 4));
    let is_meant = |found: &Scanned| found.record.name == block.name || found.at <= through;
    if objects.get(&block.key).is_some_and(is_meant) {
        objects.remove(&block.key);
    }
}

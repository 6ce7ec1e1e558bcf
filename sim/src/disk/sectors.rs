//! Sectors: what was written can be read at once, and survives a loss of power once it was synced.
//!
//! Only sectors that were written take room; the others hold zeros. Start at [`Sectors`].

use super::device::Crash;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{Random, Seed};

/// The bytes of one: what is written at once or not at all when the power fails.
pub const SECTOR_BYTES: u64 = 4 << 10;

/// A write, and where it begins.
#[derive(Clone, Debug)]
struct Written {
    number: u64,
    offset: u64,
    bytes: Bytes,
}

/// What a device holds, and what it would hold after a loss of power.
#[derive(Clone, Debug, Default)]
pub struct Sectors {
    /// What a read gives.
    seen: BTreeMap<u64, Bytes>,
    /// What is left when the power fails, at least.
    durable: BTreeMap<u64, Bytes>,
    /// In the order in which they were written.
    unsynced: Vec<Written>,
    writes: u64,
    rotten: BTreeSet<u64>,
}

impl Sectors {
    /// Bytes from an offset on.
    pub fn read(&self, offset: u64, length: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(length);
        for piece in pieces(offset, length as u64) {
            match self.seen.get(&piece.sector) {
                Some(sector) => bytes.extend_from_slice(&sector[piece.within()]),
                None => bytes.resize(bytes.len() + piece.within().len(), 0),
            }
        }
        bytes.freeze()
    }

    /// Does any of these bytes lie in a sector of which a bit turned over?
    pub fn is_rotten(&self, offset: u64, length: usize) -> bool {
        pieces(offset, length as u64).any(|piece| self.rotten.contains(&piece.sector))
    }

    /// Writes bytes from an offset on.
    pub fn write(&mut self, offset: u64, bytes: Bytes) {
        for sector in put(&mut self.seen, offset, &bytes, |_| Keep::New) {
            self.rotten.remove(&sector);
        }
        self.unsynced.push(Written { number: self.writes, offset, bytes });
        self.writes += 1;
    }

    /// What a sync that begins now covers: the writes that are done.
    pub const fn mark(&self) -> u64 {
        self.writes
    }

    /// Makes durable what was written before the mark.
    pub fn sync(&mut self, mark: u64) {
        for Written { offset, bytes, .. } in self.covered(mark) {
            put(&mut self.durable, offset, &bytes, |_| Keep::New);
        }
    }

    /// The sync failed: nobody will try again, and the next loss of power takes what it covered.
    pub fn forget(&mut self, mark: u64) {
        self.covered(mark);
    }

    fn covered(&mut self, mark: u64) -> Vec<Written> {
        let covered = self.unsynced.partition_point(|written| written.number < mark);
        self.unsynced.drain(..covered).collect()
    }

    /// In about `percent` of a hundred sectors that hold something a bit turns over, for good. Returns how
    /// many.
    pub fn rot(&mut self, percent: u8, chance: &mut Random) -> u64 {
        let chosen: Vec<u64> =
            self.seen.keys().copied().filter(|_| chance.chance(percent.into(), 100)).collect();
        for sector in &chosen {
            let bit = chance.below(8 * SECTOR_BYTES);
            for image in [&mut self.seen, &mut self.durable] {
                if let Some(bytes) = image.get_mut(sector) {
                    let mut turned = bytes.to_vec();
                    turned[usize_of(bit / 8)] ^= 1 << (bit % 8);
                    *bytes = Bytes::from(turned);
                }
            }
            self.rotten.insert(*sector);
        }
        chosen.len() as u64
    }

    /// The power fails while `under_way` is being written: writes with their offsets, in any order. Returns
    /// how many sectors that were written and not synced are not there as they were written.
    pub fn crash(&mut self, how: Crash, under_way: Vec<(u64, Bytes)>, chance: &mut Random) -> u64 {
        let mut lost = 0;
        let unsynced = self.covered(u64::MAX).into_iter().map(|written| (written.offset, written.bytes));
        for (offset, bytes) in unsynced.chain(under_way) {
            let sectors = pieces(offset, bytes.len() as u64).count() as u64;
            let cut = chance.below(sectors + 1);
            put(&mut self.durable, offset, &bytes, |place| {
                let keep = match how {
                    Crash::Kept => Keep::New,
                    Crash::Torn if place < cut => Keep::New,
                    Crash::Shuffled | Crash::Garbage if chance.chance(1, 2) => Keep::New,
                    Crash::Garbage if chance.chance(1, 4) => Keep::Garbage(chance.bits()),
                    Crash::Lost | Crash::Torn | Crash::Shuffled | Crash::Garbage => Keep::Old,
                };
                lost += u64::from(keep != Keep::New);
                keep
            });
        }
        self.seen.clone_from(&self.durable);
        let seen = &self.seen;
        self.rotten.retain(|sector| seen.contains_key(sector));
        lost
    }
}

/// What of a sector a write leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Old,
    New,
    /// Bytes that nobody wrote, which follow from these bits.
    Garbage(u64),
}

/// Some bytes of one sector.
struct Piece {
    sector: u64,
    begin: u64,
    end: u64,
}

impl Piece {
    fn within(&self) -> std::ops::Range<usize> {
        usize_of(self.begin)..usize_of(self.end)
    }
}

/// The sectors in which `length` bytes from `offset` on lie.
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Piece> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        let sector = at / SECTOR_BYTES;
        let first = sector * SECTOR_BYTES;
        let piece = Piece { sector, begin: at - first, end: SECTOR_BYTES.min(end.saturating_sub(first)) };
        at = first + SECTOR_BYTES;
        (piece.begin < piece.end).then_some(piece)
    })
}

/// Puts bytes into an image, sector by sector as `keep` says of the place of each; returns those that were
/// changed.
fn put(
    image: &mut BTreeMap<u64, Bytes>,
    offset: u64,
    bytes: &Bytes,
    mut keep: impl FnMut(u64) -> Keep,
) -> Vec<u64> {
    let mut changed = Vec::new();
    let mut taken = 0;
    for (place, piece) in (0..).zip(pieces(offset, bytes.len() as u64)) {
        let within = piece.within();
        let new = bytes.slice(taken..taken + within.len());
        taken += within.len();
        let new = match keep(place) {
            Keep::Old => continue,
            Keep::New => new,
            Keep::Garbage(bits) => {
                let mut garbage = Seed(bits).split("garbage");
                (0..new.len()).map(|_| garbage.bits().to_le_bytes()[0]).collect()
            }
        };
        let whole = if new.len() as u64 == SECTOR_BYTES {
            new
        } else {
            let old = image.get(&piece.sector).cloned();
            let mut patched = old.map_or_else(|| vec![0; usize_of(SECTOR_BYTES)], |old| old.to_vec());
            patched[within].copy_from_slice(&new);
            Bytes::from(patched)
        };
        image.insert(piece.sector, whole);
        changed.push(piece.sector);
    }
    changed
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a place in memory")
}

#[cfg(test)]
mod tests {
    use super::{Crash, SECTOR_BYTES, Sectors};
    use bytes::Bytes;
    use tiergate_engine::Seed;

    const LENGTH: usize = 3 * SECTOR_BYTES as usize;

    fn of(byte: u8) -> Bytes {
        Bytes::from(vec![byte; LENGTH])
    }

    /// A read gives the latest write at once, whole sectors or not, and zeros where nothing was written.
    #[test]
    fn what_was_written_is_read() {
        let mut sectors = Sectors::default();
        sectors.write(SECTOR_BYTES, of(1));
        sectors.write(2 * SECTOR_BYTES - 2, Bytes::from_static(&[2, 3, 4, 5]));
        assert_eq!(sectors.read(SECTOR_BYTES - 1, 2), Bytes::from_static(&[0, 1]));
        assert_eq!(sectors.read(2 * SECTOR_BYTES - 3, 6), Bytes::from_static(&[1, 2, 3, 4, 5, 1]));
        assert_eq!(sectors.read(4 * SECTOR_BYTES - 1, 2), Bytes::from_static(&[1, 0]));
    }

    /// However the power fails, what was synced is there; of the rest, each way leaves what its name says.
    #[test]
    fn a_loss_of_power_takes_what_was_not_synced() {
        for how in Crash::ALL {
            let mut sectors = Sectors::default();
            sectors.write(0, of(1));
            let mark = sectors.mark();
            sectors.write(LENGTH as u64, of(2));
            sectors.sync(mark);
            let mut chance = Seed(4).split("a device");
            let lost = sectors.crash(how, vec![(2 * LENGTH as u64, of(3))], &mut chance);
            assert_eq!(sectors.read(0, LENGTH), of(1), "{how:?}");
            let rest = sectors.read(LENGTH as u64, 2 * LENGTH);
            let written = [of(2), of(3)].concat();
            let (sectors_of, written_of) =
                (rest.chunks(SECTOR_BYTES as usize), written.chunks(SECTOR_BYTES as usize));
            let as_written = sectors_of.clone().zip(written_of).filter(|(one, other)| one == other).count();
            assert_eq!(lost, 6 - as_written as u64, "{how:?}");
            let zeros = sectors_of.filter(|sector| sector.iter().all(|byte| *byte == 0)).count();
            match how {
                Crash::Lost => assert_eq!((as_written, zeros), (0, 6)),
                Crash::Kept => assert_eq!((as_written, zeros), (6, 0)),
                Crash::Torn | Crash::Shuffled => assert_eq!(as_written + zeros, 6),
                Crash::Garbage => assert!(as_written + zeros <= 6),
            }
        }
    }

    /// A sync that failed makes nothing durable, and no later one makes it good.
    #[test]
    fn a_failed_sync_is_not_made_good() {
        let mut sectors = Sectors::default();
        sectors.write(0, of(1));
        sectors.forget(sectors.mark());
        sectors.sync(sectors.mark());
        assert_eq!(sectors.read(0, LENGTH), of(1));
        sectors.crash(Crash::Kept, Vec::new(), &mut Seed(0).split("a device"));
        assert_eq!(sectors.read(0, LENGTH), Bytes::from(vec![0; LENGTH]));
    }

    /// Rot turns over one bit of a sector, outlives a loss of power, and ends where the sector is written
    /// anew.
    #[test]
    fn rot_stays_until_it_is_written_over() {
        let mut sectors = Sectors::default();
        sectors.write(0, of(0));
        sectors.sync(sectors.mark());
        let mut chance = Seed(0).split("a device");
        assert_eq!(sectors.rot(100, &mut chance), 3);
        let bits =
            |sectors: &Sectors| sectors.read(0, LENGTH).iter().map(|byte| byte.count_ones()).sum::<u32>();
        assert_eq!(bits(&sectors), 3);
        sectors.crash(Crash::Lost, Vec::new(), &mut chance);
        assert_eq!(bits(&sectors), 3);
        assert!(sectors.is_rotten(0, 1));
        sectors.write(0, of(0));
        assert_eq!((bits(&sectors), sectors.is_rotten(0, LENGTH)), (0, false));
    }
}

//! Where each object's record is: 24 bytes an entry, at most 32 an object with what the table keeps free.
//!
//! An entry has a 96-bit print of its key; the key itself is compared on the disk. All of a target lie side
//! by side, so that a purge finds its variants. The table is cut into shelves that grow by an eighth, each on
//! its own; an entry lies at its home or behind it, in the order of prints, so a search ends where a greater
//! print begins.

use super::{block::Place, policy::USES_MAX};
use crate::language::{
    key::{CacheKey, StoredKey},
    units::ByteCount,
};
use alloc::{vec, vec::Vec};

/// The shelves, told apart by the print's first byte.
const SHELVES: usize = 256;
/// Homes of a shelf that holds its first entry.
const HOMES_MIN: usize = 8;
/// Above the bits of a sector in [`Entry::sector`]: how often it was used, as far as two bits count.
const USES_AT: u32 = 24;
/// And above them: may an older record of the key be on the device?
const HIDES: u32 = 1 << 26;
const SECTOR: u32 = (1 << USES_AT) - 1;
const _: () = assert!(USES_MAX << USES_AT < HIDES, "uses have two bits");

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Of the target.
    print: u64,
    /// Of the key beside its target.
    own: u32,
    segment: u32,
    /// And uses, and whether it hides another.
    sector: u32,
    /// Of the whole object; zero where there is no entry.
    sectors: u32,
}

const EMPTY: Entry = Entry { print: 0, own: 0, segment: 0, sector: 0, sectors: 0 };

impl Entry {
    const fn is_empty(&self) -> bool {
        self.sectors == 0
    }

    const fn order(&self) -> (u64, u32) {
        (self.print, self.own)
    }

    const fn indexed(&self) -> Indexed {
        let place = Place { segment: self.segment, sector: self.sector & SECTOR };
        let uses = (self.sector >> USES_AT) & USES_MAX;
        Indexed { place, sectors: self.sectors, uses, hides: self.sector & HIDES != 0 }
    }
}

/// What the index knows of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    /// Where its record is.
    pub(super) place: Place,
    /// Of the record and of all pieces of its body.
    pub(super) sectors: u32,
    /// Since it was written; at most three are counted.
    pub(super) uses: u32,
    /// May an older record of its key be on the device, that would be found after a crash if this one were
    /// not?
    pub(super) hides: bool,
}

/// A part of the table.
#[derive(Debug, Default)]
struct Shelf {
    /// The homes, and room for what the last of them spill.
    slots: Vec<Entry>,
    homes: usize,
    len: usize,
}

/// The index of a store.
#[derive(Debug)]
pub(super) struct Index {
    shelves: Vec<Shelf>,
    /// Mixed into prints, so that nobody outside can choose keys that collide.
    salt: u128,
    len: u64,
    sectors: u64,
}

impl Index {
    pub(super) fn new(salt: u128) -> Self {
        let shelves = (0..SHELVES).map(|_| Shelf::default()).collect();
        Self { shelves, salt, len: 0, sectors: 0 }
    }

    /// How many objects.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// The sum over the objects.
    pub(super) const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// What the table has taken from the allocator.
    pub(super) fn allocated(&self) -> ByteCount {
        let slots: usize = self.shelves.iter().map(|shelf| shelf.slots.capacity()).sum();
        let bytes = slots * size_of::<Entry>() + self.shelves.capacity() * size_of::<Shelf>();
        ByteCount(bytes as u64)
    }

    pub(super) fn find(&self, key: StoredKey) -> Option<Indexed> {
        let (shelf, order) = self.print(key);
        let shelf = &self.shelves[shelf];
        shelf.find(order).map(|slot| shelf.slots[slot].indexed())
    }

    /// Counts a use of the object whose record is at `place`.
    pub(super) fn on_used(&mut self, key: StoredKey, place: Place) {
        if let Some(entry) = self.entry_at(key, place)
            && entry.indexed().uses < USES_MAX
        {
            entry.sector += 1 << USES_AT;
        }
    }

    /// Puts an object in, in place of whatever has its key, which it hides then.
    pub(super) fn insert(&mut self, key: StoredKey, place: Place, sectors: u32) {
        let hides = self.remove(key).is_some();
        self.put(key, place, sectors, if hides { HIDES } else { 0 });
    }

    /// The same, unless something has its key: that hides this one then.
    pub(super) fn insert_older(&mut self, key: StoredKey, place: Place, sectors: u32) {
        let (shelf, order) = self.print(key);
        let shelf = &mut self.shelves[shelf];
        match shelf.find(order) {
            Some(slot) => shelf.slots[slot].sector |= HIDES,
            None => self.put(key, place, sectors, 0),
        }
    }

    fn put(&mut self, key: StoredKey, place: Place, sectors: u32, flags: u32) {
        assert!(sectors > 0 && place.sector <= SECTOR, "{place:?} of {sectors} sectors cannot be indexed");
        let (shelf, (print, own)) = self.print(key);
        let sector = place.sector | flags;
        let entry = Entry { print, own, segment: place.segment, sector, sectors };
        self.shelves[shelf].insert(entry);
        self.len += 1;
        self.sectors += u64::from(sectors);
    }

    /// An older record of this key is on the device.
    pub(super) fn on_hides(&mut self, key: StoredKey) {
        let (shelf, order) = self.print(key);
        if let Some(slot) = self.shelves[shelf].find(order) {
            self.shelves[shelf].slots[slot].sector |= HIDES;
        }
    }

    /// Counts what has this key once more: only the fault that is planted so calls it.
    pub(super) fn count_again(&mut self, key: StoredKey) {
        self.sectors += self.find(key).map_or(0, |indexed| u64::from(indexed.sectors));
    }

    /// The same object, its record elsewhere; nothing happens if it was not at `old`.
    pub(super) fn move_to(&mut self, key: StoredKey, old: Place, new: Indexed) -> bool {
        let Some(entry) = self.entry_at(key, old) else {
            return false;
        };
        let before = core::mem::replace(&mut entry.sectors, new.sectors);
        let hides = if new.hides { HIDES } else { 0 };
        (entry.segment, entry.sector) = (new.place.segment, new.place.sector | new.uses << USES_AT | hides);
        self.sectors = self.sectors - u64::from(before) + u64::from(new.sectors);
        true
    }

    pub(super) fn remove(&mut self, key: StoredKey) -> Option<Indexed> {
        let (shelf, order) = self.print(key);
        let slot = self.shelves[shelf].find(order)?;
        Some(self.take(shelf, slot))
    }

    /// Takes an object out if its record is at `place`.
    pub(super) fn remove_at(&mut self, key: StoredKey, place: Place) -> Option<Indexed> {
        self.entry_at(key, place)?;
        self.remove(key)
    }

    /// Takes out every object of a target. Says how many.
    pub(super) fn remove_target(&mut self, target: CacheKey) -> u64 {
        let (shelf, (print, _)) = self.print(StoredKey::plain(target));
        let mut removed = 0;
        while let Some(slot) = self.shelves[shelf].find_first(print) {
            self.take(shelf, slot);
            removed += 1;
        }
        removed
    }

    /// Takes out every object whose record is in a segment. Looks at all of the table. Says how many.
    pub(super) fn remove_segment(&mut self, segment: u32) -> u64 {
        let mut removed = 0;
        for shelf in 0..self.shelves.len() {
            let is_there = |entry: &Entry| !entry.is_empty() && entry.segment == segment;
            while let Some(slot) = self.shelves[shelf].slots.iter().position(is_there) {
                self.take(shelf, slot);
                removed += 1;
            }
        }
        removed
    }

    fn entry_at(&mut self, key: StoredKey, place: Place) -> Option<&mut Entry> {
        let (shelf, order) = self.print(key);
        let shelf = &mut self.shelves[shelf];
        let slot = shelf.find(order)?;
        Some(&mut shelf.slots[slot]).filter(|entry| entry.indexed().place == place)
    }

    fn take(&mut self, shelf: usize, slot: usize) -> Indexed {
        let indexed = self.shelves[shelf].take(slot).indexed();
        self.len -= 1;
        self.sectors -= u64::from(indexed.sectors);
        indexed
    }

    /// The shelf, and the order on it.
    fn print(&self, key: StoredKey) -> (usize, (u64, u32)) {
        let print = fold(self.salt, key.target);
        let own = fold(self.salt.rotate_left(64), key.key) >> 32;
        let own = u32::try_from(own).expect("a u64 shifted by 32 fits a u32");
        ((print >> 56) as usize, (print, own))
    }
}

/// A print of 64 bits, by two rounds of SplitMix64's mixing.
pub(super) fn fold(salt: u128, key: CacheKey) -> u64 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed in")]
    let [low, high] = [key.0 ^ salt, (key.0 ^ salt) >> 64].map(|half| half as u64);
    mix(mix(low) ^ high)
}

impl Shelf {
    /// Where an entry of this print would lie if no other were in the way. Grows with the print.
    fn home(&self, print: u64) -> usize {
        let within = u128::from(print << 8);
        usize::try_from((within * self.homes as u128) >> 64).expect("a share of the homes is one of them")
    }

    fn find(&self, order: (u64, u32)) -> Option<usize> {
        let slot = self.lower_bound(order);
        let entry = self.slots.get(slot)?;
        (!entry.is_empty() && entry.order() == order).then_some(slot)
    }

    fn find_first(&self, print: u64) -> Option<usize> {
        let slot = self.lower_bound((print, 0));
        let entry = self.slots.get(slot)?;
        (!entry.is_empty() && entry.print == print).then_some(slot)
    }

    /// The first slot from the home on that is empty or not below `order`.
    fn lower_bound(&self, order: (u64, u32)) -> usize {
        let home = self.home(order.0);
        let rest = self.slots.get(home..).unwrap_or_default();
        let below = rest.iter().take_while(|entry| !entry.is_empty() && entry.order() < order).count();
        home + below
    }

    fn insert(&mut self, entry: Entry) {
        if (self.len + 1) * 8 > self.homes * 7 {
            self.grow();
        }
        while !self.place(entry) {
            self.grow();
        }
        self.len += 1;
    }

    /// Moves what is in the way one on. False when the last slot is taken.
    fn place(&mut self, entry: Entry) -> bool {
        let slot = self.lower_bound(entry.order());
        let run = self.slots.get(slot..).unwrap_or_default();
        let Some(free) = run.iter().position(Entry::is_empty) else {
            return false;
        };
        self.slots.copy_within(slot..slot + free, slot + 1);
        self.slots[slot] = entry;
        true
    }

    fn grow(&mut self) {
        let entries: Vec<Entry> = self.slots.iter().filter(|entry| !entry.is_empty()).copied().collect();
        let mut homes = self.homes;
        loop {
            homes = (homes + homes / 8 + 1).max(HOMES_MIN);
            self.homes = homes;
            self.slots = vec![EMPTY; homes + homes / 64 + 8];
            let mut next = 0;
            let all_fit = entries.iter().all(|entry| {
                // In order, so each comes to lie at its home or right behind the one before.
                let slot = self.home(entry.print).max(next);
                next = slot + 1;
                self.slots.get_mut(slot).map(|free| *free = *entry).is_some()
            });
            if all_fit {
                return;
            }
        }
    }

    /// Takes an entry out and moves back what lies behind its home.
    fn take(&mut self, slot: usize) -> Entry {
        let taken = self.slots[slot];
        let behind = self.slots[slot + 1..].iter().zip(slot + 1..);
        let moved =
            behind.take_while(|(entry, at)| !entry.is_empty() && self.home(entry.print) < *at).count();
        self.slots.copy_within(slot + 1..slot + 1 + moved, slot);
        self.slots[slot + moved] = EMPTY;
        self.len -= 1;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::random::Seed;
    use std::collections::BTreeMap;

    fn key(random: &mut crate::parts::random::Random, targets: u64) -> StoredKey {
        let target = CacheKey(u128::from(random.below(targets)) << 64);
        let key = if random.chance(1, 2) { target } else { CacheKey(random.below(4).into()) };
        StoredKey { target, key }
    }

    /// Whatever is put in, moved and taken out, the index holds what a map would, and its sums are the map's.
    #[test]
    fn it_holds_what_a_map_would() {
        for targets in [5, 300, 40_000] {
            let mut random = Seed(targets).split("index");
            let mut index = Index::new(random.wide_bits());
            let mut map: BTreeMap<StoredKey, (Place, u32)> = BTreeMap::new();
            for step in 0..20_000_u32 {
                let key = key(&mut random, targets);
                let place = Place { segment: step, sector: step & SECTOR };
                match random.below(8) {
                    0..5 => {
                        index.insert(key, place, step + 1);
                        map.insert(key, (place, step + 1));
                    }
                    5 => assert_eq!(
                        index.remove(key).map(|found| found.place),
                        map.remove(&key).map(|it| it.0)
                    ),
                    6 => {
                        let old = map.get(&key).map_or(place, |it| it.0);
                        let new = Indexed { place, sectors: 7, uses: 0, hides: false };
                        assert_eq!(index.move_to(key, old, new), map.contains_key(&key));
                        map.entry(key).and_modify(|it| *it = (place, 7));
                    }
                    _ => {
                        let before = map.len();
                        map.retain(|other, _| other.target != key.target);
                        assert_eq!(index.remove_target(key.target), (before - map.len()) as u64);
                    }
                }
                let found = index.find(key).map(|found| (found.place, found.sectors));
                assert_eq!(found, map.get(&key).copied(), "step {step}");
            }
            assert_eq!(index.len(), map.len() as u64);
            assert_eq!(index.sectors(), map.values().map(|(_, sectors)| u64::from(*sectors)).sum::<u64>());
            for (key, (place, _)) in &map {
                assert_eq!(index.find(*key).map(|found| found.place), Some(*place));
            }
        }
    }

    /// Uses are counted up to three, for the record that was used, and are what a move says.
    #[test]
    fn uses_are_counted_where_they_happen() {
        let mut index = Index::new(9);
        let at = StoredKey::plain(CacheKey(1));
        let [one, two] = [Place { segment: 1, sector: SECTOR }, Place { segment: 2, sector: 0 }];
        index.insert(at, one, 1);
        index.on_used(at, two);
        assert_eq!(index.find(at), Some(Indexed { place: one, sectors: 1, uses: 0, hides: false }));
        for uses in [1, 2, 3, 3] {
            index.on_used(at, one);
            assert_eq!(index.find(at), Some(Indexed { place: one, sectors: 1, uses, hides: false }));
        }
        let new = Indexed { place: two, sectors: 2, uses: 2, hides: true };
        assert!(index.move_to(at, one, new) && !index.move_to(at, one, new));
        assert_eq!(index.find(at), Some(new));
    }

    /// What replaces another hides it, and goes on doing so; so does what is said to. That costs no use.
    #[test]
    fn what_replaces_another_hides_it() {
        let mut index = Index::new(9);
        let [at, other] = [1, 2].map(|key| StoredKey::plain(CacheKey(key)));
        let place = Place { segment: 1, sector: SECTOR };
        let hides = |index: &Index, key| index.find(key).map(|found| (found.hides, found.uses));
        index.insert(at, place, 1);
        index.on_used(at, place);
        assert_eq!(hides(&index, at), Some((false, 1)));
        index.insert(at, place, 1);
        (0..5).for_each(|_| index.on_used(at, place));
        assert_eq!(hides(&index, at), Some((true, 3)));
        index.remove(at);
        index.insert(at, place, 1);
        assert_eq!(hides(&index, at), Some((false, 0)));
        index.on_hides(at);
        index.on_hides(other);
        assert_eq!((hides(&index, at), hides(&index, other)), (Some((true, 0)), None));
        index.insert_older(other, place, 2);
        assert_eq!(hides(&index, other), Some((false, 0)));
        index.insert_older(other, Place { segment: 9, sector: 9 }, 5);
        assert_eq!(
            (hides(&index, other), index.find(other).map(|it| it.place)),
            (Some((true, 0)), Some(place))
        );
        assert_eq!((index.len(), index.sectors()), (2, 3));
    }

    /// Grown entry by entry, the table takes at most 32 bytes an object at any number above a few thousand a
    /// shelf.
    #[test]
    fn an_object_takes_at_most_32_bytes() {
        let mut random = Seed(3).split("bytes");
        let mut index = Index::new(random.wide_bits());
        let mut worst = 0.0_f64;
        for objects in 1..=250_000_u32 {
            index.insert(StoredKey::plain(CacheKey(random.wide_bits())), Place { segment: 1, sector: 1 }, 1);
            if objects >= 150_000 && objects.is_multiple_of(1_000) {
                worst = worst.max(index.allocated().0 as f64 / f64::from(objects));
            }
        }
        assert!((24.0..=32.0).contains(&worst), "{worst} bytes an object");
    }
}

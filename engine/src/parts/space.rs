//! The bytes of one tier: who is in, what each costs, and who leaves.
//!
//! [`Space`] is used for L0, with bodies as values. It answers lookups in constant time, never iterates in
//! table order, and its sum is exact after every call (M5).

use crate::{
    config::{Eviction, Objective},
    language::{key::CacheKey, units::ByteCount},
    parts::{
        eviction::{Object, Order, Slot},
        random::Random,
        table::Name,
    },
};
use alloc::vec::Vec;
use hashbrown::HashTable;

#[derive(Debug)]
struct Entry<T> {
    key: CacheKey,
    size: ByteCount,
    value: T,
}

/// What left a space.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) key: CacheKey,
    pub(crate) size: ByteCount,
}

/// Objects of known sizes under a capacity.
#[derive(Debug)]
pub(crate) struct Space<T> {
    table: HashTable<Slot>,
    /// Mixed into the hash of keys, so that nobody outside can choose keys that collide.
    salt: u128,
    entries: Vec<Option<Entry<T>>>,
    free: Vec<Slot>,
    order: Order,
    used: ByteCount,
    capacity: ByteCount,
}

impl<T> Space<T> {
    pub(crate) fn new(
        capacity: ByteCount,
        eviction: Eviction,
        objective: Objective,
        random: &mut Random,
    ) -> Self {
        Self {
            table: HashTable::new(),
            salt: random.wide_bits(),
            entries: Vec::new(),
            free: Vec::new(),
            order: Order::new(eviction, objective, capacity.0),
            used: ByteCount::ZERO,
            capacity,
        }
    }

    /// Where `key` is. Not a use.
    pub(crate) fn find(&self, key: CacheKey) -> Option<Slot> {
        self.table.find(self.hash(key), |slot| self.entry(*slot).key == key).copied()
    }

    /// What is in an occupied slot.
    pub(crate) fn value(&self, slot: Slot) -> &T {
        &self.entry(slot).value
    }

    /// The same, to change what does not change its size.
    pub(crate) fn value_mut(&mut self, slot: Slot) -> &mut T {
        &mut self.entries[slot.index()]
            .as_mut()
            .expect("the table and the order hold occupied slots only")
            .value
    }

    /// All that is here, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CacheKey, &T)> {
        self.entries.iter().flatten().map(|entry| (entry.key, &entry.value))
    }

    /// Counts a use of an occupied slot.
    pub(crate) fn on_used(&mut self, slot: Slot) {
        self.order.on_used(slot, |slot| object(&self.entries, self.salt, slot));
    }

    /// Could an object of this size ever fit?
    pub(crate) fn fits(&self, size: ByteCount) -> bool {
        size <= self.capacity && self.order.admits(size.0)
    }

    /// Takes out one victim, if an object of `size` would not fit beside what is here. It comes under `key`,
    /// next.
    pub(crate) fn evict_for(&mut self, key: CacheKey, size: ByteCount) -> Option<Left> {
        if self.used.plus(size.0) <= self.capacity {
            return None;
        }
        let incoming = Object { size: size.0, fingerprint: self.hash(key) };
        let victim = self.order.evict(incoming, |slot| object(&self.entries, self.salt, slot))?;
        Some(self.take(victim))
    }

    /// Puts in an object for which there is room, under a key that is not here.
    pub(crate) fn insert(&mut self, key: CacheKey, size: ByteCount, value: T) {
        debug_assert!(self.find(key).is_none(), "{key} is in twice");
        assert!(
            self.used.plus(size.0) <= self.capacity,
            "{key} of {size} bytes does not fit beside {}",
            self.used
        );
        let slot = self.free.pop().unwrap_or_else(|| {
            let next =
                u32::try_from(self.entries.len()).expect("memory runs out before four billion objects");
            self.entries.push(None);
            Slot(next)
        });
        self.entries[slot.index()] = Some(Entry { key, size, value });
        self.used = self.used.plus(size.0);
        let (hash, salt) = (self.hash(key), self.salt);
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |slot| {
            let entry = entries[slot.index()].as_ref().expect("the table holds occupied slots only");
            entry.key.hash(salt)
        });
        self.order.on_admitted(slot, Object { size: size.0, fingerprint: hash });
    }

    /// Takes out `key`, if it is here.
    pub(crate) fn remove(&mut self, key: CacheKey) -> Option<Left> {
        let slot = self.find(key)?;
        self.order.on_removed(slot, object(&self.entries, self.salt, slot));
        Some(self.take(slot))
    }

    /// Takes out `key`, if it is here, because a newer object of that key is inserted next.
    pub(crate) fn remove_replaced(&mut self, key: CacheKey) -> Option<Left> {
        let slot = self.find(key)?;
        self.order.on_replaced(slot, object(&self.entries, self.salt, slot));
        Some(self.take(slot))
    }

    /// The sum of the sizes.
    pub(crate) fn used(&self) -> ByteCount {
        self.used
    }

    /// How many objects.
    pub(crate) fn len(&self) -> u64 {
        self.table.len() as u64
    }

    pub(crate) fn capacity(&self) -> ByteCount {
        self.capacity
    }

    /// The sum of the sizes, counted anew.
    pub(crate) fn recount(&self) -> ByteCount {
        self.entries.iter().flatten().fold(ByteCount::ZERO, |sum, entry| sum.plus(entry.size.0))
    }

    /// Each queue of the policy by name, as keys in their order.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<(&'static str, Vec<CacheKey>)> {
        let keys = |slots: &Vec<Slot>| slots.iter().map(|slot| self.entry(*slot).key).collect();
        self.order.dump().iter().map(|(name, slots)| (*name, keys(slots))).collect()
    }

    fn entry(&self, slot: Slot) -> &Entry<T> {
        self.entries[slot.index()].as_ref().expect("the table and the order hold occupied slots only")
    }

    /// Empties a slot that the order has forgotten already.
    fn take(&mut self, slot: Slot) -> Left {
        let Entry { key, size, value: _ } =
            self.entries[slot.index()].take().expect("only occupied slots are taken");
        match self.table.find_entry(key.hash(self.salt), |other| *other == slot) {
            Ok(found) => drop(found.remove()),
            Err(_) => unreachable!("{key} has a slot but is not in the table"),
        }
        self.free.push(slot);
        self.used = ByteCount(self.used.0.checked_sub(size.0).expect("the sum contains every size in it"));
        Left { key, size }
    }

    fn hash(&self, key: CacheKey) -> u64 {
        key.hash(self.salt)
    }
}

/// What a policy may know of what is in an occupied slot.
fn object<T>(entries: &[Option<Entry<T>>], salt: u128, slot: Slot) -> Object {
    let entry = entries[slot.index()].as_ref().expect("the order holds occupied slots only");
    Object { size: entry.size.0, fingerprint: entry.key.hash(salt) }
}

#[cfg(test)]
mod tests;

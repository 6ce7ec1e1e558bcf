//! An index that decides as the store does, over sizes: for worlds without a device.
//!
//! It follows the store block by block: which stream an object is written to, where its segment is full,
//! which segment is reclaimed then, who moves and who leaves, and which tombstones must be written. It has
//! neither bytes nor I/O, so everything is done at once, in the order in which a store does it whose device
//! answers at once. A test drives both through one history (`sim/tests/log_index.rs`).

mod reclaim;
mod segments;
#[cfg(test)]
mod tests;

use super::{
    content::Grave,
    geometry::Geometry,
    ghosts::Ghosts,
    index::fold,
    layout::{Blocks, Layout},
    policy::{self, FREE_SEGMENTS, Replaced, Stream, USES_MAX},
};
use crate::{
    language::{
        key::{CacheKey, StoredKey},
        units::ByteCount,
    },
    parts::random::Seed,
};
use alloc::vec::{Drain, Vec};
use hashbrown::HashTable;
use segments::{Block, Segments, Taken};

/// What a device holds, by key, and who leaves it: see the module.
#[derive(Clone, Debug)]
pub struct LogIndex<T> {
    layout: Layout,
    /// Numbers of slots, by a hash of the target.
    table: HashTable<u32>,
    slots: Vec<Slot<T>>,
    unused: Vec<u32>,
    salt: u128,
    ghosts: Ghosts,
    segments: Segments,
    births: u64,
    /// The object whose writer is open, by slot and number, and the sectors of one of its pieces.
    writing: Option<((u32, u64), u32)>,
    /// Of all objects.
    sectors: u64,
    left: Vec<(StoredKey, T)>,
    written: BytesWritten,
}

/// Sectors written to the device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesWritten {
    /// For objects that were inserted and tombstones: bodies, heads, headers, and what fills the last sector
    /// of a block.
    pub appended: u64,
    /// Again, for objects whose segment was reclaimed.
    pub moved: u64,
    /// For headers, summaries and footers of segments.
    pub marks: u64,
}

impl BytesWritten {
    /// All of it.
    pub const fn sum(&self) -> u64 {
        self.appended + self.moved + self.marks
    }
}

/// The object fits no device like this one: it is larger than a quarter of it, or its head larger than a
/// segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// An object.
#[derive(Clone, Debug)]
struct Object<T> {
    key: StoredKey,
    value: T,
    blocks: Blocks,
    stream: Stream,
    uses: u32,
    /// Where its record is.
    taken: Taken,
    /// An older record of its key, or one that was moved, may still lie on the device.
    hides: bool,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    /// Tells what lies on the device for this object from what lies there for others that had the slot, or
    /// from its blocks that were moved.
    birth: u64,
    object: Option<Object<T>>,
}

impl<T> Slot<T> {
    fn key(&self) -> Option<StoredKey> {
        self.object.as_ref().map(|object| object.key)
    }
}

impl<T> LogIndex<T> {
    /// The index of an empty device that is cut up like this. With the seed of a store it forgets the same
    /// ghosts.
    ///
    /// # Panics
    /// The device has less than 6 segments.
    pub fn new(geometry: Geometry, seed: Seed) -> Self {
        Self::with_layout(Layout::Device(geometry), seed)
    }

    /// The same policy over bodies alone, which know no sectors, heads or headers: to compare it with
    /// policies that are measured so.
    pub fn of_bodies(capacity: ByteCount, seed: Seed) -> Self {
        Self::with_layout(Layout::bodies(capacity), seed)
    }

    fn with_layout(layout: Layout, seed: Seed) -> Self {
        let is_enough = layout.segments() > 2 + FREE_SEGMENTS;
        assert!(is_enough, "two segments take appends, some are free, and one is to hold something");
        Self {
            layout,
            table: HashTable::new(),
            slots: Vec::new(),
            unused: Vec::new(),
            salt: seed.split("log index").wide_bits(),
            ghosts: Ghosts::new(seed),
            segments: Segments::new(layout),
            births: 0,
            writing: None,
            sectors: 0,
            left: Vec::new(),
            written: BytesWritten::default(),
        }
    }

    /// Writes an object, in place of any older one of its key. `head_bytes` is what its head takes as it is
    /// stored. Whoever had to leave for it can be taken with [`Self::take_left`].
    ///
    /// # Errors
    /// The object is too large; nothing has changed.
    pub fn insert(
        &mut self,
        key: StoredKey,
        head_bytes: usize,
        body: ByteCount,
        value: T,
    ) -> Result<(), TooLarge> {
        let blocks = self.layout.blocks(head_bytes, body).ok_or(TooLarge)?;
        let replaced = self.object(key).map(|object| Replaced { stream: object.stream, uses: object.uses });
        let stream = policy::stream_of(replaced, self.ghosts.contains(key));
        let slot = self.unused.pop().unwrap_or_else(|| {
            self.slots.push(Slot { birth: 0, object: None });
            u32::try_from(self.slots.len() - 1).expect("memory runs out before four billion objects")
        });
        let birth = self.mint();
        self.writing = Some(((slot, birth), blocks.piece));
        for _ in 0..blocks.pieces {
            self.append(stream, blocks.piece, Block::Object { key, slot, birth, is_record: false });
            self.reclaim_ahead();
        }
        let taken = self.append(stream, blocks.record, Block::Object { key, slot, birth, is_record: true });
        let hides = self.unlink(key).is_some();
        self.ghosts.forget(key);
        self.slots[slot as usize].birth = birth;
        self.link(slot, Object { key, value, blocks, stream, uses: 0, taken, hides });
        self.reclaim_ahead();
        self.writing = None;
        Ok(())
    }

    /// Who left since this was asked last, in that order. What was replaced or removed did not leave.
    pub fn take_left(&mut self) -> Drain<'_, (StoredKey, T)> {
        self.left.drain(..)
    }

    /// What is held for a key. That does not count as a use.
    pub fn find(&self, key: StoredKey) -> Option<&T> {
        let slot = self.slot(key)?;
        self.slots[slot as usize].object.as_ref().map(|object| &object.value)
    }

    /// What is held for a key, which is used: a lookup that finds something.
    pub fn use_of(&mut self, key: StoredKey) -> Option<&mut T> {
        let slot = self.slot(key)?;
        let object = self.slots[slot as usize].object.as_mut()?;
        object.uses = (object.uses + 1).min(USES_MAX);
        Some(&mut object.value)
    }

    /// Removes what is held for a key: a deletion, which writes a tombstone also where there is nothing.
    pub fn remove(&mut self, key: StoredKey) -> Option<T> {
        let removed = self.unlink(key);
        let through = removed.as_ref().map_or(self.segments.last_stamp(), |object| object.taken.stamp);
        self.bury(Grave::Key(key), through);
        removed.map(|object| object.value)
    }

    /// Removes all that is held for a target: a purge, which writes a tombstone also where there is nothing.
    pub fn remove_target(&mut self, target: CacheKey) -> Vec<(StoredKey, T)> {
        let mut removed = Vec::new();
        while let Some(key) = self.any_of(target) {
            removed.extend(self.unlink(key).map(|object| (object.key, object.value)));
        }
        self.bury(Grave::Target(target), self.segments.last_stamp());
        removed
    }

    /// The process has begun anew: what is held was recovered; uses and ghosts are only in memory.
    pub fn restart(&mut self) {
        self.ghosts.clear();
        for object in self.slots.iter_mut().filter_map(|slot| slot.object.as_mut()) {
            object.uses = 0;
        }
    }

    /// All that is held, in no order that means anything, but the same for the same history.
    pub fn iter(&self) -> impl Iterator<Item = (StoredKey, &T)> {
        self.slots.iter().filter_map(|slot| slot.object.as_ref()).map(|object| (object.key, &object.value))
    }

    /// How many objects are held.
    pub fn len(&self) -> u64 {
        self.table.len() as u64
    }

    /// Is nothing held?
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// What the objects take on the device.
    pub const fn used(&self) -> ByteCount {
        ByteCount(self.layout.bytes(self.sectors))
    }

    /// What was written to the device so far.
    pub const fn written(&self) -> BytesWritten {
        BytesWritten { marks: self.segments.marks, ..self.written }
    }

    /// Writes a block that a client asked for, in the stream's next segment if there is no room in this one.
    fn append(&mut self, stream: Stream, sectors: u32, block: Block) -> Taken {
        self.make_room(stream, sectors);
        self.written.appended += self.layout.bytes(sectors.into());
        self.segments.take(stream, sectors, [block])
    }

    /// A number that nothing on the device has.
    const fn mint(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    fn link(&mut self, slot: u32, object: Object<T>) {
        self.sectors += object.blocks.sectors();
        let hash = self.hash(object.key.target);
        self.slots[slot as usize].object = Some(object);
        let Self { table, slots, salt, .. } = self;
        let target = |slot: u32| slots[slot as usize].key().map(|key| key.target);
        table.insert_unique(hash, slot, |slot| target(*slot).map_or(0, |target| fold(*salt, target)));
    }

    fn unlink(&mut self, key: StoredKey) -> Option<Object<T>> {
        let hash = self.hash(key.target);
        let slots = &self.slots;
        let found = self.table.find_entry(hash, |slot| slots[*slot as usize].key() == Some(key)).ok()?;
        let (slot, _) = found.remove();
        self.unused.push(slot);
        let object = self.slots[slot as usize].object.take()?;
        self.sectors -= object.blocks.sectors();
        Some(object)
    }

    fn hash(&self, target: CacheKey) -> u64 {
        fold(self.salt, target)
    }

    fn slot(&self, key: StoredKey) -> Option<u32> {
        let found = self.table.find(self.hash(key.target), |slot| self.key_of(*slot) == Some(key));
        found.copied()
    }

    fn object(&self, key: StoredKey) -> Option<&Object<T>> {
        self.slots[self.slot(key)? as usize].object.as_ref()
    }

    fn any_of(&self, target: CacheKey) -> Option<StoredKey> {
        let is_of = |slot: &u32| self.key_of(*slot).is_some_and(|key| key.target == target);
        self.table.find(self.hash(target), is_of).and_then(|slot| self.key_of(*slot))
    }

    fn key_of(&self, slot: u32) -> Option<StoredKey> {
        self.slots[slot as usize].key()
    }
}

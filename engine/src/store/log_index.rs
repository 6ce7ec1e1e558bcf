//! An index that decides as the store does, over sizes: for worlds without a device.
//!
//! It follows the store block by block: which stream an object is written to, where its segment is full,
//! which segment is reclaimed then, who moves and who leaves. It has neither bytes nor I/O, so everything is
//! done at once, in the order in which a store does it whose device answers at once. A test drives both
//! through one history.

use super::{
    content::TOMBSTONE_BYTES,
    geometry::Geometry,
    ghosts::Ghosts,
    index::fold,
    layout::{Blocks, Layout},
    log::TOMBSTONE_COPIES,
    policy::{self, FREE_SEGMENTS, Fate, Replaced, Segments, Stream, USES_MAX},
};
use crate::{
    key::{CacheKey, StoredKey},
    random::Seed,
    units::ByteCount,
};
use alloc::{
    collections::VecDeque,
    vec::{Drain, Vec},
};
use hashbrown::HashTable;

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
    newcomers: Log,
    main: Log,
    free: u32,
    births: u64,
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

/// A block on the device that may be of an object.
#[derive(Clone, Copy, Debug)]
struct Block {
    slot: u32,
    birth: u64,
    is_record: bool,
}

/// One stream.
#[derive(Clone, Debug, Default)]
struct Log {
    open: Option<Segment>,
    /// From the oldest on.
    sealed: VecDeque<Segment>,
}

#[derive(Clone, Debug)]
struct Segment {
    /// The next sector.
    cursor: u32,
    /// Tombstones too.
    blocks: usize,
    live: Vec<Block>,
}

impl Log {
    fn extent(&self) -> Segments {
        let sealed = u32::try_from(self.sealed.len()).expect("a device has fewer segments");
        Segments { sealed, all: sealed + u32::from(self.open.is_some()) }
    }
}

impl<T> LogIndex<T> {
    /// The index of an empty device that is cut up like this. With the seed of a store it forgets the same
    /// ghosts.
    ///
    /// # Panics
    /// The device has less than 5 segments.
    pub fn new(geometry: Geometry, seed: Seed) -> Self {
        Self::with_layout(Layout::Device(geometry), seed)
    }

    /// The same policy over bodies alone, which know no sectors, heads or headers: to compare it with
    /// policies that are measured so.
    pub fn of_bodies(capacity: ByteCount, seed: Seed) -> Self {
        Self::with_layout(Layout::bodies(capacity), seed)
    }

    fn with_layout(layout: Layout, seed: Seed) -> Self {
        assert!(
            layout.segments() >= 5,
            "two segments take appends, two are free, and one is to hold something"
        );
        Self {
            layout,
            table: HashTable::new(),
            slots: Vec::new(),
            unused: Vec::new(),
            salt: seed.split("log index").wide_bits(),
            ghosts: Ghosts::new(seed),
            newcomers: Log::default(),
            main: Log::default(),
            free: layout.segments(),
            births: 0,
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
        let birth = self.bear(slot);
        for _ in 0..blocks.pieces {
            self.append(stream, blocks.piece, Some(Block { slot, birth, is_record: false }));
        }
        self.make_room(stream, blocks.record);
        self.put(stream, blocks.record, Some(Block { slot, birth, is_record: true }));
        self.written.appended += self.layout.bytes(blocks.record.into());
        self.unlink(key);
        self.ghosts.forget(key);
        self.link(slot, Object { key, value, blocks, stream, uses: 0 });
        self.reclaim_ahead();
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
        self.bury();
        removed.map(|object| object.value)
    }

    /// Removes all that is held for a target: a purge, which writes a tombstone also where there is nothing.
    pub fn remove_target(&mut self, target: CacheKey) -> Vec<(StoredKey, T)> {
        let mut removed = Vec::new();
        while let Some(key) = self.any_of(target) {
            removed.extend(self.unlink(key).map(|object| (object.key, object.value)));
        }
        self.bury();
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
        self.written
    }

    /// Appends a block; then makes room ahead of the next turn.
    fn append(&mut self, stream: Stream, sectors: u32, block: Option<Block>) {
        self.make_room(stream, sectors);
        self.put(stream, sectors, block);
        self.written.appended += self.layout.bytes(sectors.into());
        self.reclaim_ahead();
    }

    fn bury(&mut self) {
        if let Layout::Device(geometry) = self.layout {
            let sectors = TOMBSTONE_COPIES * geometry.sectors_for(TOMBSTONE_BYTES);
            self.append(Stream::Newcomer, sectors, None);
        }
    }

    /// There is room for a block in the open segment of the stream afterwards.
    fn make_room(&mut self, stream: Stream, sectors: u32) {
        while !self.has_room(stream, sectors) {
            self.seal(stream);
            while self.free < FREE_SEGMENTS && self.reclaim() {}
            if self.log(stream).open.is_none() {
                self.open(stream);
            }
        }
    }

    fn reclaim_ahead(&mut self) {
        while self.free < FREE_SEGMENTS && self.reclaim() {}
    }

    fn has_room(&mut self, stream: Stream, sectors: u32) -> bool {
        let layout = self.layout;
        self.log(stream).open.as_ref().is_some_and(|open| {
            let end =
                u64::from(open.cursor) + u64::from(sectors) + u64::from(layout.seal_sectors(open.blocks + 1));
            end <= u64::from(layout.sectors())
        })
    }

    /// Gives a block its place. There is room.
    fn put(&mut self, stream: Stream, sectors: u32, block: Option<Block>) {
        let open = self.log(stream).open.as_mut().expect("the caller made room");
        open.cursor += sectors;
        open.blocks += 1;
        open.live.extend(block);
    }

    fn seal(&mut self, stream: Stream) {
        let log = self.log(stream);
        if let Some(full) = log.open.take() {
            let blocks = full.blocks;
            log.sealed.push_back(full);
            self.written.marks += self.layout.bytes(self.layout.seal_sectors(blocks).into());
        }
    }

    fn open(&mut self, stream: Stream) {
        assert!(self.free > 0, "what is not free or open is sealed, and can be reclaimed");
        self.free -= 1;
        let cursor = self.layout.first_sector();
        self.written.marks += self.layout.bytes(cursor.into());
        self.log(stream).open = Some(Segment { cursor, blocks: 0, live: Vec::new() });
    }

    /// Empties the segment whose turn it is. False if there is none.
    fn reclaim(&mut self) -> bool {
        let (newcomers, main) = (self.newcomers.extent(), self.main.extent());
        let Some(stream) = policy::reclaimed_next(newcomers, main, self.layout.segments()) else {
            return false;
        };
        let segment = self.log(stream).sealed.pop_front().expect("a segment of the stream is sealed");
        let mut budget = u64::from(policy::budget(self.layout.sectors()));
        // Records come first: after them, whatever has pieces here has its record elsewhere.
        let records = segment.live.iter().filter(|block| block.is_record);
        for block in records.chain(segment.live.iter().filter(|block| !block.is_record)) {
            let slot = &self.slots[block.slot as usize];
            let Some(object) = slot.object.as_ref().filter(|_| slot.birth == block.birth) else { continue };
            let sectors = object.blocks.sectors();
            match policy::fate(stream, object.uses, sectors <= budget) {
                Fate::Moves { uses } => {
                    budget -= sectors;
                    self.move_to_main(block.slot, uses);
                }
                Fate::BecomesGhost => {
                    let key = object.key;
                    self.leave(key);
                    self.ghosts.remember(key, self.len());
                }
                Fate::Leaves => self.leave(object.key),
            }
        }
        self.free += 1;
        true
    }

    /// Writes an object again at the end of the main stream. It leaves if there is no room.
    fn move_to_main(&mut self, slot: u32, uses: u32) {
        let birth = self.bear(slot);
        let object = self.slots[slot as usize].object.as_mut().expect("the caller found it");
        (object.stream, object.uses) = (Stream::Main, uses);
        let (key, Blocks { pieces, piece, record }) = (object.key, object.blocks);
        for number in 0..=pieces {
            let is_record = number == pieces;
            let sectors = if is_record { record } else { piece };
            if !self.has_room(Stream::Main, sectors) {
                self.seal(Stream::Main);
                if self.free == 0 {
                    return self.leave(key);
                }
                self.open(Stream::Main);
            }
            self.put(Stream::Main, sectors, Some(Block { slot, birth, is_record }));
            self.written.moved += self.layout.bytes(sectors.into());
        }
    }

    fn leave(&mut self, key: StoredKey) {
        let object = self.unlink(key).expect("the caller found it");
        self.left.push((object.key, object.value));
    }

    /// From now on no block on the device is of this slot but those that are written with this number.
    fn bear(&mut self, slot: u32) -> u64 {
        self.births += 1;
        self.slots[slot as usize].birth = self.births;
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

    const fn log(&mut self, stream: Stream) -> &mut Log {
        match stream {
            Stream::Newcomer => &mut self.newcomers,
            Stream::Main => &mut self.main,
        }
    }
}

#[cfg(test)]
mod tests;

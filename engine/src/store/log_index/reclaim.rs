//! Reclaim: the oldest segment of a stream is emptied, as the store does it (`reclaiming.rs`, `moving.rs`).

use super::{
    super::{
        content::Grave,
        layout::Blocks,
        policy::{self, FREE_SEGMENTS, Fate, Stream},
    },
    LogIndex,
    segments::{Block, Segments},
};
use crate::language::key::CacheKey;
use alloc::collections::{BTreeMap, BTreeSet};

/// Free segments that a turn leaves, if it is for a reclaim or a tombstone.
pub(super) const KEPT_OF_MOVES: usize = 1;

/// A segment that is being emptied.
struct Reclaim {
    segment: u32,
    stream: Stream,
    /// Sectors that may still be moved.
    budget: u64,
    /// Those that are still to be written, and through which stamps.
    tombstones: BTreeMap<Grave, u64>,
    /// The targets of the records in the segments that take appends, once they were asked for.
    open_targets: Option<BTreeSet<CacheKey>>,
}

impl Reclaim {
    /// Buries what a recovery may find elsewhere. Of several tombstones of one grave, the one that reaches
    /// farthest is all that is needed.
    fn bury(&mut self, segments: &Segments, of: Grave, through: u64) {
        let targets = self.open_targets.get_or_insert_with(|| segments.open_targets());
        if targets.contains(&of.key().target) || segments.may_be_found(through, self.segment) {
            let farthest = self.tombstones.entry(of).or_default();
            *farthest = through.max(*farthest);
        }
    }
}

impl<T> LogIndex<T> {
    /// Empties segments until as many are free as there should be, or nothing can be emptied.
    pub(super) fn reclaim_ahead(&mut self) {
        while self.segments.free.len() < FREE_SEGMENTS as usize && self.reclaim() {}
    }

    fn reclaim(&mut self) -> bool {
        let extents = [Stream::Newcomer, Stream::Main].map(|stream| self.segments.extent(stream));
        let Some(stream) = policy::reclaimed_next(extents[0], extents[1], self.layout.segments()) else {
            return false;
        };
        if !self.segments.has_room(Stream::Main, 0, 0, self.segments.spare(Stream::Main)) {
            return self.turn_for_reclaim();
        }
        let (segment, blocks) = self.segments.oldest(stream);
        let budget = policy::budget(self.layout.sectors()).into();
        let (tombstones, open_targets) = (BTreeMap::new(), None);
        let mut reclaim = Reclaim { segment, stream, budget, tombstones, open_targets };
        let mut seen = BTreeSet::new();
        // Records come first, in the log's order: after them, whatever has pieces here has its record
        // elsewhere.
        let is_record = |block: &Block| matches!(block, Block::Object { is_record: true, .. });
        let has_pieces = blocks.iter().any(|block| matches!(block, Block::Object { is_record: false, .. }));
        let records = blocks.iter().filter(|block| is_record(block));
        for block in records.chain(blocks.iter().filter(|block| !is_record(block))) {
            match *block {
                Block::Tombstone { of, through } => reclaim.bury(&self.segments, of, through),
                Block::Object { key, slot, birth, is_record: true } => {
                    if self.is_current(slot, birth) {
                        if has_pieces {
                            seen.insert(key);
                        }
                        self.sift(&mut reclaim, slot);
                    }
                }
                Block::Object { key, is_record: false, .. } => {
                    let is_first = seen.insert(key);
                    if let Some(slot) = self.slot(key).filter(|slot| is_first && self.lies_in(*slot, &blocks))
                    {
                        self.sift(&mut reclaim, slot);
                    }
                }
            }
        }
        self.keep_what_is_written(&blocks);
        self.bury_all(reclaim.tombstones);
        self.segments.release(segment);
        true
    }

    fn is_current(&self, slot: u32, birth: u64) -> bool {
        let slot = &self.slots[slot as usize];
        slot.birth == birth && slot.object.is_some()
    }

    /// Has the object a piece among these blocks?
    fn lies_in(&self, slot: u32, blocks: &[Block]) -> bool {
        let current = self.slots[slot as usize].birth;
        blocks.iter().any(|block| match block {
            Block::Object { slot: of, birth, .. } => (*of, *birth) == (slot, current),
            Block::Tombstone { .. } => false,
        })
    }

    /// Moves an object or lets it leave, as the policy says.
    fn sift(&mut self, reclaim: &mut Reclaim, slot: u32) {
        let object = self.slots[slot as usize].object.as_ref().expect("the caller found it");
        let sectors = object.blocks.sectors();
        match policy::fate(reclaim.stream, object.uses, sectors <= reclaim.budget) {
            Fate::Moves { uses } => {
                reclaim.budget -= sectors;
                self.move_to_main(reclaim, slot, uses);
            }
            fate @ (Fate::BecomesGhost | Fate::Leaves) => self.leave(reclaim, slot, fate),
        }
    }

    /// Writes an object again at the end of the main stream. It leaves if there is no room.
    fn move_to_main(&mut self, reclaim: &mut Reclaim, slot: u32, uses: u32) {
        let object = self.slots[slot as usize].object.as_ref().expect("the caller found it");
        let (key, Blocks { pieces, piece, record }) = (object.key, object.blocks);
        let birth = self.mint();
        for number in 0..=pieces {
            let is_record = number == pieces;
            let sectors = if is_record { record } else { piece };
            if !self.make_room_for_move(sectors) {
                return self.leave(reclaim, slot, Fate::Leaves);
            }
            let block = Block::Object { key, slot, birth, is_record };
            let taken = self.segments.take(Stream::Main, sectors, [block]);
            self.written.moved += self.layout.bytes(sectors.into());
            if is_record {
                let old = core::mem::replace(&mut self.slots[slot as usize].birth, birth);
                if let Some((writing, _)) =
                    self.writing.as_mut().filter(|(writing, _)| *writing == (slot, old))
                {
                    *writing = (slot, birth);
                }
                let object = self.slots[slot as usize].object.as_mut().expect("the caller found it");
                object.hides |= object.taken.segment != reclaim.segment;
                (object.stream, object.uses, object.taken) = (Stream::Main, uses, taken);
            }
        }
    }

    fn make_room_for_move(&mut self, sectors: u32) -> bool {
        loop {
            if self.segments.has_room(Stream::Main, sectors, 1, self.segments.spare(Stream::Main)) {
                return true;
            }
            if !self.segments.turn(Stream::Main, KEPT_OF_MOVES) {
                return false;
            }
        }
    }

    /// An object leaves. If its record lies elsewhere, or hides an older one, a recovery must not find
    /// either.
    fn leave(&mut self, reclaim: &mut Reclaim, slot: u32, fate: Fate) {
        let key = self.slots[slot as usize].key().expect("the caller found it");
        let object = self.unlink(key).expect("the caller found it");
        if let Fate::BecomesGhost = fate {
            self.ghosts.remember(key, self.len());
        }
        let would_be_found = object.hides || object.taken.segment != reclaim.segment;
        if would_be_found && self.layout.has_tombstones() {
            reclaim.bury(&self.segments, Grave::Key(key), object.taken.stamp);
        }
        self.left.push((key, object.value));
    }

    /// Moves the pieces of the object that is just being written, and perhaps is larger than the newcomers'
    /// part.
    fn keep_what_is_written(&mut self, blocks: &[Block]) {
        for block in blocks {
            let Block::Object { slot, birth, .. } = *block else { continue };
            let Some((writing, sectors)) = self.writing else { continue };
            if (slot, birth) == writing && self.make_room_for_move(sectors) {
                self.segments.take(Stream::Main, sectors, [*block]);
                self.written.moved += self.layout.bytes(sectors.into());
            }
        }
    }

    /// Writes tombstones, as many in a block as there is room for.
    fn bury_all(&mut self, mut tombstones: BTreeMap<Grave, u64>) {
        while !tombstones.is_empty() {
            let mut count = tombstones.len();
            let sectors = |count| self.layout.tombstone_sectors(count);
            while count > 0 && !self.segments.has_room(Stream::Main, sectors(count), count, 0) {
                count /= 2;
            }
            if count == 0 {
                let has_turned = self.turn_for_reclaim();
                assert!(has_turned, "room for tombstones is always kept");
                continue;
            }
            let sectors = sectors(count);
            let next = core::iter::from_fn(|| tombstones.pop_first()).take(count);
            let entries = next.map(|(of, through)| Block::Tombstone { of, through });
            self.segments.take(Stream::Main, sectors, entries);
            self.written.moved += self.layout.bytes(sectors.into());
        }
    }

    fn turn_for_reclaim(&mut self) -> bool {
        self.segments.turn(Stream::Main, KEPT_OF_MOVES) || self.segments.turn(Stream::Main, 0)
    }

    /// A tombstone that somebody asked for.
    pub(super) fn bury(&mut self, of: Grave, through: u64) {
        if !self.layout.has_tombstones() {
            return;
        }
        let sectors = self.layout.tombstone_sectors(1);
        let spare = self.segments.spare(Stream::Main);
        while !self.segments.has_room(Stream::Main, sectors, 1, spare) {
            if !self.segments.turn(Stream::Main, KEPT_OF_MOVES) && !self.reclaim() {
                // There is nothing to empty, so the last may go.
                self.segments.turn(Stream::Main, 0);
            }
        }
        self.segments.take(Stream::Main, sectors, [Block::Tombstone { of, through }]);
        self.written.appended += self.layout.bytes(sectors.into());
        self.reclaim_ahead();
    }

    /// There is room for a block in the open segment of the stream afterwards.
    pub(super) fn make_room(&mut self, stream: Stream, sectors: u32) {
        const KEPT_OF_APPENDS: usize = KEPT_OF_MOVES + 1;
        while !self.segments.has_room(stream, sectors, 1, self.segments.spare(stream)) {
            if !self.segments.turn(stream, KEPT_OF_APPENDS) && !self.reclaim() {
                let has_turned = self.segments.turn(stream, 0);
                assert!(has_turned, "what is not free is open or sealed, and sealed segments can be emptied");
            }
        }
    }
}

//! The segments of an imagined device: which stream has which, what lies in each, and which one comes next.
//!
//! It knows nothing of objects. Turns and their order, the room that is kept, and what a recovery would find
//! are the store's (`turning.rs`, `log.rs`).

use super::super::{
    content::Grave,
    layout::Layout,
    policy::{Segments as Extent, Stream},
};
use crate::language::key::{CacheKey, StoredKey};
use alloc::{
    collections::{BTreeSet, VecDeque},
    vec,
    vec::Vec,
};

/// What lies in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block {
    /// A block of what had this number, and perhaps has it still.
    Object { key: StoredKey, slot: u32, birth: u64, is_record: bool },
    /// It takes away what lies there with at most this stamp.
    Tombstone { of: Grave, through: u64 },
}

/// A place in the log, with what orders it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) segment: u32,
    pub(super) stamp: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    is_free: bool,
    stream: Stream,
    /// As which it was opened last; zero if it never was.
    sequence: u64,
    /// Every block in it has at least this stamp.
    stamp: u64,
    /// The next sector.
    cursor: u32,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug, Default)]
struct OfStream {
    /// The oldest first.
    live: VecDeque<u32>,
    /// The last of them takes appends.
    is_open: bool,
}

/// All segments.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    layout: Layout,
    all: Vec<Segment>,
    newcomers: OfStream,
    main: OfStream,
    /// In the order in which they were freed.
    pub(super) free: VecDeque<u32>,
    next_sequence: u64,
    next_stamp: u64,
    /// What lies below in each stream is named empty by the newest header.
    floors: (u64, u64),
    /// Bytes written for headers, summaries and footers.
    pub(super) marks: u64,
}

impl Segments {
    pub(super) fn new(layout: Layout) -> Self {
        let (is_free, stream, blocks) = (true, Stream::Main, Vec::new());
        let free = Segment { is_free, stream, sequence: 0, stamp: 0, cursor: 0, blocks };
        Self {
            layout,
            all: vec![free; layout.segments() as usize],
            newcomers: OfStream::default(),
            main: OfStream::default(),
            free: (0..layout.segments()).collect(),
            next_sequence: 1,
            next_stamp: 1,
            floors: (0, 0),
            marks: 0,
        }
    }

    /// Is there room for a block and its entries in the summary, and for `spare` sectors beside?
    pub(super) fn has_room(&self, stream: Stream, sectors: u32, entries: usize, spare: u32) -> bool {
        self.open(stream).is_some_and(|open| {
            let open = &self.all[open as usize];
            let seal = self.layout.seal_sectors(open.blocks.len() + entries);
            let used = [open.cursor, sectors, seal, spare].map(u64::from).iter().sum::<u64>();
            used <= u64::from(self.layout.sectors())
        })
    }

    /// What every block but a reclaim's tombstones leaves free in the open segment.
    pub(super) fn spare(&self, stream: Stream) -> u32 {
        match stream {
            Stream::Newcomer => 0,
            Stream::Main => self.layout.spare_sectors(),
        }
    }

    /// Gives a block its place. There is room.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        sectors: u32,
        entries: impl IntoIterator<Item = Block>,
    ) -> Taken {
        let segment = self.open(stream).expect("the caller asked for room");
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let open = &mut self.all[segment as usize];
        open.cursor += sectors;
        open.blocks.extend(entries);
        Taken { segment, stamp }
    }

    /// The stream turns to a free segment, if that leaves so many. A main stream that has none may have the
    /// last.
    pub(super) fn turn(&mut self, stream: Stream, kept: usize) -> bool {
        let has_none = stream == Stream::Main && self.open(stream).is_none();
        if self.free.len() <= if has_none { 0 } else { kept } {
            return false;
        }
        let next = self.free.pop_front().expect("there are more than are kept");
        if let Some(full) = self.open(stream) {
            let seal = self.layout.seal_sectors(self.all[full as usize].blocks.len());
            self.marks += self.layout.bytes(seal.into());
        }
        let (sequence, stamp) = (self.next_sequence, self.next_stamp);
        self.next_sequence += 1;
        let cursor = self.layout.first_sector();
        self.marks += self.layout.bytes(cursor.into());
        self.all[next as usize] =
            Segment { is_free: false, stream, sequence, stamp, cursor, blocks: Vec::new() };
        let of_stream = self.of(stream);
        of_stream.live.push_back(next);
        of_stream.is_open = true;
        self.floors = (self.floor(&self.newcomers), self.floor(&self.main));
        true
    }

    /// The stream's oldest sealed segment is to be emptied: what it holds, in the log's order.
    pub(super) fn oldest(&mut self, stream: Stream) -> (u32, Vec<Block>) {
        let segment = *self.of(stream).live.front().expect("the stream has a sealed segment");
        (segment, core::mem::take(&mut self.all[segment as usize].blocks))
    }

    /// It holds nothing any more.
    pub(super) fn release(&mut self, segment: u32) {
        self.all[segment as usize].is_free = true;
        let stream = self.all[segment as usize].stream;
        let released = self.of(stream).live.pop_front();
        assert_eq!(released, Some(segment), "the oldest is emptied");
        self.free.push_back(segment);
    }

    /// May a recovery find a block with a stamp of at most `stamp` in a segment other than this one, and
    /// those that take appends?
    pub(super) fn may_be_found(&self, stamp: u64, but: u32) -> bool {
        let open = [Stream::Newcomer, Stream::Main].map(|stream| self.open(stream));
        (0..).zip(&self.all).any(|(number, segment)| {
            let floor = match segment.stream {
                Stream::Newcomer => self.floors.0,
                Stream::Main => self.floors.1,
            };
            let is_named_empty = segment.is_free && segment.sequence < floor;
            let is_out = number == but || is_named_empty || open.contains(&Some(number));
            !is_out && segment.sequence > 0 && segment.stamp <= stamp
        })
    }

    /// The targets of the records in the segments that take appends.
    pub(super) fn open_targets(&self) -> BTreeSet<CacheKey> {
        let open = [Stream::Newcomer, Stream::Main].into_iter().filter_map(|stream| self.open(stream));
        let blocks = open.flat_map(|segment| &self.all[segment as usize].blocks);
        let targets = blocks.filter_map(|block| match block {
            Block::Object { key, is_record: true, .. } => Some(key.target),
            Block::Object { is_record: false, .. } | Block::Tombstone { .. } => None,
        });
        targets.collect()
    }

    /// The newest stamp that a block has.
    pub(super) const fn last_stamp(&self) -> u64 {
        self.next_stamp - 1
    }

    /// How many segments a stream has, as the policy counts them.
    pub(super) fn extent(&self, stream: Stream) -> Extent {
        let of_stream = match stream {
            Stream::Newcomer => &self.newcomers,
            Stream::Main => &self.main,
        };
        let all = u32::try_from(of_stream.live.len()).expect("a device has fewer segments");
        Extent { sealed: all - u32::from(of_stream.is_open), all }
    }

    fn open(&self, stream: Stream) -> Option<u32> {
        let of_stream = match stream {
            Stream::Newcomer => &self.newcomers,
            Stream::Main => &self.main,
        };
        of_stream.live.back().copied().filter(|_| of_stream.is_open)
    }

    const fn of(&mut self, stream: Stream) -> &mut OfStream {
        match stream {
            Stream::Newcomer => &mut self.newcomers,
            Stream::Main => &mut self.main,
        }
    }

    fn floor(&self, of_stream: &OfStream) -> u64 {
        of_stream.live.front().map_or(self.next_sequence, |oldest| self.all[*oldest as usize].sequence)
    }
}

//! The segments: which take appends, which hold something, which are free.

use super::{
    block::{HEADER_BYTES, Place, Position},
    content::{ENTRY_BYTES, Entry, TOMBSTONE_BYTES, What},
    geometry::{Geometry, MARKS},
    policy::{self, Stream},
};
use crate::language::key::CacheKey;
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::ops::{Index, IndexMut};

/// A tombstone is written twice, so that one sector that goes bad takes no deletion back.
pub(super) const TOMBSTONE_COPIES: u32 = 2;

/// One for each stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Both<T> {
    pub(super) newcomer: T,
    pub(super) main: T,
}

impl<T> Index<Stream> for Both<T> {
    type Output = T;

    fn index(&self, stream: Stream) -> &T {
        match stream {
            Stream::Newcomer => &self.newcomer,
            Stream::Main => &self.main,
        }
    }
}

impl<T> IndexMut<Stream> for Both<T> {
    fn index_mut(&mut self, stream: Stream) -> &mut T {
        match stream {
            Stream::Newcomer => &mut self.newcomer,
            Stream::Main => &mut self.main,
        }
    }
}

/// The streams, one after the other.
pub(super) const STREAMS: [Stream; 2] = [Stream::Newcomer, Stream::Main];

/// What a segment is used for.
///
/// ```text
/// Free ──turn begins──▶ Next ──header durable──▶ Open ──turn begins──▶ Full ──summary──▶ Sealed ──reclaimed──▶ Free
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be overwritten once all earlier writes are durable.
    Free,
    /// It is to take appends. What it held before may still be found on the device.
    Next,
    /// It takes appends.
    Open,
    /// It takes no more, and its summary is not written.
    Full,
    /// It holds what it held when it was sealed.
    Sealed {
        /// Where its summary begins, if it has one.
        summary: Option<u32>,
    },
}

/// A segment, and its last life whose header is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) standing: Standing,
    pub(super) stream: Stream,
    /// As which it was opened; zero if it never was.
    pub(super) sequence: u64,
    /// Every block in it has at least this stamp.
    pub(super) stamp: u64,
}

/// The segment of a stream that takes appends.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) segment: u32,
    pub(super) sequence: u64,
    /// The next sector.
    cursor: u32,
    pub(super) entries: Vec<Entry>,
}

/// The segments of one stream.
#[derive(Debug, Default)]
pub(super) struct StreamLog {
    /// Those that hold something or are about to, by sequence.
    pub(super) live: BTreeMap<u64, u32>,
    pub(super) open: Option<Open>,
    /// Writes to it that are under way.
    pub(super) writes: usize,
}

/// All segments.
#[derive(Debug)]
pub(super) struct Log {
    geometry: Geometry,
    pub(super) segments: Vec<Segment>,
    pub(super) streams: Both<StreamLog>,
    /// In the order in which they are to be overwritten: that in which they were freed. See `docs/format.md`.
    pub(super) free: VecDeque<u32>,
    pub(super) next_sequence: u64,
    pub(super) next_stamp: u64,
    /// The floors of the newest durable header.
    pub(super) floors: Both<u64>,
}

/// A place in the log, with what orders it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) position: Position,
    pub(super) stamp: u64,
}

impl Log {
    pub(super) fn new(geometry: Geometry) -> Self {
        let free = Segment { standing: Standing::Free, stream: Stream::Main, sequence: 0, stamp: 0 };
        let segments = alloc::vec![free; geometry.segments as usize];
        let (streams, floors) = (Both::default(), Both::default());
        let free = (0..geometry.segments).collect();
        Self { geometry, segments, streams, free, next_sequence: 1, next_stamp: 1, floors }
    }

    pub(super) fn segment(&mut self, segment: u32) -> &mut Segment {
        &mut self.segments[segment as usize]
    }

    /// Is there room for a block and its entries in the summary, and for `spare` sectors beside?
    pub(super) fn has_room(&self, stream: Stream, sectors: u32, entries: usize, spare: u32) -> bool {
        self.streams[stream].open.as_ref().is_some_and(|open| {
            let summary = summary_sectors(&self.geometry, open.entries.len() + entries);
            let used = [sectors, summary, spare, 1].map(u64::from).iter().sum::<u64>();
            u64::from(open.cursor) + used <= u64::from(self.geometry.sectors)
        })
    }

    /// What every block but a reclaim's tombstones leaves free in main's open segment.
    pub(super) fn spare(&self, stream: Stream) -> u32 {
        match stream {
            Stream::Newcomer => 0,
            Stream::Main => spare_sectors(&self.geometry),
        }
    }

    /// The largest block that an empty segment of either stream has room for.
    pub(super) fn sectors_max(&self) -> u32 {
        self.geometry.sectors - MARKS - spare_sectors(&self.geometry) - summary_sectors(&self.geometry, 1)
    }

    /// Sectors that the main stream has room for with so many turns, about.
    pub(super) fn room_for_moves(&self, turns: usize) -> u32 {
        let cursor = self.streams.main.open.as_ref().map_or(self.geometry.sectors, |open| open.cursor);
        let left = self.geometry.sectors.saturating_sub(cursor + self.spare(Stream::Main) + 3);
        left.saturating_add(self.sectors_max().saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX)))
    }

    /// Gives a block of so many sectors its place. There is room. It has the entries that are made of its
    /// sector and stamp.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        sectors: u32,
        entries: impl FnOnce(u32, u64, &mut Vec<Entry>),
    ) -> Taken {
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let open = self.streams[stream].open.as_mut().expect("the caller asked for room");
        let place = Place { segment: open.segment, sector: open.cursor };
        let position = Position { sequence: open.sequence, sector: open.cursor };
        entries(open.cursor, stamp, &mut open.entries);
        open.cursor += sectors;
        Taken { place, position, stamp }
    }

    /// Does any segment take appends?
    pub(super) fn is_open(&self) -> bool {
        STREAMS.into_iter().any(|stream| self.streams[stream].open.is_some())
    }

    /// The newest stamp that a block has.
    pub(super) const fn last_stamp(&self) -> u64 {
        self.next_stamp - 1
    }

    /// The segment with this number takes appends from now on.
    pub(super) fn begin(&mut self, stream: Stream, segment: u32) {
        let sequence = self.segment(segment).sequence;
        self.segment(segment).standing = Standing::Open;
        self.streams[stream].open = Some(Open { segment, sequence, cursor: 2, entries: Vec::new() });
    }

    pub(super) fn position(&self, place: Place) -> Position {
        Position { sequence: self.segments[place.segment as usize].sequence, sector: place.sector }
    }

    pub(super) fn stream_of(&self, place: Place) -> Stream {
        self.segments[place.segment as usize].stream
    }

    /// Where that is on the device, if it was not reclaimed.
    pub(super) fn place(&self, position: Position) -> Option<Place> {
        let find = |stream| self.streams[stream].live.get(&position.sequence);
        let segment = *STREAMS.into_iter().find_map(find)?;
        Some(Place { segment, sector: position.sector })
    }

    /// The sealed segment of a stream that was opened first.
    pub(super) fn oldest(&self, stream: Stream) -> Option<u32> {
        let mut live = self.streams[stream].live.values().copied();
        live.find(|segment| self.is_sealed(*segment))
    }

    fn is_sealed(&self, segment: u32) -> bool {
        matches!(self.segments[segment as usize].standing, Standing::Sealed { .. })
    }

    /// How many segments a stream has, as the policy counts them.
    pub(super) fn extent(&self, stream: Stream) -> policy::Segments {
        let live = &self.streams[stream].live;
        let count = |n: usize| u32::try_from(n).expect("a device has fewer segments");
        let sealed = live.values().filter(|segment| self.is_sealed(**segment)).count();
        policy::Segments { sealed: count(sealed), all: count(live.len()) }
    }

    /// In each stream, all sequences below hold nothing.
    pub(super) fn floors_now(&self) -> Both<u64> {
        let floor =
            |stream: Stream| self.streams[stream].live.keys().next().copied().unwrap_or(self.next_sequence);
        Both { newcomer: floor(Stream::Newcomer), main: floor(Stream::Main) }
    }

    /// May a recovery find a block with a stamp of at most `stamp` in a segment other than this one, and
    /// those that take appends?
    pub(super) fn may_be_found(&self, stamp: u64, but: u32) -> bool {
        (0..).zip(&self.segments).any(|(number, segment)| {
            let is_found = match segment.standing {
                Standing::Free | Standing::Next => segment.sequence >= self.floors[segment.stream],
                Standing::Full | Standing::Sealed { .. } => true,
                Standing::Open => false,
            };
            number != but && segment.sequence > 0 && segment.stamp <= stamp && is_found
        })
    }

    /// The targets of the records in the segments that take appends.
    pub(super) fn open_targets(&self) -> BTreeSet<CacheKey> {
        let open = STREAMS.into_iter().filter_map(|stream| self.streams[stream].open.as_ref());
        let targets = open.flat_map(|open| &open.entries).filter_map(|entry| match entry.what {
            What::Record { key, .. } => Some(key.target),
            What::Body { .. } | What::Tombstone(_) => None,
        });
        targets.collect()
    }

    /// It holds nothing any more, and may be overwritten.
    pub(super) fn release(&mut self, segment: u32) {
        self.vacate(segment);
        self.free.push_back(segment);
    }

    /// It holds nothing any more.
    pub(super) fn vacate(&mut self, segment: u32) {
        let Segment { stream, sequence, .. } = *self.segment(segment);
        self.streams[stream].live.remove(&sequence);
        self.segment(segment).standing = Standing::Free;
    }
}

/// What a summary of so many entries takes.
pub(super) fn summary_sectors(geometry: &Geometry, entries: usize) -> u32 {
    sectors_of(geometry, HEADER_BYTES + ENTRY_BYTES * entries)
}

/// What a reclaim may need for tombstones, one for each block of the segment, and for their entries in the
/// summary.
pub(super) fn spare_sectors(geometry: &Geometry) -> u32 {
    let blocks = (geometry.sectors - MARKS) as usize;
    TOMBSTONE_COPIES * geometry.sectors_for(TOMBSTONE_BYTES * blocks)
        + sectors_of(geometry, ENTRY_BYTES * blocks)
}

fn sectors_of(geometry: &Geometry, bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(geometry.sector_bytes as usize)).unwrap_or(u32::MAX)
}

//! The segments: which takes appends, which hold something, which are free.

use super::{
    block::{HEADER_BYTES, Place, Position},
    content::{ENTRY_BYTES, Entry},
    geometry::{Geometry, MARKS},
};
use alloc::{collections::BTreeMap, vec::Vec};

/// What a segment is used for.
///
/// ```text
/// Free ──opened──▶ Open ──sealed──▶ Sealed ──reclaimed──▶ Free
///   ╰──its header cannot be written──▶ Bad
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be overwritten once all earlier writes are durable.
    Free,
    /// It takes appends, or is just being opened or sealed.
    Open,
    /// It holds what it held when it was sealed.
    Sealed {
        /// Where its summary begins, if it has one.
        summary: Option<u32>,
    },
    /// It is not used by this process.
    Bad,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) standing: Standing,
    /// As which it was opened last.
    pub(super) sequence: u64,
}

/// The segment that takes appends.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) segment: u32,
    pub(super) sequence: u64,
    /// The next sector.
    cursor: u32,
    pub(super) entries: Vec<Entry>,
}

/// All segments.
#[derive(Debug)]
pub(super) struct Log {
    geometry: Geometry,
    pub(super) segments: Vec<Segment>,
    /// Those that hold something.
    pub(super) by_sequence: BTreeMap<u64, u32>,
    pub(super) open: Option<Open>,
    pub(super) next_sequence: u64,
}

impl Log {
    pub(super) fn new(geometry: Geometry) -> Self {
        let free = Segment { standing: Standing::Free, sequence: 0 };
        let segments = alloc::vec![free; geometry.segments as usize];
        Self { geometry, segments, by_sequence: BTreeMap::new(), open: None, next_sequence: 1 }
    }

    pub(super) fn segment(&mut self, segment: u32) -> &mut Segment {
        &mut self.segments[segment as usize]
    }

    /// Is there room for a block, and for its entry in the summary?
    pub(super) fn has_room(&self, sectors: u32) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let summary = summary_sectors(&self.geometry, open.entries.len() + 1);
            let end = u64::from(open.cursor) + u64::from(sectors) + u64::from(summary) + 1;
            end <= u64::from(self.geometry.sectors)
        })
    }

    /// The largest block that an empty segment has room for.
    pub(super) fn sectors_max(&self) -> u32 {
        self.geometry.sectors - MARKS - summary_sectors(&self.geometry, 1)
    }

    /// Gives a block its place. There is room.
    pub(super) fn take(&mut self, entry: impl FnOnce(u32) -> Entry) -> (Place, Position) {
        let open = self.open.as_mut().expect("the caller asked for room");
        let entry = entry(open.cursor);
        let place = entry.place(open.segment);
        let position = Position { sequence: open.sequence, sector: place.sector };
        open.cursor += entry.sectors;
        open.entries.push(entry);
        (place, position)
    }

    /// The sequence of the segment that takes appends.
    pub(super) fn open_sequence(&self) -> u64 {
        self.open.as_ref().expect("the caller asked for room").sequence
    }

    /// The segment with this number takes appends from now on.
    pub(super) fn begin(&mut self, segment: u32) {
        let sequence = self.segment(segment).sequence;
        self.open = Some(Open { segment, sequence, cursor: 2, entries: Vec::new() });
    }

    pub(super) fn position(&self, place: Place) -> Position {
        Position { sequence: self.segments[place.segment as usize].sequence, sector: place.sector }
    }

    /// Where that is on the device, if it was not reclaimed.
    pub(super) fn place(&self, position: Position) -> Option<Place> {
        let segment = *self.by_sequence.get(&position.sequence)?;
        Some(Place { segment, sector: position.sector })
    }

    /// The sealed segment that was opened first.
    pub(super) fn oldest(&self) -> Option<u32> {
        let mut live = self.by_sequence.values().copied();
        live.find(|segment| matches!(self.segments[*segment as usize].standing, Standing::Sealed { .. }))
    }

    /// All sequences below hold nothing.
    pub(super) fn floor(&self) -> u64 {
        self.by_sequence.keys().next().copied().unwrap_or(self.next_sequence)
    }

    /// The free segment that was opened first. Their order matters: a header that is torn must leave nothing older behind.
    pub(super) fn free(&self) -> Option<u32> {
        let free = (0..).zip(&self.segments).filter(|(_, segment)| segment.standing == Standing::Free);
        free.min_by_key(|(number, segment)| (segment.sequence, *number)).map(|(number, _)| number)
    }

    /// It holds nothing any more.
    pub(super) fn release(&mut self, segment: u32) {
        let sequence = self.segment(segment).sequence;
        self.by_sequence.remove(&sequence);
        self.segment(segment).standing = Standing::Free;
    }
}

/// What a summary of so many entries takes.
pub(super) fn summary_sectors(geometry: &Geometry, entries: usize) -> u32 {
    let bytes = HEADER_BYTES + ENTRY_BYTES * entries;
    u32::try_from(bytes.div_ceil(geometry.sector_bytes as usize)).unwrap_or(u32::MAX)
}

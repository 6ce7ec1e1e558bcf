//! Reading bodies, of open records and of those being written. A body stays what it was, wherever its pieces
//! are moved.

use super::{
    Event, Failure, Op, Reader, Source, Store, Writer,
    block::{Header, Place, Position, Unfit},
    content::Extent,
    moving::Now,
    plant::StoreFault,
    reading::Want,
    rope::part_of,
    writing::Piece,
};
use crate::language::{id::RecordName, key::StoredKey, record::Record};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use bytes::Bytes;

/// A record that is open. It stays what it was.
#[derive(Debug)]
pub(super) struct OpenReader {
    pub(super) key: StoredKey,
    /// Where its record was last, as far as it is that of the key.
    pub(super) place: Place,
    pub(super) name: RecordName,
    pub(super) extents: Vec<Extent>,
    pub(super) tail: Bytes,
    /// The piece that was read last.
    pub(super) last: Option<(usize, Bytes)>,
    /// Pieces that a reclaim found no room for.
    pub(super) kept: BTreeMap<usize, Bytes>,
}

/// A piece of a body that is read for somebody.
#[derive(Debug)]
pub(super) struct PieceRead {
    op: Op,
    source: Source,
    key: StoredKey,
    name: RecordName,
    piece: usize,
    extent: Extent,
    want: For,
}

/// What it is read for.
#[derive(Debug)]
enum For {
    Bytes {
        offset: u64,
        length_max: u64,
    },
    /// To tell that a record was found.
    Found(Box<Record>),
}

impl PieceRead {
    /// The first piece of a record that a lookup found.
    pub(super) fn first(
        op: Op,
        reader: Reader,
        key: StoredKey,
        name: RecordName,
        extent: Extent,
        record: Record,
    ) -> Self {
        let (source, want) = (Source::Reader(reader), For::Found(Box::new(record)));
        Self { op, source, key, name, piece: 0, extent, want }
    }
}

/// What is known of the bytes that are asked for.
enum Held {
    Here(Bytes),
    Piece { piece: usize, extent: Extent, key: StoredKey, name: RecordName },
}

impl Store {
    pub(super) fn read(&mut self, op: Op, source: Source, offset: u64, length_max: u64) {
        let held = match source {
            Source::Reader(reader) => self.readers.get(&reader).map(|open| open.held(offset, length_max)),
            Source::Writer(writer) => self.held_by_writer(writer, offset, length_max),
        };
        match held {
            None => self.fail(op, Failure::NotOpen),
            Some(Held::Here(bytes)) if bytes.is_empty() => self.fail(op, Failure::Beyond),
            Some(Held::Here(bytes)) => self.event(Event::BodyRead { op, bytes }),
            Some(Held::Piece { piece, extent, key, name }) => {
                let want = For::Bytes { offset, length_max };
                let read = PieceRead { op, source, key, name, piece, extent, want };
                if !self.read_piece(extent, Want::Piece(read)) {
                    self.fail(op, Failure::Reclaimed);
                }
            }
        }
    }

    fn held_by_writer(&self, writer: Writer, offset: u64, length_max: u64) -> Option<Held> {
        let open = self.writers.get(&writer)?;
        let size = self.geometry.block_payload();
        let size = u32::try_from(size).expect("a block lies in a segment, which is below 4 GiB");
        Some(match Spot::of(offset, size, open.pieces.len()) {
            Spot::Piece(piece, within) => match &open.pieces[piece] {
                Piece::Kept(slices) => Held::Here(part_of(slices.iter(), within, length_max)),
                Piece::Stored(extent) => {
                    Held::Piece { piece, extent: *extent, key: open.key, name: open.name }
                }
            },
            Spot::Tail(within) => Held::Here(open.rest.part(within, length_max)),
        })
    }

    /// Where a piece is now.
    fn extent_of(&self, source: Source, piece: usize) -> Option<Extent> {
        match source {
            Source::Reader(reader) => self.readers.get(&reader)?.extents.get(piece).copied(),
            Source::Writer(writer) => self.writers.get(&writer)?.pieces.get(piece)?.stored(),
        }
    }

    pub(super) fn on_piece_read(&mut self, read: PieceRead, found: Result<(Header, Bytes), Unfit>) {
        match Self::piece_in(found, read.key, read.name, read.piece, read.extent) {
            Ok(body) => self.on_piece_here(read, body),
            Err(_) => {
                if let Some(read) = self.read_where_it_is_now(read) {
                    self.on_piece_rotten(read);
                }
            }
        }
    }

    fn on_piece_here(&mut self, read: PieceRead, body: Bytes) {
        let PieceRead { op, source, key, piece, extent, want, .. } = read;
        let given = match want {
            For::Bytes { offset, length_max } => {
                let within = offset - piece as u64 * u64::from(extent.bytes);
                let within = usize::try_from(within).expect("it lies in a piece");
                Event::BodyRead { op, bytes: part(&body, within, length_max) }
            }
            For::Found(record) => Event::Found { op, record: *record, body: None },
        };
        if let Source::Reader(reader) = source
            && let Some(open) = self.readers.get_mut(&reader)
        {
            if let Event::Found { .. } = given {
                self.index.on_used(key, open.place);
            }
            open.last = Some((piece, body));
        }
        self.event(given);
    }

    /// The piece may have been moved while it was read: then it is read again.
    fn read_where_it_is_now(&mut self, mut read: PieceRead) -> Option<PieceRead> {
        if let Source::Reader(reader) = read.source
            && let Some(body) = self.readers.get(&reader).and_then(|open| open.kept.get(&read.piece))
        {
            let body = body.clone();
            self.on_piece_here(read, body);
            return None;
        }
        let now = self.extent_of(read.source, read.piece).filter(|now| now.at != read.extent.at);
        let Some(now) = now else { return Some(read) };
        read.extent = now;
        if self.log.place(now.at).is_none() {
            return Some(read);
        }
        self.read_piece(now, Want::Piece(read));
        None
    }

    fn on_piece_rotten(&mut self, read: PieceRead) {
        let PieceRead { op, source, key, extent, want, .. } = read;
        let is_reclaimed = self.log.place(extent.at).is_none();
        if let Source::Reader(reader) = source
            && let Some(place) = self.readers.get(&reader).map(|open| open.place)
            && !is_reclaimed
        {
            self.drop_rotten(key, place);
        }
        match want {
            For::Found(_) => {
                if let Source::Reader(reader) = source {
                    self.release(reader);
                }
                self.event(Event::Absent { op });
            }
            For::Bytes { .. } if is_reclaimed => self.fail(op, Failure::Reclaimed),
            For::Bytes { .. } => self.fail(op, Failure::Rotten),
        }
    }

    pub(super) fn on_piece_failed_to_be_read(&mut self, read: PieceRead) {
        let Some(PieceRead { op, source, want, .. }) = self.read_where_it_is_now(read) else { return };
        if let (For::Found(_), Source::Reader(reader)) = (want, source) {
            self.release(reader);
        }
        self.fail(op, Failure::Device);
    }

    pub(super) fn release(&mut self, reader: Reader) {
        if let Some(open) = self.readers.remove(&reader) {
            self.pins.unpin_all(open.extents.iter().copied(), open.key, Source::Reader(reader));
        }
    }

    /// An object was moved: whoever has it open reads it where it is now.
    pub(super) fn repoint_to_moved(
        &mut self,
        key: StoredKey,
        name: RecordName,
        left: u64,
        place: Place,
        extents: &[Extent],
    ) {
        if self.planted.is(StoreFault::LeavesReaders) {
            return;
        }
        for source in self.pins.of_key(left, key) {
            let Source::Reader(reader) = source else { continue };
            let Some(open) = self.readers.get_mut(&reader).filter(|open| open.name == name) else { continue };
            self.pins.unpin_all(open.extents.iter().copied(), key, source);
            open.extents = extents.to_vec();
            open.place = place;
            self.pins.pin_all(extents, key, source);
            self.counts.readers_repointed += 1;
        }
    }

    /// A piece of a reader that lay there is elsewhere now, or nowhere.
    pub(super) fn repoint_reader(&mut self, reader: Reader, old: Position, now: &Now) {
        let Some(open) = self.readers.get_mut(&reader) else { return };
        let (key, source) = (open.key, Source::Reader(reader));
        let Some(number) = open.extents.iter().position(|extent| extent.at == old) else { return };
        let extent = &mut open.extents[number];
        // No segment has the sequence zero.
        extent.at = Position::default();
        match now {
            Now::At(new) => {
                extent.at = *new;
                self.pins.pin(*new, key, source);
                self.counts.readers_repointed += 1;
            }
            Now::InMemory(body) => {
                open.kept.insert(number, body.clone());
                self.counts.pieces_in_memory += 1;
            }
            Now::Nowhere => {}
        }
        if !open.extents.iter().any(|extent| extent.at.sequence == old.sequence) {
            self.pins.unpin(old.sequence, key, source);
        }
    }
}

impl OpenReader {
    fn held(&self, offset: u64, length_max: u64) -> Held {
        let size = self.extents.first().map_or(0, |extent| extent.bytes);
        match Spot::of(offset, size, self.extents.len()) {
            Spot::Tail(within) => Held::Here(part(&self.tail, within, length_max)),
            Spot::Piece(piece, within) => {
                let last = self.last.as_ref().filter(|(last, _)| *last == piece).map(|(_, bytes)| bytes);
                match last.or_else(|| self.kept.get(&piece)) {
                    Some(bytes) => Held::Here(part(bytes, within, length_max)),
                    None => {
                        Held::Piece { piece, extent: self.extents[piece], key: self.key, name: self.name }
                    }
                }
            }
        }
    }
}

/// Where a byte of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Piece(usize, usize),
    Tail(usize),
}

impl Spot {
    fn of(offset: u64, size: u32, pieces: usize) -> Self {
        let in_pieces = u64::from(size) * pieces as u64;
        let within = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        if offset >= in_pieces {
            return Self::Tail(within(offset - in_pieces));
        }
        Self::Piece(within(offset / u64::from(size)), within(offset % u64::from(size)))
    }
}

/// At most `length_max` of the bytes from `within` on; none past the end.
fn part(bytes: &Bytes, within: usize, length_max: u64) -> Bytes {
    let begin = within.min(bytes.len());
    let length = (bytes.len() - begin).min(usize::try_from(length_max).unwrap_or(usize::MAX));
    bytes.slice(begin..begin + length)
}

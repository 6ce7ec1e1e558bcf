//! Reading: lookups and bodies, and the device's part in them. Nothing is given out that was not checked.

use super::{
    Effect, Event, Failure, Loss, Op, Pending, Reader, Source, Store,
    block::{Header, Kind, Place, Unfit},
    check::{Check, Checked, Expected, Outcome},
    content::{Content, Extent},
    deleting::Deletion,
    recovering::Part,
    writing::Piece,
};
use crate::{id::RecordName, key::StoredKey, record::Record};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use bytes::Bytes;

/// A record that is open. It stays what it was; when a segment of it is overwritten, its reads fail.
#[derive(Debug)]
pub(super) struct OpenReader {
    key: StoredKey,
    place: Place,
    name: RecordName,
    extents: Vec<Extent>,
    tail: Bytes,
    /// The piece that was read last.
    last: Option<(usize, Bytes)>,
}

/// A read of the device.
#[derive(Debug)]
pub(super) struct Reading {
    /// For the next read, where this one is short.
    check: Box<Check>,
    want: Want,
}

/// What is read for.
#[derive(Debug)]
pub(super) enum Want {
    /// A record's block.
    Record(Load),
    /// A piece of a body.
    Piece(PieceRead),
    /// The header of a record that is to be deleted.
    Name(Deletion),
    /// A segment's summary, or all of it, to reclaim it.
    List,
    /// A piece of a body that is moved.
    Moved,
    /// What the device holds.
    Recovery(Part),
}

/// A record's block that is read.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) key: StoredKey,
    pub(super) place: Place,
    /// Sectors of the object.
    pub(super) object: u32,
    pub(super) loader: Loader,
}

/// For whom.
#[derive(Debug)]
pub(super) enum Loader {
    Lookup { op: Op, reader: Reader },
    Freshen { op: Op, record: Arc<Record> },
    Move,
}

/// A piece of a body that is read for somebody.
#[derive(Clone, Copy, Debug)]
pub(super) struct PieceRead {
    op: Op,
    source: Source,
    key: StoredKey,
    name: RecordName,
    /// Where the record of an open record is.
    record: Option<Place>,
    piece: usize,
    extent: Extent,
    offset: u64,
    length_max: u64,
}

impl Store {
    pub(super) fn lookup(&mut self, op: Op, reader: Reader, key: StoredKey) {
        match self.index.find(key) {
            Some(indexed) => {
                let loader = Loader::Lookup { op, reader };
                self.load(Load { key, place: indexed.place, object: indexed.sectors, loader });
            }
            None => self.event(Event::Absent { op }),
        }
    }

    /// Reads a record's block. Its length is not known, but that of small objects, which are one block, is.
    pub(super) fn load(&mut self, load: Load) {
        let sectors = load.object.min(2 * self.geometry.block_sectors);
        let sectors = sectors.min(self.geometry.sectors - load.place.sector);
        self.read_block(load.place, sectors, Want::Record(load));
    }

    pub(super) fn read_block(&mut self, place: Place, sectors: u32, want: Want) {
        let sequence = self.log.position(place).sequence;
        self.begin_read(place, sectors, Expected::Block { sequence }, want);
    }

    pub(super) fn begin_read(&mut self, place: Place, sectors: u32, expected: Expected, want: Want) {
        let (checksums, geometry, length) = (self.checksums, self.geometry, self.geometry.length(sectors));
        let check = Check { checksums, geometry, place, expected, got: Bytes::new(), length };
        self.read_on(Reading { check: Box::new(check), want });
    }

    fn read_on(&mut self, reading: Reading) {
        let check = Check::clone(&reading.check);
        let segment = check.place.segment;
        let offset = self.geometry.bytes(check.place.sector) + check.got.len() as u64;
        let length = (check.length - check.got.len()) as u64;
        let io = self.mint(Pending::Read(reading));
        self.effects.push_back(Effect::Read { io, segment, offset, length, check });
    }

    /// A short read is read on from the last whole sector; one that gives none has failed.
    pub(super) fn on_read_done(&mut self, io: super::Io, checked: Checked) {
        let Pending::Read(mut reading) = self.answered(io) else {
            unreachable!("the answer rule: {io:?} reads nothing")
        };
        let outcome = match checked.0 {
            Outcome::Short(got) if got.len() > reading.check.got.len() => {
                reading.check.got = got;
                return self.read_on(reading);
            }
            Outcome::Short(_) => return self.on_read_failed(reading),
            whole @ (Outcome::Block(..) | Outcome::Mark(_) | Outcome::Segment(_)) => whole,
        };
        match (reading.want, outcome) {
            (Want::Record(load), Outcome::Block(header, payload)) => {
                self.on_record_read(load, header, payload, reading.check.length);
            }
            (Want::Piece(read), Outcome::Block(header, payload)) => self.on_piece_read(read, header, payload),
            (Want::Name(deletion), Outcome::Block(header, _)) => self.on_name_read(deletion, header),
            (Want::List, outcome) => self.on_listed(Some(outcome)),
            (Want::Moved, Outcome::Block(header, payload)) => {
                self.on_move_piece_read(Some((header, payload)));
            }
            (Want::Recovery(part), outcome) => self.on_recovery_read(part, outcome),
            (want, outcome) => unreachable!("the answer rule: {outcome:?} for {want:?}"),
        }
    }

    pub(super) fn on_read_failed(&mut self, reading: Reading) {
        match reading.want {
            Want::Record(load) => match load.loader {
                Loader::Lookup { op, .. } | Loader::Freshen { op, .. } => self.fail(op, Failure::Device),
                Loader::Move => self.on_move_loaded(load.key, load.place, None),
            },
            Want::Piece(read) => self.fail(read.op, Failure::Device),
            Want::Name(deletion) => self.on_name_failed(deletion),
            Want::List => self.on_listed(None),
            Want::Moved => self.on_move_piece_read(None),
            Want::Recovery(part) => self.on_recovery_failed(part, reading.check.place.segment),
        }
    }

    fn on_record_read(
        &mut self,
        load: Load,
        header: Result<Header, Unfit>,
        payload: Result<Bytes, Unfit>,
        length: usize,
    ) {
        if let Ok(header) = &header
            && header.label.kind == Kind::Record
            && self.geometry.length(self.geometry.sectors_for(header.payload)) > length
        {
            let sectors = self.geometry.sectors_for(header.payload);
            if sectors <= self.geometry.sectors - load.place.sector {
                return self.read_block(load.place, sectors, Want::Record(load));
            }
        }
        let content = header.and_then(|header| {
            let content = Content::decode(&payload?);
            let is_labelled = |content: &Content| {
                (header.label.kind, header.label.key, header.label.name)
                    == (Kind::Record, content.record.stored_key(), content.record.name)
            };
            content.filter(is_labelled).ok_or(Unfit::Unexpected)
        });
        let is_there = self.index.find(load.key).is_some_and(|indexed| indexed.place == load.place);
        let is_lost =
            |content: &Content| content.extents.iter().any(|extent| self.log.place(extent.at).is_none());
        match content {
            // Another key with the same print.
            Ok(content) if content.record.stored_key() != load.key => self.on_loaded(load, None),
            Ok(content) if is_there && is_lost(&content) => {
                self.drop_rotten(load.key, load.place);
                self.on_loaded(load, None);
            }
            Ok(content) => self.on_loaded(load, Some(content)),
            Err(_) if is_there => {
                self.drop_rotten(load.key, load.place);
                self.on_loaded(load, None);
            }
            // It was moved or reclaimed while it was read.
            Err(_) => match load.loader {
                Loader::Lookup { op, reader } => self.lookup(op, reader, load.key),
                Loader::Freshen { op, record } => self.freshen(op, record),
                Loader::Move => self.on_move_loaded(load.key, load.place, None),
            },
        }
    }

    fn on_loaded(&mut self, load: Load, content: Option<Content>) {
        let Load { key, place, loader, object } = load;
        match (loader, content) {
            (Loader::Lookup { op, reader }, Some(content)) => self.on_found(op, reader, place, content),
            (Loader::Lookup { op, .. }, _) => self.event(Event::Absent { op }),
            (Loader::Freshen { op, record }, Some(content)) => {
                let load = Load { key, place, object, loader: Loader::Move };
                self.on_freshen_loaded(&load, op, record, content);
            }
            (Loader::Freshen { op, .. }, None) => {
                self.event(Event::Freshened { op, freshening: crate::Freshening::Absent });
            }
            (Loader::Move, content) => self.on_move_loaded(key, place, content),
        }
    }

    fn on_found(&mut self, op: Op, reader: Reader, place: Place, content: Content) {
        let Content { record, extents, tail, .. } = content;
        let key = record.stored_key();
        self.index.on_used(key, place);
        let body = extents.is_empty().then(|| tail.clone());
        let open = OpenReader { key, place, name: record.name, extents, tail, last: None };
        self.readers.insert(reader, open);
        self.event(Event::Found { op, record, body });
    }

    pub(super) fn read(&mut self, op: Op, source: Source, offset: u64, length_max: u64) {
        let found = match source {
            Source::Reader(reader) => self.readers.get(&reader).map(|open| {
                let size = open.extents.first().map_or(0, |extent| extent.bytes);
                let at = Spot::of(offset, size, open.extents.len());
                let held = match at {
                    Spot::Piece(piece, within) => {
                        let last = open.last.as_ref().filter(|(last, _)| *last == piece);
                        last.map(|(_, bytes)| part(bytes, within, length_max))
                    }
                    Spot::Tail(within) => Some(part(&open.tail, within, length_max)),
                };
                let extent = |piece: usize| open.extents[piece];
                (held, at, at.piece().map(extent), open.key, open.name, Some(open.place))
            }),
            Source::Writer(writer) => self.writers.get(&writer).map(|open| {
                let size = self.geometry.block_payload();
                let size = u32::try_from(size).expect("a block lies in a segment, which is below 4 GiB");
                let at = Spot::of(offset, size, open.pieces.len());
                let (held, extent) = match at {
                    Spot::Piece(piece, within) => match &open.pieces[piece] {
                        Piece::Kept(bytes) => (Some(part(bytes, within, length_max)), None),
                        Piece::Stored(extent) => (None, Some(*extent)),
                    },
                    Spot::Tail(within) => {
                        let rest = open.held.get(within..).unwrap_or_default();
                        let length = rest.len().min(usize::try_from(length_max).unwrap_or(usize::MAX));
                        (Some(Bytes::copy_from_slice(&rest[..length])), None)
                    }
                };
                (held, at, extent, open.key, open.name, None)
            }),
        };
        let Some((held, at, extent, key, name, record)) = found else {
            return self.fail(op, Failure::NotOpen);
        };
        match (held, at.piece().zip(extent)) {
            (Some(bytes), _) if bytes.is_empty() => self.fail(op, Failure::Beyond),
            (Some(bytes), _) => self.event(Event::BodyRead { op, bytes }),
            (None, Some((piece, extent))) => {
                let read = PieceRead { op, source, key, name, record, piece, extent, offset, length_max };
                match self.log.place(extent.at) {
                    Some(place) => {
                        let sectors = self.geometry.sectors_for(extent.bytes as usize);
                        self.read_block(place, sectors, Want::Piece(read));
                    }
                    None => self.fail(op, Failure::Reclaimed),
                }
            }
            (None, None) => unreachable!("what is not held is a piece: {source:?} at {offset}"),
        }
    }

    /// The body in a piece's block, if it is that piece.
    pub(super) fn piece_in(
        header: Result<Header, Unfit>,
        payload: Result<Bytes, Unfit>,
        key: StoredKey,
        name: RecordName,
        piece: usize,
        extent: Extent,
    ) -> Result<Bytes, Unfit> {
        let (header, body) = (header?, payload?);
        let offset = piece as u64 * u64::from(extent.bytes);
        let expected = (Kind::Body, key, name, offset, extent.bytes as usize);
        let label = header.label;
        let is_it = (label.kind, label.key, label.name, label.offset, header.payload) == expected;
        if is_it { Ok(body) } else { Err(Unfit::Unexpected) }
    }

    fn on_piece_read(
        &mut self,
        read: PieceRead,
        header: Result<Header, Unfit>,
        payload: Result<Bytes, Unfit>,
    ) {
        let PieceRead { op, key, name, piece, extent, .. } = read;
        match Self::piece_in(header, payload, key, name, piece, extent) {
            Ok(body) => {
                let within = read.offset - piece as u64 * u64::from(extent.bytes);
                let within = usize::try_from(within).expect("it lies in a piece");
                let given = part(&body, within, read.length_max);
                if let Source::Reader(reader) = read.source
                    && let Some(open) = self.readers.get_mut(&reader)
                {
                    open.last = Some((piece, body));
                }
                self.event(Event::BodyRead { op, bytes: given });
            }
            Err(_) if self.log.place(extent.at).is_none() => self.fail(op, Failure::Reclaimed),
            Err(_) => {
                if let Some(place) = read.record {
                    self.drop_rotten(key, place);
                }
                self.fail(op, Failure::Rotten);
            }
        }
    }

    /// What an object's bytes should be, they are not.
    pub(super) fn drop_rotten(&mut self, key: StoredKey, place: Place) {
        if self.index.remove_at(key, place).is_some() {
            self.counts.objects_rotten += 1;
            self.event(Event::Dropped { key, why: Loss::Rotten });
        }
    }

    pub(super) fn sectors_of(&self, extents: &[Extent]) -> u32 {
        extents.iter().map(|extent| self.geometry.sectors_for(extent.bytes as usize)).sum()
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

    const fn piece(self) -> Option<usize> {
        match self {
            Self::Piece(piece, _) => Some(piece),
            Self::Tail(_) => None,
        }
    }
}

/// At most `length_max` of the bytes from `within` on; none past the end.
fn part(bytes: &Bytes, within: usize, length_max: u64) -> Bytes {
    let begin = within.min(bytes.len());
    let length = (bytes.len() - begin).min(usize::try_from(length_max).unwrap_or(usize::MAX));
    bytes.slice(begin..begin + length)
}

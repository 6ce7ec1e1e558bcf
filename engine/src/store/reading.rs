//! Reads of the device, and lookups. Nothing is given out that was not checked.

use super::{
    Effect, Event, Failure, Io, Loss, Op, Pending, Reader, Source, Store,
    block::{Header, Kind, Place, Unfit},
    bodies::{OpenReader, PieceRead},
    check::{Check, Checked, Expected, Loaded, Outcome},
    content::{Content, Extent, Grave, Tombstone},
    deleting::Deletion,
    recovering::Part,
};
use crate::language::{id::RecordName, key::StoredKey, record::Record};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc};
use bytes::Bytes;

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
    /// A piece of a body that only those need who have it open.
    Kept,
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
        self.load_sectors(load, sectors);
    }

    fn load_sectors(&mut self, load: Load, sectors: u32) {
        let sectors = sectors.min(self.geometry.sectors - load.place.sector);
        let sequence = self.log.position(load.place).sequence;
        self.begin_read(load.place, sectors, Expected::Record { sequence }, Want::Record(load));
    }

    /// Reads a piece of a body, if its segment was not reclaimed. Says whether it does.
    pub(super) fn read_piece(&mut self, extent: Extent, want: Want) -> bool {
        let Some(place) = self.log.place(extent.at) else { return false };
        let sectors = self.geometry.sectors_for(extent.bytes as usize);
        self.begin_read(place, sectors, Expected::Piece { sequence: extent.at.sequence }, want);
        true
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
    pub(super) fn on_read_done(&mut self, io: Io, checked: Checked) {
        let Pending::Read(mut reading) = self.answered(io) else {
            unreachable!("the answer rule: {io:?} reads nothing")
        };
        if let Outcome::Short(got) = checked.0 {
            if got.len() <= reading.check.got.len() {
                return self.on_read_failed(reading);
            }
            reading.check.got = got;
            return self.read_on(reading);
        }
        match (reading.want, checked.0) {
            (Want::Record(load), Outcome::Record(loaded)) => self.on_record_read(load, loaded),
            (Want::Record(load), Outcome::Longer(payload)) => {
                self.load_sectors(load, self.geometry.sectors_for(payload));
            }
            (Want::Piece(read), Outcome::Piece(piece)) => self.on_piece_read(read, piece),
            (Want::Name(deletion), Outcome::Header(header)) => self.on_name_read(deletion, header),
            (Want::List, outcome) => self.on_listed(Some(outcome)),
            (Want::Moved, Outcome::Piece(piece)) => self.on_move_piece_read(Some(piece)),
            (Want::Kept, Outcome::Piece(piece)) => self.on_kept_piece_read(Some(piece)),
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
            Want::Piece(read) => self.on_piece_failed_to_be_read(read),
            Want::Name(deletion) => self.fail(deletion.op, Failure::Device),
            Want::List => self.on_listed(None),
            Want::Moved => self.on_move_piece_read(None),
            Want::Kept => self.on_kept_piece_read(None),
            Want::Recovery(part) => self.on_recovery_failed(part),
        }
    }

    fn on_record_read(&mut self, load: Load, loaded: Result<Box<Loaded>, Unfit>) {
        let is_there = self.index.find(load.key).is_some_and(|indexed| indexed.place == load.place);
        if !is_there {
            // It was moved, superseded, deleted or reclaimed while it was read.
            return match load.loader {
                Loader::Lookup { op, reader } => self.lookup(op, reader, load.key),
                Loader::Freshen { op, record } => self.freshen(op, record),
                Loader::Move => self.on_move_loaded(load.key, load.place, None),
            };
        }
        let is_lost =
            |content: &Content| content.extents.iter().any(|extent| self.log.place(extent.at).is_none());
        match loaded {
            // Another key with the same print.
            Ok(loaded) if loaded.content.record.stored_key() != load.key => self.on_loaded(load, None),
            Ok(loaded) if is_lost(&loaded.content) => {
                self.drop_rotten(load.key, load.place);
                self.on_loaded(load, None);
            }
            Ok(loaded) => self.on_loaded(load, Some(loaded)),
            Err(_) => {
                self.drop_rotten(load.key, load.place);
                self.on_loaded(load, None);
            }
        }
    }

    fn on_loaded(&mut self, load: Load, loaded: Option<Box<Loaded>>) {
        let Load { key, place, loader, .. } = load;
        match (loader, loaded) {
            (Loader::Lookup { op, reader }, Some(loaded)) => self.on_found(op, reader, place, *loaded),
            (Loader::Lookup { op, .. }, None) => self.event(Event::Absent { op }),
            (Loader::Freshen { op, record }, Some(loaded)) => {
                self.on_freshen_loaded(op, place, record, *loaded);
            }
            (Loader::Freshen { op, .. }, None) => {
                self.event(Event::Freshened { op, freshening: crate::Freshening::Absent });
            }
            (Loader::Move, loaded) => self.on_move_loaded(key, place, loaded),
        }
    }

    /// The record is whole. Of a body that lies elsewhere, the first piece is read before it is told of.
    fn on_found(&mut self, op: Op, reader: Reader, place: Place, loaded: Loaded) {
        let Loaded { content: Content { record, extents, .. }, tail, .. } = loaded;
        let (key, name) = (record.stored_key(), record.name);
        let first = extents.first().copied();
        let body = first.is_none().then(|| tail.clone());
        self.pins.pin_all(&extents, key, Source::Reader(reader));
        let open = OpenReader { key, place, name, extents, tail, last: None, kept: BTreeMap::new() };
        let before = self.readers.insert(reader, open);
        assert!(before.is_none(), "the answer rule: {reader:?} looks up twice");
        match first {
            None => {
                self.index.on_used(key, place);
                self.event(Event::Found { op, record, body });
            }
            Some(extent) => {
                let read = PieceRead::first(op, reader, key, name, extent, record);
                assert!(self.read_piece(extent, Want::Piece(read)), "no piece of it is lost");
            }
        }
    }

    /// The body in a piece's block, if it is that piece.
    pub(super) fn piece_in(
        piece: Result<(Header, Bytes), Unfit>,
        key: StoredKey,
        name: RecordName,
        number: usize,
        extent: Extent,
    ) -> Result<Bytes, Unfit> {
        let (header, body) = piece?;
        let offset = number as u64 * u64::from(extent.bytes);
        let expected = (Kind::Body, key, name, offset, extent.bytes as usize);
        let label = header.label;
        let is_it = (label.kind, label.key, label.name, label.offset, body.len()) == expected;
        if is_it { Ok(body) } else { Err(Unfit::Unexpected) }
    }

    /// What an object's bytes should be, they are not. Whatever lies there of its key stays away, for it may
    /// be read again.
    pub(super) fn drop_rotten(&mut self, key: StoredKey, place: Place) {
        if self.index.remove_at(key, place).is_some() {
            self.counts.objects_rotten += 1;
            self.event(Event::Dropped { key, why: Loss::Rotten });
            let through = self.through_before_flights(key);
            self.bury(Tombstone { of: Grave::Key(key), through }, None);
        }
    }

    pub(super) fn sectors_of(&self, extents: &[Extent]) -> u32 {
        extents.iter().map(|extent| self.geometry.sectors_for(extent.bytes as usize)).sum()
    }
}

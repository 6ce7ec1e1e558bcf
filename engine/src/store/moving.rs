//! What a reclaim writes again: objects that the policy keeps, and pieces that somebody has open.
//!
//! Both go to the end of the main stream, whose turn they wait for. Where that has no segment left, an object
//! leaves, and readers keep the pieces in memory.

use super::{
    Source, Store,
    appending::{PieceDraft, Written},
    block::{Header, Place, Position, Unfit},
    blocks::length,
    check::Loaded,
    content::{Content, Extent},
    index::Indexed,
    plant::StoreFault,
    policy::{Fate, Stream},
    publishing::Cause,
    reading::Want,
    reclaiming::Step,
    turning::KEPT_OF_MOVES,
};
use crate::language::{id::RecordName, key::StoredKey};
use alloc::{boxed::Box, collections::BTreeMap, vec, vec::Vec};
use bytes::Bytes;

/// What a reclaim has written.
#[derive(Debug)]
pub(super) enum Copied {
    /// A piece of an object that is moved.
    Piece,
    /// A piece that somebody has open; it is there now.
    Kept {
        at: Position,
    },
    Tombstones,
}

/// An object on its way to the end of the main stream.
#[derive(Debug)]
pub(super) struct Move {
    key: StoredKey,
    old: Place,
    /// As which it counts when it is there.
    uses: u32,
    loaded: Loaded,
    /// Where its pieces are now.
    extents: Vec<Extent>,
    /// A piece that was read and waits for its place.
    piece: Option<Bytes>,
    is_reading: bool,
    /// Writes under way.
    writes: usize,
    progress: Progress,
    /// Where the record is now, the object's sectors, and its stamp.
    record: Option<(Place, u32, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Something is still to be written.
    Writing,
    /// All has its place.
    Placed,
    /// There is no room, or it cannot be read.
    GivenUp,
}

/// A piece that somebody has open, on its way there.
#[derive(Debug)]
pub(super) struct Keep {
    key: StoredKey,
    name: RecordName,
    number: usize,
    extent: Extent,
    body: Option<Bytes>,
    is_under_way: bool,
}

/// Where a piece is that somebody has open and that lay in the segment.
#[derive(Clone, Debug)]
pub(super) enum Now {
    At(Position),
    /// There is no room for it on the device. Who reads it keeps it in memory; who writes it must begin anew.
    InMemory(Bytes),
    /// It cannot be read.
    Nowhere,
}

/// Is there room for a block?
enum Room {
    Here,
    /// After main's turn, which has just begun or is under way.
    Later {
        has_begun: bool,
    },
    Nowhere,
}

impl Move {
    pub(super) const fn new(key: StoredKey, old: Place, uses: u32, loaded: Loaded) -> Self {
        Self {
            key,
            old,
            uses,
            loaded,
            extents: Vec::new(),
            piece: None,
            is_reading: false,
            writes: 0,
            progress: Progress::Writing,
            record: None,
        }
    }
}

impl Store {
    fn moving(&mut self) -> Option<&mut Move> {
        match self.reclaim.as_mut().map(|reclaim| &mut reclaim.step) {
            Some(Step::Moving(moving)) => Some(moving),
            Some(
                Step::Waiting
                | Step::Listing
                | Step::Sifting
                | Step::Loading
                | Step::Keeping(_)
                | Step::Burying { .. }
                | Step::Ending { .. },
            )
            | None => None,
        }
    }

    fn room_for(&mut self, sectors: u32) -> Room {
        if self.log.has_room(Stream::Main, sectors, 1, self.log.spare(Stream::Main)) {
            Room::Here
        } else if self.is_turning(Stream::Main) {
            Room::Later { has_begun: false }
        } else if sectors <= self.log.sectors_max() && self.want_turn(Stream::Main, KEPT_OF_MOVES) {
            Room::Later { has_begun: true }
        } else {
            Room::Nowhere
        }
    }

    /// Reads the next piece, or writes it, or the record behind the last. Says whether anything changed.
    pub(super) fn move_on(&mut self) -> bool {
        let moving = self.moving().expect("the caller moves an object");
        if moving.is_reading {
            return false;
        }
        if moving.progress != Progress::Writing {
            let is_over = moving.writes == 0;
            if is_over {
                self.settle_move();
            }
            return is_over;
        }
        let (key, old) = (moving.key, moving.old);
        if self.index.find(key).is_none_or(|indexed| indexed.place != old) {
            return self.give_move_up();
        }
        let moving = self.moving().expect("the caller moves an object");
        if let Some(piece) = moving.piece.clone() {
            return self.move_piece(piece);
        }
        let number = moving.extents.len();
        match moving.loaded.content.extents.get(number).copied() {
            Some(extent) if self.stays(extent) => {
                self.moving().expect("the caller moves an object").extents.push(extent);
                true
            }
            Some(extent) => {
                self.moving().expect("the caller moves an object").is_reading = true;
                self.read_piece(extent, Want::Moved) || self.give_move_up()
            }
            None => self.move_record(),
        }
    }

    fn move_piece(&mut self, piece: Bytes) -> bool {
        match self.room_for(self.geometry.sectors_for(piece.len())) {
            Room::Here => {
                let moving = self.moving().expect("the caller moves an object");
                let (key, name) = (moving.key, moving.loaded.content.record.name);
                let bytes = u32::try_from(piece.len()).expect("a piece is a block's");
                let offset = moving.extents.len() as u64 * u64::from(bytes);
                (moving.piece, moving.writes) = (None, moving.writes + 1);
                let draft = PieceDraft { key, name, offset, payload: vec![piece] };
                let mut place = Position::default();
                self.counts.moved += self.append_piece(Stream::Main, draft, |at| {
                    place = at;
                    Written::Copied(Copied::Piece)
                });
                let moving = self.moving().expect("the caller moves an object");
                moving.extents.push(Extent { at: place, bytes });
                true
            }
            Room::Later { has_begun } => has_begun,
            Room::Nowhere => self.give_move_up(),
        }
    }

    fn move_record(&mut self) -> bool {
        let moving = self.moving().expect("the caller moves an object");
        let (key, old) = (moving.key, moving.old);
        let front = moving.loaded.content.front_bytes();
        let sectors = front + moving.loaded.tail.len();
        if self.flights.has(key) {
            // It would get the greater stamp, and count again after a crash.
            return false;
        }
        match self.room_for(self.geometry.sectors_for(sectors)) {
            Room::Here => {
                let moving = self.moving().expect("the caller moves an object");
                (moving.writes, moving.progress) = (moving.writes + 1, Progress::Placed);
                let (extents, tail) = (moving.extents.clone(), moving.loaded.tail.clone());
                let record = moving.loaded.content.record.clone();
                let content = Content { record, sectors: self.sectors_of(&extents), extents };
                self.counts.moved +=
                    self.append_record(Stream::Main, content, vec![tail], Cause::Move { old });
                true
            }
            Room::Later { has_begun } => has_begun,
            Room::Nowhere => self.give_move_up(),
        }
    }

    /// Nothing more is written of it.
    fn give_move_up(&mut self) -> bool {
        let moving = self.moving().expect("the caller moves an object");
        (moving.progress, moving.piece, moving.is_reading) = (Progress::GivenUp, None, false);
        true
    }

    pub(super) fn on_move_piece_read(&mut self, piece: Option<Result<(Header, Bytes), Unfit>>) {
        let Some(moving) = self.moving() else { return };
        moving.is_reading = false;
        let (key, old, name, number) =
            (moving.key, moving.old, moving.loaded.content.record.name, moving.extents.len());
        let extent = moving.loaded.content.extents[number];
        match piece.map(|piece| Self::piece_in(piece, key, name, number, extent)) {
            Some(Ok(body)) => moving.piece = Some(body),
            Some(Err(_)) => {
                self.give_move_up();
                self.drop_rotten(key, old);
            }
            None => {
                self.give_move_up();
            }
        }
    }

    pub(super) fn on_copied(&mut self, copied: Copied) {
        match copied {
            Copied::Piece => {
                if let Some(moving) = self.moving() {
                    moving.writes -= 1;
                }
            }
            Copied::Kept { at } => self.on_kept_written(at),
            Copied::Tombstones => self.on_tombstones_written(),
        }
    }

    pub(super) fn on_move_written(&mut self, old: Place, place: Place, object: u32, stamp: u64) {
        if let Some(moving) = self.moving() {
            assert_eq!(moving.old, old, "one object is moved at a time");
            moving.writes -= 1;
            moving.record = Some((place, object, stamp));
        }
    }

    /// The object counts at its new place now that all of it is there.
    fn settle_move(&mut self) {
        let reclaim = self.reclaim();
        let (segment, left) = (reclaim.segment, reclaim.sequence);
        let Step::Moving(moving) = core::mem::replace(&mut reclaim.step, Step::Sifting) else {
            unreachable!("the caller moves an object")
        };
        let Move { key, old, uses, loaded, extents, record, .. } = *moving;
        let (name, stamp) = (loaded.content.record.name, loaded.stamp);
        let hides = self.index.find(key).is_some_and(|indexed| indexed.hides) || old.segment != segment;
        let is_there = |store: &Self, place| store.index.find(key).is_some_and(|it| it.place == place);
        match record {
            Some((place, object, _)) if self.planted.is(StoreFault::MovesBack) => {
                self.index.insert(key, place, object);
            }
            Some((place, sectors, stamp)) => {
                let new = Indexed { place, sectors, uses, hides };
                if self.index.move_to(key, old, new) {
                    self.counts.objects_moved += 1;
                    self.repoint_to_moved(key, name, left, place, &extents);
                } else {
                    self.on_left_behind(key, stamp);
                }
                if !is_there(self, place) {
                    // And may have pieces here, too.
                    self.load_to_move(key);
                }
            }
            None if is_there(self, old) => self.drop_reclaimed(key, old, stamp, Fate::Leaves),
            None => self.load_to_move(key),
        }
    }

    fn keeping(&mut self) -> Option<&mut Option<Keep>> {
        match self.reclaim.as_mut().map(|reclaim| &mut reclaim.step) {
            Some(Step::Keeping(keep)) => Some(keep),
            Some(
                Step::Waiting
                | Step::Listing
                | Step::Sifting
                | Step::Loading
                | Step::Moving(_)
                | Step::Burying { .. }
                | Step::Ending { .. },
            )
            | None => None,
        }
    }

    /// Moves the next piece that somebody has open. Says whether anything changed.
    pub(super) fn keep_on(&mut self) -> bool {
        let sequence = self.reclaim().sequence;
        match self.keeping().expect("the caller keeps pieces") {
            Some(Keep { is_under_way: true, .. }) => false,
            Some(Keep { body: Some(body), .. }) => {
                let body = body.clone();
                self.keep_piece(body)
            }
            Some(Keep { body: None, .. }) => unreachable!("a piece is under way, or was read"),
            None => {
                match self.pinned_piece(sequence) {
                    Some(keep) => {
                        let extent = keep.extent;
                        *self.keeping().expect("the caller keeps pieces") = Some(keep);
                        let is_read = self.read_piece(extent, Want::Kept);
                        assert!(is_read, "a segment that is reclaimed is there");
                    }
                    None => self.reclaim().step = Step::Burying { writes: 0 },
                }
                true
            }
        }
    }

    /// What the pieces in a segment take that somebody has open.
    pub(super) fn pinned_sectors(&self, sequence: u64) -> u32 {
        let mut pieces: BTreeMap<Position, u32> = BTreeMap::new();
        for (_, source) in self.pins.of_segment(sequence) {
            let extents: Box<dyn Iterator<Item = Extent>> = match source {
                Source::Reader(reader) => Box::new(self.readers[&reader].extents.iter().copied()),
                Source::Writer(writer) => Box::new(self.writers[&writer].extents()),
            };
            let here = extents.filter(|extent| extent.at.sequence == sequence);
            pieces.extend(here.map(|extent| (extent.at, self.geometry.sectors_for(extent.bytes as usize))));
        }
        pieces.values().sum()
    }

    /// Any piece in a segment that somebody has open.
    fn pinned_piece(&self, sequence: u64) -> Option<Keep> {
        if self.planted.is(StoreFault::LeavesReaders) {
            return None;
        }
        let (key, source) = self.pins.of_segment(sequence).next()?;
        let is_there = |extent: &(usize, Extent)| extent.1.at.sequence == sequence;
        let (name, found) = match source {
            Source::Reader(reader) => {
                let open = self.readers.get(&reader).expect("who pins is open");
                (open.name, open.extents.iter().copied().enumerate().find(is_there))
            }
            Source::Writer(writer) => {
                let open = self.writers.get(&writer).expect("who pins is open");
                (open.name, open.extents().enumerate().find(is_there))
            }
        };
        let (number, extent) = found.expect("a pin stands for a piece");
        Some(Keep { key, name, number, extent, body: None, is_under_way: true })
    }

    fn keep_piece(&mut self, body: Bytes) -> bool {
        let room = if self.reclaims_in_vain > 2 * self.geometry.segments {
            // Somebody waits, and nothing is gained by moving what is open round and round.
            Room::Nowhere
        } else {
            self.room_for(self.geometry.sectors_for(body.len()))
        };
        match room {
            Room::Here => {
                let keep = self.keeping().and_then(Option::as_mut).expect("the caller keeps a piece");
                keep.is_under_way = true;
                let (key, name) = (keep.key, keep.name);
                let offset = (keep.number * length(core::slice::from_ref(&body))) as u64;
                let draft = PieceDraft { key, name, offset, payload: vec![body] };
                let written = |at| Written::Copied(Copied::Kept { at });
                self.counts.moved += self.append_piece(Stream::Main, draft, written);
                true
            }
            Room::Later { has_begun } => has_begun,
            Room::Nowhere => {
                self.end_keep(Now::InMemory(body));
                true
            }
        }
    }

    pub(super) fn on_kept_piece_read(&mut self, piece: Option<Result<(Header, Bytes), Unfit>>) {
        let Some(Some(keep)) = self.keeping() else { return };
        let (key, name, number, extent) = (keep.key, keep.name, keep.number, keep.extent);
        let found = piece.and_then(|piece| Self::piece_in(piece, key, name, number, extent).ok());
        match found {
            Some(body) => (keep.body, keep.is_under_way) = (Some(body), false),
            None => self.end_keep(Now::Nowhere),
        }
    }

    fn on_kept_written(&mut self, at: Position) {
        self.end_keep(Now::At(at));
    }

    /// A piece is elsewhere now, or nowhere: whoever has it open is told.
    fn end_keep(&mut self, now: Now) {
        let Some(keep) = self.keeping().and_then(Option::take) else { return };
        let old = keep.extent.at;
        for source in self.pins.of_key(old.sequence, keep.key) {
            match source {
                Source::Reader(reader) => self.repoint_reader(reader, old, &now),
                Source::Writer(writer) => self.repoint_writer(writer, old, &now),
            }
        }
    }
}

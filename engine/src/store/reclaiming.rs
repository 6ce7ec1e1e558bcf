//! Reclaim: the oldest segment is emptied. What was used since it was written is moved, the rest dropped.
//!
//! A record lies behind the pieces of its body, so a segment that is the oldest holds whole objects and the beginnings of
//! objects that end later; both go, or move, as a whole. Moves take at most half a segment and wait for nothing: where
//! there is no room, the object is dropped. So reclaim always ends, also when everything was used.

use super::{
    Event, Listing, Loss, Store,
    appending::{Draft, Written},
    block::{Header, Kind, Place, Position, Unfit},
    check::{Expected, Outcome},
    content::{Content, Entry, Extent, What},
    index::Indexed,
    log::Standing,
    plant::StoreFault,
    publishing::Cause,
    reading::{Load, Loader, Want},
    turning::Turn,
};
use crate::{id::RecordName, key::StoredKey};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;

/// A segment that is being emptied.
#[derive(Debug)]
pub(super) struct Reclaim {
    segment: u32,
    sequence: u64,
    listing: Listing,
    /// Blocks that were not looked at yet, the last first.
    todo: Vec<Entry>,
    /// Objects whose pieces were looked at.
    seen: BTreeSet<(StoredKey, RecordName)>,
    /// Sectors that may still be moved.
    budget: u32,
    moving: Option<Move>,
}

/// An object on its way to the end of the log.
#[derive(Debug)]
struct Move {
    key: StoredKey,
    old: Place,
    content: Content,
    /// Where its pieces are now.
    extents: Vec<Extent>,
    /// Writes under way.
    writes: usize,
    is_complete: bool,
    failed: bool,
    /// Where the record is now, and the object's sectors.
    record: Option<(Place, u32)>,
}

impl Store {
    pub(super) fn begin_reclaim(&mut self) {
        if self.reclaim.is_some() || self.is_read_only() {
            return;
        }
        let Some(segment) = self.log.oldest() else {
            // Every other segment is bad.
            if let Turn::Choosing(_) = self.turn {
                self.end_writes();
            }
            return;
        };
        let budget = self.geometry.sectors / 2;
        let sequence = self.log.segment(segment).sequence;
        let (todo, seen) = (Vec::new(), BTreeSet::new());
        let listing = Listing::Summary;
        self.reclaim = Some(Reclaim { segment, sequence, listing, todo, seen, budget, moving: None });
        // From now on nothing is published that has pieces there.
        self.close_in(sequence);
        match self.log.segment(segment).standing {
            Standing::Sealed { summary: Some(sector) } => {
                let sectors = self.geometry.sectors - 1 - sector;
                self.begin_read(Place { segment, sector }, sectors, Expected::Block { sequence }, Want::List);
            }
            Standing::Sealed { summary: None } => self.list_by_walk(),
            standing @ (Standing::Free | Standing::Open | Standing::Bad) => {
                unreachable!("the oldest sealed segment is {standing:?}")
            }
        }
    }

    fn list_by_walk(&mut self) {
        let Some(reclaim) = &mut self.reclaim else { return };
        reclaim.listing = Listing::Walk;
        let (place, sequence) = (Place { segment: reclaim.segment, sector: 0 }, reclaim.sequence);
        self.begin_read(place, self.geometry.sectors, Expected::Segment { sequence }, Want::List);
    }

    pub(super) fn on_listed(&mut self, outcome: Option<Outcome>) {
        let Some(reclaim) = &mut self.reclaim else { return };
        match reclaim.listing {
            Listing::Summary => match outcome.and_then(summary_in) {
                Some(entries) => reclaim.todo = entries,
                None => return self.list_by_walk(),
            },
            Listing::Walk => {
                reclaim.todo = match outcome {
                    Some(Outcome::Segment(walked)) => walked.into_iter().map(|walked| walked.entry).collect(),
                    Some(Outcome::Short(_) | Outcome::Block(..) | Outcome::Mark(_)) | None => Vec::new(),
                };
            }
        }
        // Records come first, in the log's order: after them, whatever has pieces here has its record elsewhere.
        let todo = &mut reclaim_of(&mut self.reclaim).todo;
        todo.reverse();
        todo.sort_by_key(|entry| matches!(entry.what, What::Record { .. }));
        self.sift();
    }

    /// Looks at one block after the other, until one has to be read.
    fn sift(&mut self) {
        loop {
            let Some(reclaim) = &mut self.reclaim else { return };
            let segment = reclaim.segment;
            let Some(entry) = reclaim.todo.pop() else {
                return self.end_reclaim();
            };
            let Some(indexed) = self.index.find(entry.key) else { continue };
            match entry.what {
                What::Tombstone(_) => {}
                What::Record { object, .. } if indexed.place == entry.place(segment) => {
                    if indexed.uses > 0 && object <= reclaim.budget {
                        return self.load_to_move(entry.key);
                    }
                    self.drop_reclaimed(entry.key, indexed.place);
                }
                What::Record { .. } => {}
                What::Body if self.planted.is(StoreFault::ForgetsBegun) => {}
                What::Body => {
                    if reclaim.seen.insert((entry.key, entry.name)) {
                        return self.load_to_move(entry.key);
                    }
                }
            }
        }
    }

    /// The record of an object that may have a part here was read, if it could be.
    pub(super) fn on_move_loaded(&mut self, key: StoredKey, old: Place, content: Option<Content>) {
        let Some(reclaim) = &mut self.reclaim else { return };
        let Some(indexed) = self.index.find(key) else {
            return self.sift();
        };
        if indexed.place != old {
            // What took its place meanwhile may have pieces here, too.
            return self.load_to_move(key);
        }
        let (segment, sequence) = (reclaim.segment, reclaim.sequence);
        let lies_here = |content: &Content| {
            old.segment == segment || content.extents.iter().any(|extent| extent.at.sequence == sequence)
        };
        let Some(content) = content else {
            // It cannot be read, so nobody knows whether it lies here.
            self.drop_reclaimed(key, old);
            return self.sift();
        };
        if !lies_here(&content) {
            return self.sift();
        }
        if indexed.uses == 0 || indexed.sectors > reclaim.budget {
            self.drop_reclaimed(key, old);
            return self.sift();
        }
        reclaim.budget -= indexed.sectors;
        let extents = Vec::with_capacity(content.extents.len());
        let (writes, is_complete, failed, record) = (0, false, false, None);
        reclaim.moving = Some(Move { key, old, content, extents, writes, is_complete, failed, record });
        self.move_on();
    }

    /// Reads the next piece, or writes the record behind the last.
    fn move_on(&mut self) {
        let moving = moving_of(&mut self.reclaim);
        if let Some(extent) = moving.content.extents.get(moving.extents.len()) {
            let sectors = self.geometry.sectors_for(extent.bytes as usize);
            return match self.log.place(extent.at) {
                Some(place) => self.read_block(place, sectors, Want::Moved),
                None => self.give_move_up(),
            };
        }
        let (key, old) = (moving.key, moving.old);
        let (extents, tail) = (moving.extents.clone(), moving.content.tail.clone());
        let record = moving.content.record.clone();
        let content = Content { sectors: self.sectors_of(&extents), extents, record, tail };
        let is_there = self.index.find(key).is_some_and(|indexed| indexed.place == old);
        let own = content.encode(&self.geometry).own;
        // Behind another in the log, the older record would count again.
        if !is_there || self.is_being_written(key) || !self.log.has_room(own) {
            return self.give_move_up();
        }
        let moving = moving_of(&mut self.reclaim);
        (moving.writes, moving.is_complete) = (moving.writes + 1, true);
        self.counts.moved += self.append_record(Draft { content, cause: Cause::Move { old } });
    }

    pub(super) fn on_move_piece_read(
        &mut self,
        block: Option<(Result<Header, Unfit>, Result<Bytes, Unfit>)>,
    ) {
        let Some(reclaim) = &self.reclaim else { return };
        let moving = reclaim.moving.as_ref().expect("a piece is read for a move");
        let (key, name, piece) = (moving.key, moving.content.record.name, moving.extents.len());
        let extent = moving.content.extents[piece];
        let body = block.map(|(header, payload)| Self::piece_in(header, payload, key, name, piece, extent));
        let Some(Ok(body)) = body else {
            return self.give_move_up();
        };
        if !self.log.has_room(self.geometry.sectors_for(body.len())) {
            return self.give_move_up();
        }
        let offset = piece as u64 * u64::from(extent.bytes);
        let (at, size) = self.append_piece(key, name, offset, body, |_: Position| Written::Moved);
        self.counts.moved += size;
        let moving = moving_of(&mut self.reclaim);
        moving.writes += 1;
        moving.extents.push(Extent { at, ..extent });
        self.move_on();
    }

    fn give_move_up(&mut self) {
        let moving = moving_of(&mut self.reclaim);
        (moving.is_complete, moving.failed) = (true, true);
        self.settle_move();
    }

    pub(super) fn on_moved_written(&mut self) {
        if let Some(moving) = self.reclaim.as_mut().and_then(|reclaim| reclaim.moving.as_mut()) {
            moving.writes -= 1;
            self.settle_move();
        }
    }

    pub(super) fn on_moved_failed(&mut self) {
        if let Some(moving) = self.reclaim.as_mut().and_then(|reclaim| reclaim.moving.as_mut()) {
            moving.failed = true;
            self.on_moved_written();
        }
    }

    pub(super) fn on_move_written(&mut self, key: StoredKey, old: Place, place: Place, object: u32) {
        if let Some(moving) = self.reclaim.as_mut().and_then(|reclaim| reclaim.moving.as_mut()) {
            assert_eq!((moving.key, moving.old), (key, old), "one object is moved at a time");
            moving.record = Some((place, object));
            self.on_moved_written();
        }
    }

    /// The object counts at its new place once all of it is there.
    fn settle_move(&mut self) {
        let reclaim = reclaim_of(&mut self.reclaim);
        let Some(moving) = reclaim.moving.take_if(|moving| moving.writes == 0 && moving.is_complete) else {
            return;
        };
        let Move { key, old, record, failed, .. } = moving;
        match record.filter(|_| !failed) {
            Some((place, object)) if self.planted.is(StoreFault::MovesBack) => {
                self.index.insert(key, place, object);
            }
            Some((place, object)) if self.index.move_to(key, old, place, object) => {
                self.counts.objects_moved += 1;
            }
            Some(_) | None => self.drop_reclaimed(key, old),
        }
        // It may have been freshened meanwhile, and what is there now have pieces here.
        self.load_to_move(key);
    }

    /// Reads the record of a key, to see whether it lies in the segment.
    fn load_to_move(&mut self, key: StoredKey) {
        match self.index.find(key) {
            Some(Indexed { place, sectors: object, .. }) => {
                self.load(Load { key, place, object, loader: Loader::Move });
            }
            None => self.sift(),
        }
    }

    pub(super) fn drop_reclaimed(&mut self, key: StoredKey, place: Place) {
        if self.index.remove_at(key, place).is_some() {
            self.counts.objects_dropped += 1;
            self.event(Event::Dropped { key, why: Loss::Reclaimed });
        }
    }

    fn end_reclaim(&mut self) {
        let Reclaim { segment, listing, .. } =
            self.reclaim.take().expect("the caller looked through its blocks");
        match listing {
            Listing::Summary => {}
            Listing::Walk => self.counts.objects_dropped += self.index.remove_segment(segment),
        }
        self.log.release(segment);
        self.counts.reclaims += 1;
        self.event(Event::Reclaimed { segment, listing });
        self.go_on_turning();
    }
}

fn reclaim_of(reclaim: &mut Option<Reclaim>) -> &mut Reclaim {
    reclaim.as_mut().expect("the caller found it")
}

fn moving_of(reclaim: &mut Option<Reclaim>) -> &mut Move {
    reclaim_of(reclaim).moving.as_mut().expect("the caller found it")
}

/// The entries of a summary, if it is one.
pub(super) fn summary_in(outcome: Outcome) -> Option<Vec<Entry>> {
    match outcome {
        Outcome::Block(Ok(header), Ok(payload)) if header.label.kind == Kind::Summary => {
            Entry::decode_all(&payload)
        }
        Outcome::Block(..) | Outcome::Short(_) | Outcome::Mark(_) | Outcome::Segment(_) => None,
    }
}

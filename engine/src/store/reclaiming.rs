//! Reclaim: the oldest segment of a stream is emptied. The policy says which stream's, and who moves and who
//! leaves.
//!
//! First the objects whose record lies there, then those that have a piece there and their record elsewhere:
//! both move, or leave, as a whole (`moving.rs`). Then the pieces that somebody has open. Then the tombstones
//! that are still needed: those that lay here, and one for each object that left and would bring back an
//! older one, or would be found in part. Room for these is always kept. Then the segment is free.
//!
//! ```text
//! Waiting ──no record on its way refers to it──▶ Listing ──▶ Sifting ⇄ Loading, Moving ──▶ Keeping ──▶ Burying ──▶ Ending
//! ```

use super::{
    Event, Listing, Loss, Store,
    appending::{Job, Written},
    block::Place,
    check::{Expected, Loaded, Outcome},
    content::{Entry, Extent, Grave, Tombstone, What},
    index::Indexed,
    log::{Segment, Standing},
    moving::{Copied, Keep, Move},
    plant::StoreFault,
    policy::{self, FREE_SEGMENTS, Fate, Stream},
    reading::{Load, Loader, Want},
    turning::KEPT_OF_MOVES,
};
use crate::language::key::{CacheKey, StoredKey};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// A segment that is being emptied.
#[derive(Debug)]
pub(super) struct Reclaim {
    pub(super) segment: u32,
    pub(super) sequence: u64,
    stream: Stream,
    manner: Manner,
    listing: Listing,
    /// Blocks that were not looked at yet, the last first.
    todo: Vec<Entry>,
    /// Objects that were looked at.
    seen: BTreeSet<StoredKey>,
    /// Sectors that may still be moved.
    budget: u32,
    /// Those that are still to be written, and through which stamps.
    tombstones: BTreeMap<Grave, u64>,
    /// The targets of the records in the segments that take appends, once they were asked for.
    open_targets: Option<BTreeSet<CacheKey>>,
    /// Records that refer to pieces here: they wait until these are elsewhere.
    pub(super) held: Vec<(Stream, Job)>,
    pub(super) step: Step,
}

/// Why a segment is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// To make room: who stays has proved itself.
    Reclaiming,
    /// The device is to end before it: who finds room elsewhere stays.
    Vacating,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Records that refer to it are on their way.
    Waiting,
    /// Its blocks are being listed.
    Listing,
    /// The next block is to be looked at.
    Sifting,
    /// The record of an object that may have a part here is being read.
    Loading,
    /// An object is being moved.
    Moving(Box<Move>),
    /// Pieces that somebody has open are being moved.
    Keeping(Option<Keep>),
    /// Tombstones are being written, in so many writes.
    Burying { writes: usize },
    /// Tombstones are awaited that others have asked for by now.
    Ending { ticket: u64 },
}

impl Reclaim {
    /// Of several tombstones of one grave, the one that reaches farthest is all that is needed.
    fn bury(&mut self, tombstone: Tombstone) {
        let through = self.tombstones.entry(tombstone.of).or_default();
        *through = tombstone.through.max(*through);
    }

    /// Does it wait for this tombstone, and for nothing else?
    pub(super) const fn awaits(&self, asked: u64) -> bool {
        match self.step {
            Step::Ending { ticket } => asked <= ticket,
            Step::Waiting
            | Step::Listing
            | Step::Sifting
            | Step::Loading
            | Step::Moving(_)
            | Step::Keeping(_)
            | Step::Burying { .. } => false,
        }
    }
}

impl Store {
    /// Does what can be done now. Says whether anything changed.
    pub(super) fn go_on_reclaiming(&mut self) -> bool {
        let Some(reclaim) = &self.reclaim else {
            // What was found by a recovery stays as it is until something is to be written.
            let is_written_to = self.is_queued() || self.log.is_open();
            let is_short = self.log.free.len() < FREE_SEGMENTS as usize;
            return is_written_to && is_short && !self.is_emptying() && self.begin_reclaim();
        };
        match &reclaim.step {
            Step::Waiting if self.flights.refers(reclaim.sequence) => false,
            Step::Waiting => {
                self.list();
                true
            }
            Step::Listing | Step::Loading => false,
            Step::Sifting => {
                self.sift();
                true
            }
            Step::Moving(_) => self.move_on(),
            Step::Keeping(_) => self.keep_on(),
            Step::Burying { .. } => self.bury_on(),
            Step::Ending { ticket } => {
                let is_over = self.burying.range(..=*ticket).next().is_none();
                if is_over {
                    self.end_reclaim();
                }
                is_over
            }
        }
    }

    /// Begins where both streams have settled and the main one has room for what must be written. Says
    /// whether anything changed.
    pub(super) fn begin_reclaim(&mut self) -> bool {
        if self.is_turning(Stream::Newcomer) || self.is_turning(Stream::Main) {
            return false;
        }
        let extents = [Stream::Newcomer, Stream::Main].map(|stream| self.log.extent(stream));
        let Some(mut stream) = policy::reclaimed_next(extents[0], extents[1], self.geometry.segments) else {
            return false;
        };
        let segments = self.segments_marked();
        if self.reclaims_in_vain >= segments {
            // All that is left is open or tombstones; these are needed for what lies in older segments of
            // newcomers.
            let is_wanted = self.is_queued() || self.is_emptying();
            let is_awaited = is_wanted && self.reclaims_in_vain < 3 * segments;
            if !is_awaited {
                return false;
            }
            if extents[0].sealed > 0 {
                stream = Stream::Newcomer;
            }
        }
        let segment = self.log.oldest(stream).expect("the stream has a sealed segment");
        self.reclaim_segment(segment, Manner::Reclaiming)
    }

    /// Begins where the main stream has room for what must be written. Says whether anything changed.
    pub(super) fn reclaim_segment(&mut self, segment: u32, manner: Manner) -> bool {
        if !self.log.has_room(Stream::Main, 0, 0, self.log.spare(Stream::Main)) {
            return self.want_turn(Stream::Main, KEPT_OF_MOVES) || self.want_turn(Stream::Main, 0);
        }
        self.reclaims_in_vain += 1;
        let Segment { stream, sequence, .. } = *self.log.segment(segment);
        self.reclaim = Some(Reclaim {
            segment,
            sequence,
            stream,
            manner,
            listing: Listing::Summary,
            todo: Vec::new(),
            seen: BTreeSet::new(),
            budget: self.budget(sequence, manner),
            tombstones: BTreeMap::new(),
            open_targets: None,
            held: Vec::new(),
            step: Step::Waiting,
        });
        true
    }

    /// Sectors of objects that may be moved. What somebody has open comes first.
    fn budget(&self, sequence: u64, manner: Manner) -> u32 {
        let turns = self.log.free.len().saturating_sub(KEPT_OF_MOVES);
        let pinned = self.pinned_sectors(sequence);
        let room = self.log.room_for_moves(turns).saturating_sub(pinned);
        match (manner, pinned) {
            (Manner::Reclaiming, 0) => policy::budget(self.geometry.sectors),
            (Manner::Reclaiming, _) => policy::budget(self.geometry.sectors).min(room),
            (Manner::Vacating, _) => room,
        }
    }

    /// What becomes of an object that has a part in the segment and of which so many sectors would be written
    /// again.
    fn fate(&self, uses: u32, sectors: u32) -> Fate {
        let reclaim = self.reclaim.as_ref().expect("the caller reclaims");
        let has_room = sectors <= reclaim.budget;
        match reclaim.manner {
            Manner::Vacating if has_room => Fate::Moves { uses },
            Manner::Reclaiming | Manner::Vacating => policy::fate(reclaim.stream, uses, has_room),
        }
    }

    /// Does a piece stay where it is, though its object is moved? Only if the device is all that changes.
    pub(super) fn stays(&self, extent: Extent) -> bool {
        let is_vacating = |reclaim: &Reclaim| reclaim.manner == Manner::Vacating;
        let place = self.log.place(extent.at);
        self.reclaim.as_ref().is_some_and(is_vacating)
            && place.is_some_and(|place| place.segment < self.geometry.segments)
    }

    pub(super) fn reclaim(&mut self) -> &mut Reclaim {
        self.reclaim.as_mut().expect("the caller reclaims")
    }

    fn list(&mut self) {
        let Reclaim { segment, sequence, .. } = *self.reclaim();
        self.reclaim().step = Step::Listing;
        match self.log.segment(segment).standing {
            Standing::Sealed { summary: Some(sector) } => {
                let sectors = self.geometry.sectors - 1 - sector;
                let expected = Expected::Summary { sequence };
                self.begin_read(Place { segment, sector }, sectors, expected, Want::List);
            }
            Standing::Sealed { summary: None } => self.list_by_walk(),
            standing @ (Standing::Free | Standing::Next | Standing::Open | Standing::Full) => {
                unreachable!("the oldest sealed segment is {standing:?}")
            }
        }
    }

    fn list_by_walk(&mut self) {
        let reclaim = self.reclaim();
        reclaim.listing = Listing::Walk;
        let (place, sequence) = (Place { segment: reclaim.segment, sector: 0 }, reclaim.sequence);
        self.begin_read(place, self.geometry.sectors, Expected::Segment { sequence }, Want::List);
    }

    pub(super) fn on_listed(&mut self, outcome: Option<Outcome>) {
        let Some(reclaim) = &mut self.reclaim else { return };
        let mut todo: Vec<Entry> = match (outcome, reclaim.listing) {
            (Some(Outcome::Summary(Some(entries))), Listing::Summary) => entries,
            (_, Listing::Summary) => return self.list_by_walk(),
            (Some(Outcome::Segment(walked)), Listing::Walk) => {
                walked.into_iter().map(|walked| walked.entry).collect()
            }
            // Its tombstones are needed, and cannot be read.
            (_, Listing::Walk) => return self.end_writes(),
        };
        // Records come first, in the log's order: after them, whatever has pieces here has its record
        // elsewhere.
        todo.reverse();
        todo.sort_by_key(|entry| matches!(entry.what, What::Record { .. }));
        (reclaim.todo, reclaim.step) = (todo, Step::Sifting);
    }

    /// Looks at one block after the other, until one has to be read.
    fn sift(&mut self) {
        loop {
            let reclaim = self.reclaim.as_mut().expect("the caller reclaims");
            let (segment, manner) = (reclaim.segment, reclaim.manner);
            let Some(entry) = reclaim.todo.pop() else {
                reclaim.step = Step::Keeping(None);
                return;
            };
            match entry.what {
                What::Tombstone(_) if self.planted.is(StoreFault::DropsTombstones) => {}
                What::Tombstone(tombstone) if self.is_needed(tombstone) => {
                    self.counts.tombstones_carried += 1;
                    self.reclaim().bury(tombstone);
                }
                What::Tombstone(_) => {}
                What::Record { key, stamp, object } => {
                    let place = entry.place(segment);
                    let indexed = self.index.find(key).filter(|indexed| indexed.place == place);
                    let Some(indexed) = indexed else { continue };
                    self.reclaim().seen.insert(key);
                    let sectors = match manner {
                        Manner::Reclaiming => object,
                        // How much of it stays where it is, its record says.
                        Manner::Vacating => 0,
                    };
                    match self.fate(indexed.uses, sectors) {
                        Fate::Moves { .. } => return self.load_to_move(key),
                        fate @ (Fate::BecomesGhost | Fate::Leaves) => {
                            self.drop_reclaimed(key, place, stamp, fate);
                        }
                    }
                }
                What::Body { .. } if self.planted.is(StoreFault::ForgetsBegun) => {}
                What::Body { key, .. } => {
                    if self.reclaim().seen.insert(key) && self.index.find(key).is_some() {
                        return self.load_to_move(key);
                    }
                }
            }
        }
    }

    /// Reads the record of a key, to see whether it lies in the segment.
    pub(super) fn load_to_move(&mut self, key: StoredKey) {
        match self.index.find(key) {
            Some(Indexed { place, sectors: object, .. }) => {
                self.reclaim().step = Step::Loading;
                self.load(Load { key, place, object, loader: Loader::Move });
            }
            None => self.reclaim().step = Step::Sifting,
        }
    }

    /// The record of an object that may have a part here was read, if it could be.
    pub(super) fn on_move_loaded(&mut self, key: StoredKey, old: Place, loaded: Option<Box<Loaded>>) {
        let Some(reclaim) = &mut self.reclaim else { return };
        reclaim.step = Step::Sifting;
        let (segment, sequence) = (reclaim.segment, reclaim.sequence);
        let Some(indexed) = self.index.find(key) else { return };
        if indexed.place != old {
            // What took its place meanwhile may have pieces here, too.
            return self.load_to_move(key);
        }
        let Some(loaded) = loaded else {
            // It cannot be read, so nobody knows whether it lies here.
            self.index.on_hides(key);
            let through = self.through_before_flights(key);
            return self.drop_reclaimed(key, old, through, Fate::Leaves);
        };
        let has_piece_here = loaded.content.extents.iter().any(|extent| extent.at.sequence == sequence);
        if old.segment != segment && !has_piece_here {
            return;
        }
        let staying = loaded.content.extents.iter().filter(|extent| self.stays(**extent));
        let staying: u32 = staying.map(|extent| self.geometry.sectors_for(extent.bytes as usize)).sum();
        let sectors = indexed.sectors.saturating_sub(staying);
        match self.fate(indexed.uses, sectors) {
            Fate::Moves { uses } => {
                let reclaim = self.reclaim();
                reclaim.budget -= sectors;
                reclaim.step = Step::Moving(Box::new(Move::new(key, old, uses, *loaded)));
            }
            fate @ (Fate::BecomesGhost | Fate::Leaves) => self.drop_reclaimed(key, old, loaded.stamp, fate),
        }
    }

    /// An object leaves. If its record lies elsewhere, or hides an older one, a recovery must not find
    /// either.
    pub(super) fn drop_reclaimed(&mut self, key: StoredKey, place: Place, stamp: u64, fate: Fate) {
        let Some(indexed) = self.index.remove_at(key, place) else { return };
        self.counts.objects_dropped += 1;
        self.event(Event::Dropped { key, why: Loss::Reclaimed });
        if let Fate::BecomesGhost = fate {
            self.ghosts.remember(key, self.index.len());
        }
        let Some(reclaim) = &self.reclaim else { return };
        let would_be_found = indexed.hides || place.segment != reclaim.segment;
        let tombstone = Tombstone { of: Grave::Key(key), through: stamp };
        let is_needed = would_be_found && self.is_needed(tombstone);
        if is_needed && !self.planted.is(StoreFault::UnhidesOlder) {
            self.counts.tombstones_of_dropped += 1;
            self.reclaim().bury(tombstone);
        }
    }

    /// May a recovery find anything that this takes away, other than in the segment that is being emptied?
    fn is_needed(&mut self, tombstone: Tombstone) -> bool {
        let reclaim = self.reclaim.as_mut().expect("the caller reclaims");
        let targets = reclaim.open_targets.get_or_insert_with(|| self.log.open_targets());
        targets.contains(&tombstone.of.key().target)
            || self.log.may_be_found(tombstone.through, reclaim.segment)
    }

    /// Writes the tombstones that are needed, as many in a block as there is room for. Says whether anything
    /// changed.
    fn bury_on(&mut self) -> bool {
        let reclaim = self.reclaim.as_mut().expect("the caller reclaims");
        let Step::Burying { writes } = &mut reclaim.step else { unreachable!("the caller buries") };
        if reclaim.tombstones.is_empty() {
            let is_over = *writes == 0;
            if is_over {
                reclaim.step = Step::Ending { ticket: self.tickets };
            }
            return is_over;
        }
        let mut count = reclaim.tombstones.len();
        while count > 0 && !self.log.has_room(Stream::Main, self.tombstone_sectors(count), count, 0) {
            count /= 2;
        }
        if count == 0 {
            let is_begun = self.want_turn(Stream::Main, KEPT_OF_MOVES) || self.want_turn(Stream::Main, 0);
            if !is_begun && !self.is_turning(Stream::Main) {
                // There is no room for what must be written.
                self.end_writes();
            }
            return is_begun;
        }
        let reclaim = self.reclaim();
        if let Step::Burying { writes } = &mut reclaim.step {
            *writes += 1;
        }
        let next = core::iter::from_fn(|| reclaim.tombstones.pop_first()).take(count);
        let tombstones = next.map(|(of, through)| Tombstone { of, through }).collect();
        self.counts.moved += self.append_tombstones(tombstones, Written::Copied(Copied::Tombstones));
        true
    }

    pub(super) fn on_tombstones_written(&mut self) {
        if let Some(Reclaim { step: Step::Burying { writes }, .. }) = &mut self.reclaim {
            *writes -= 1;
        }
    }

    fn end_reclaim(&mut self) {
        let Reclaim { segment, listing, held, stream, .. } =
            self.reclaim.take().expect("the caller looked through its blocks");
        match listing {
            Listing::Summary => {}
            Listing::Walk => self.counts.objects_dropped += self.index.remove_segment(segment),
        }
        for (stream, job) in held.into_iter().rev() {
            self.jobs[stream].push_front(job);
        }
        self.on_emptied(segment);
        match stream {
            Stream::Newcomer => self.counts.newcomer_reclaims += 1,
            Stream::Main => self.counts.main_reclaims += 1,
        }
        self.event(Event::Reclaimed { segment, listing });
    }
}

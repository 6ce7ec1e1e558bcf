//! Finding out what the device holds. Nothing is written, so a crash in between changes nothing.
//!
//! First the headers and footers of all segments; then whole segments that were not sealed, block by block; then, from
//! the newest segment to the oldest, what each holds. A newer record of a key stands before an older one, a tombstone
//! before what it takes away, and a record whose body is not all there counts for nothing: the older one stands.

use super::{
    Event, Phase, Store,
    block::{Checksums, Kind, Place, Position},
    check::{Expected, Outcome},
    content::{Entry, Grave, Mark, What},
    log::Standing,
    plant::StoreFault,
    reading::Want,
    reclaiming::summary_in,
    walk::Walked,
};
use crate::{
    id::RecordName,
    key::{CacheKey, StoredKey},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Headers and footers that are read at once.
const MARKS_AT_ONCE: u32 = 64;

/// How far recovery has come.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Tells the answers of this attempt from those of an earlier one.
    attempt: u64,
    /// The next segment whose header is wanted.
    next: u32,
    under_way: u32,
    found: Vec<Found>,
    /// Segments to walk through.
    unsealed: Vec<Found>,
    /// What was found there, by sequence.
    walked: BTreeMap<u64, Vec<Walked>>,
    /// Whole pieces of bodies there, and whose.
    pieces: BTreeMap<Position, RecordName>,
    /// Segments to take in, the oldest first.
    todo: Vec<Found>,
    /// The deletions that were taken in.
    graves: BTreeMap<StoredKey, Vec<(RecordName, Position)>>,
    targets: BTreeSet<CacheKey>,
}

/// A segment that was opened by this store.
#[derive(Clone, Copy, Debug)]
struct Found {
    segment: u32,
    sequence: u64,
    mark: Mark,
    summary: Option<u32>,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    attempt: u64,
    segment: u32,
    what: Piece,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Header,
    Footer,
    Whole,
    Summary,
}

impl Store {
    pub(super) fn recover(&mut self) {
        assert!(
            matches!(self.phase, Phase::Closed),
            "the answer rule: recovery comes once, or after it has failed"
        );
        self.phase = Phase::Recovering(Recovery { attempt: self.ios_begun, ..Recovery::default() });
        for _ in 0..MARKS_AT_ONCE.min(self.geometry.segments) {
            self.read_next_header();
        }
    }

    fn recovery(&mut self) -> &mut Recovery {
        match &mut self.phase {
            Phase::Recovering(recovery) => recovery,
            phase @ (Phase::Closed | Phase::Writing | Phase::ReadOnly) => {
                unreachable!("the caller recovers, but the store is {phase:?}")
            }
        }
    }

    fn read_part(&mut self, segment: u32, sector: u32, sectors: u32, what: Piece) {
        let attempt = self.recovery().attempt;
        let sequence = self.log.segment(segment).sequence;
        let expected = match what {
            Piece::Header => Expected::Marks { kind: Kind::Segment },
            Piece::Footer => Expected::Marks { kind: Kind::Footer },
            Piece::Whole => Expected::Segment { sequence },
            Piece::Summary => Expected::Block { sequence },
        };
        let part = Part { attempt, segment, what };
        self.begin_read(Place { segment, sector }, sectors, expected, Want::Recovery(part));
    }

    fn read_next_header(&mut self) {
        let segments = self.geometry.segments;
        let recovery = self.recovery();
        if recovery.next < segments {
            let segment = recovery.next;
            recovery.next += 1;
            recovery.under_way += 1;
            self.read_part(segment, 0, 2, Piece::Header);
        } else if recovery.under_way == 0 {
            self.on_marks_read();
        }
    }

    pub(super) fn on_recovery_failed(&mut self, part: Part, segment: u32) {
        if let Phase::Recovering(recovery) = &self.phase
            && recovery.attempt == part.attempt
        {
            self.phase = Phase::Closed;
            self.event(Event::RecoveryFailed { segment });
        }
    }

    pub(super) fn on_recovery_read(&mut self, part: Part, outcome: Outcome) {
        let Phase::Recovering(recovery) = &mut self.phase else { return };
        if recovery.attempt != part.attempt {
            return;
        }
        match part.what {
            Piece::Header => match self.mark_in(outcome) {
                Some((sequence, mark)) => {
                    let found = Found { segment: part.segment, sequence, mark, summary: None };
                    self.recovery().found.push(found);
                    self.read_part(part.segment, self.geometry.sectors - 1, 1, Piece::Footer);
                }
                None => self.on_mark_read(),
            },
            Piece::Footer => {
                self.take_footer(outcome, part.segment);
                self.on_mark_read();
            }
            Piece::Whole => self.on_walked(outcome),
            Piece::Summary => self.on_summary_read(outcome),
        }
    }

    fn on_mark_read(&mut self) {
        self.recovery().under_way -= 1;
        self.read_next_header();
    }

    /// What a segment's header or footer says, if it is of a device cut up like this.
    fn mark_in(&self, outcome: Outcome) -> Option<(u64, Mark)> {
        match outcome {
            Outcome::Mark(found) => found.filter(|(_, mark)| mark.is_of(&self.geometry)),
            Outcome::Short(_) | Outcome::Block(..) | Outcome::Segment(_) => None,
        }
    }

    fn take_footer(&mut self, outcome: Outcome, segment: u32) {
        let sector = self.geometry.sectors - 1;
        let Some((sequence, mark)) = self.mark_in(outcome) else { return };
        if let Some(found) = self.recovery().found.iter_mut().find(|found| found.segment == segment)
            && found.sequence == sequence
            && found.mark.store == mark.store
            && (2..sector).contains(&mark.summary)
        {
            found.summary = Some(mark.summary);
        }
    }

    /// All headers are known: which store is it, and which segments hold something?
    fn on_marks_read(&mut self) {
        let mut found = core::mem::take(&mut self.recovery().found);
        found.sort_by_key(|found| found.sequence);
        self.number = match found.last() {
            Some(newest) => newest.mark.store,
            None => self.random.wide_bits(),
        };
        self.checksums = Checksums::of_store(self.number, self.planted);
        found.retain(|found| found.mark.store == self.number);
        let floor = found.iter().map(|found| found.mark.floor).max().unwrap_or(0);
        self.log.next_sequence = found.last().map_or(1, |newest| newest.sequence + 1);
        found.retain(|found| found.sequence >= floor);
        for Found { segment, sequence, summary, .. } in &found {
            let state = self.log.segment(*segment);
            (state.standing, state.sequence) = (Standing::Sealed { summary: *summary }, *sequence);
            self.log.by_sequence.insert(*sequence, *segment);
        }
        if self.planted.is(StoreFault::PrefersOld) {
            found.reverse();
        }
        let recovery = self.recovery();
        recovery.unsealed = found.iter().filter(|found| found.summary.is_none()).copied().collect();
        recovery.todo = found;
        self.walk_next();
    }

    fn walk_next(&mut self) {
        match self.recovery().unsealed.last() {
            Some(found) => {
                let segment = found.segment;
                self.read_part(segment, 0, self.geometry.sectors, Piece::Whole);
            }
            None => self.take_next(),
        }
    }

    fn on_walked(&mut self, outcome: Outcome) {
        let Some(found) = self.recovery().unsealed.pop() else {
            unreachable!("a segment was walked unasked")
        };
        let Outcome::Segment(walked) = outcome else {
            unreachable!("a segment was walked, and gave {outcome:?}")
        };
        let recovery = self.recovery();
        for Walked { entry, .. } in &walked {
            if let What::Body = entry.what {
                let at = Position { sequence: found.sequence, sector: entry.sector };
                recovery.pieces.insert(at, entry.name);
            }
        }
        recovery.walked.insert(found.sequence, walked);
        self.walk_next();
    }

    /// Takes in the newest segment that is left.
    fn take_next(&mut self) {
        loop {
            let recovery = self.recovery();
            let Some(found) = recovery.todo.last().copied() else {
                return self.end_recovery();
            };
            if let Some(walked) = recovery.walked.get(&found.sequence).cloned() {
                recovery.todo.pop();
                self.take_walked(found, &walked);
                continue;
            }
            let sector = found.summary.expect("a segment without a summary was walked");
            let sectors = self.geometry.sectors - 1 - sector;
            return self.read_part(found.segment, sector, sectors, Piece::Summary);
        }
    }

    fn on_summary_read(&mut self, outcome: Outcome) {
        let found = *self.recovery().todo.last().expect("its summary was asked for");
        match summary_in(outcome) {
            Some(entries) => {
                self.recovery().todo.pop();
                for entry in entries.iter().rev() {
                    self.take_entry(found, entry);
                }
                self.take_next();
            }
            None => {
                self.log.segment(found.segment).standing = Standing::Sealed { summary: None };
                self.recovery().unsealed.push(found);
                self.walk_next();
            }
        }
    }

    fn take_walked(&mut self, found: Found, walked: &[Walked]) {
        for Walked { entry, extents } in walked.iter().rev() {
            let is_whole = extents.iter().all(|extent| {
                let Phase::Recovering(recovery) = &self.phase else { return false };
                !recovery.walked.contains_key(&extent.at.sequence)
                    || recovery.pieces.get(&extent.at) == Some(&entry.name)
            });
            if is_whole || self.planted.is(StoreFault::CountsTorn) {
                self.take_entry(found, entry);
            }
        }
    }

    fn take_entry(&mut self, found: Found, entry: &Entry) {
        let place = entry.place(found.segment);
        let at = Position { sequence: found.sequence, sector: entry.sector };
        let is_live = |sequence| self.log.by_sequence.contains_key(&sequence);
        match entry.what {
            What::Body => {}
            What::Tombstone(_) if self.planted.is(StoreFault::OverlooksGraves) => {}
            What::Tombstone(Grave::Target) => {
                self.recovery().targets.insert(entry.key.target);
            }
            What::Tombstone(Grave::Record { through }) => {
                self.recovery().graves.entry(entry.key).or_default().push((entry.name, through));
            }
            What::Record { object, first } if object > 0 && is_live(first) => {
                let recovery = self.recovery();
                let graves = recovery.graves.get(&entry.key).map(Vec::as_slice).unwrap_or_default();
                let is_buried = recovery.targets.contains(&entry.key.target)
                    || graves.iter().any(|(name, through)| *name == entry.name || at <= *through);
                if is_buried {
                    // Deleted by name: what it superseded does not come back.
                    recovery.graves.entry(entry.key).or_default().push((entry.name, at));
                } else if self.index.find(entry.key).is_none() {
                    self.index.insert(entry.key, place, object);
                }
            }
            // Its body was reclaimed. It still stands before what it superseded.
            What::Record { .. } => {
                self.recovery().graves.entry(entry.key).or_default().push((entry.name, at));
            }
        }
    }

    fn end_recovery(&mut self) {
        self.phase = Phase::Writing;
        self.event(Event::Recovered { objects: self.objects(), bytes: self.used() });
    }
}

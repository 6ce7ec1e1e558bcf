//! Finding out what the device holds. Nothing is written, so a crash in between changes nothing.
//!
//! First the headers and footers of all segments; then whole segments that were not sealed, block by block;
//! then what each segment holds, which `merging.rs` puts together.

use super::{
    Event, Phase, Store,
    block::{Checksums, Kind, Place, Position},
    check::{Expected, Outcome},
    content::{Mark, What},
    index::Index,
    log::{Both, Log, STREAMS, Segment, Standing},
    merging::Merge,
    policy::Stream,
    reading::Want,
    walk::Walked,
};
use crate::language::id::RecordName;
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

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
    pub(super) unsealed: Vec<Found>,
    /// What was found there, by sequence.
    pub(super) walked: BTreeMap<u64, Vec<Walked>>,
    /// Whole pieces of bodies there, and whose.
    pub(super) pieces: BTreeMap<Position, RecordName>,
    pub(super) merge: Merge,
}

/// A segment that was opened by this store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) segment: u32,
    pub(super) sequence: u64,
    mark: Mark,
    pub(super) summary: Option<u32>,
}

impl Found {
    const fn is_above(&self, floors: &Both<u64>) -> bool {
        match self.mark.stream {
            Stream::Newcomer => self.sequence >= floors.newcomer,
            Stream::Main => self.sequence >= floors.main,
        }
    }
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
    Summary(Stream),
}

impl Store {
    pub(super) fn recover(&mut self) {
        assert!(
            matches!(self.phase, Phase::Closed),
            "the answer rule: recovery comes once, or after it has failed"
        );
        self.log = Log::new(self.geometry);
        self.index = Index::new(self.random.wide_bits());
        let recovery = Recovery { attempt: self.ios_begun, ..Recovery::default() };
        self.phase = Phase::Recovering(Box::new(recovery));
        for _ in 0..MARKS_AT_ONCE.min(self.geometry.segments) {
            self.read_next_header();
        }
    }

    pub(super) fn recovery(&mut self) -> &mut Recovery {
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
            Piece::Summary(_) => Expected::Summary { sequence },
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

    pub(super) fn on_recovery_failed(&mut self, part: Part) {
        if let Phase::Recovering(recovery) = &self.phase
            && recovery.attempt == part.attempt
        {
            self.phase = Phase::Closed;
            self.event(Event::RecoveryFailed { segment: part.segment });
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
            Piece::Summary(stream) => self.on_summary_read(stream, outcome),
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
            Outcome::Short(_)
            | Outcome::Record(_)
            | Outcome::Longer(_)
            | Outcome::Piece(_)
            | Outcome::Summary(_)
            | Outcome::Header(_)
            | Outcome::Segment(_) => None,
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
        self.log.next_sequence = found.last().map_or(1, |newest| newest.sequence + 1);
        self.number = match found.last() {
            Some(newest) if newest.mark.segments > self.geometry.segments => {
                // What lies beyond is not read, and who knows what it hides.
                found.clear();
                self.counts.formatted += 1;
                self.random.wide_bits()
            }
            Some(newest) => newest.mark.store,
            None => self.random.wide_bits(),
        };
        self.checksums = Checksums::of_store(self.number, self.planted);
        found.retain(|found| found.mark.store == self.number);
        for found in &found {
            for stream in STREAMS {
                self.log.floors[stream] = self.log.floors[stream].max(found.mark.floors[stream]);
            }
            self.log.next_stamp = self.log.next_stamp.max(found.mark.stamp);
        }
        found.retain(|found| found.is_above(&self.log.floors));
        for Found { segment, sequence, summary, mark } in &found {
            let standing = Standing::Sealed { summary: *summary };
            let (stream, stamp, sequence) = (mark.stream, mark.stamp, *sequence);
            *self.log.segment(*segment) = Segment { standing, stream, sequence, stamp };
            self.log.streams[stream].live.insert(sequence, *segment);
        }
        let recovery = self.recovery();
        recovery.unsealed = found.iter().filter(|found| found.summary.is_none()).copied().collect();
        for found in found {
            recovery.merge.add(found.mark.stream, found);
        }
        self.walk_next();
    }

    pub(super) fn walk_next(&mut self) {
        match self.recovery().unsealed.last() {
            Some(found) => {
                let segment = found.segment;
                self.read_part(segment, 0, self.geometry.sectors, Piece::Whole);
            }
            None => self.merge(),
        }
    }

    fn on_walked(&mut self, outcome: Outcome) {
        let Outcome::Segment(walked) = outcome else {
            unreachable!("a segment was walked, and gave {outcome:?}")
        };
        let Some(found) = self.recovery().unsealed.pop() else {
            unreachable!("a segment was walked unasked")
        };
        let recovery = self.recovery();
        for Walked { entry, name, .. } in &walked {
            if let What::Body { .. } = entry.what {
                let at = Position { sequence: found.sequence, sector: entry.sector };
                recovery.pieces.insert(at, *name);
            }
        }
        recovery.walked.insert(found.sequence, walked);
        self.walk_next();
    }

    pub(super) fn read_summary(&mut self, stream: Stream, found: Found, sector: u32) {
        let sectors = self.geometry.sectors - 1 - sector;
        self.read_part(found.segment, sector, sectors, Piece::Summary(stream));
    }

    fn on_summary_read(&mut self, stream: Stream, outcome: Outcome) {
        match outcome {
            Outcome::Summary(Some(entries)) => self.on_entries_read(stream, entries),
            Outcome::Summary(None)
            | Outcome::Short(_)
            | Outcome::Record(_)
            | Outcome::Longer(_)
            | Outcome::Piece(_)
            | Outcome::Mark(_)
            | Outcome::Header(_)
            | Outcome::Segment(_) => self.walk_instead(stream),
        }
    }

    /// Everything is taken in.
    pub(super) fn end_recovery(&mut self) {
        // What was opened and holds nothing need not be emptied.
        let walked = core::mem::take(&mut self.recovery().walked);
        for (sequence, _) in walked.iter().filter(|(_, walked)| walked.is_empty()) {
            if let Some(place) = self.log.place(Position { sequence: *sequence, sector: 0 }) {
                let stream = self.log.stream_of(place);
                self.log.streams[stream].live.remove(sequence);
                let free = Segment { standing: Standing::Free, stream, sequence: 0, stamp: 0 };
                *self.log.segment(place.segment) = free;
            }
        }
        let free = (0..).zip(&self.log.segments).filter(|(_, segment)| segment.standing == Standing::Free);
        self.log.free = free.map(|(number, _)| number).collect();
        if self.log.free.is_empty() {
            self.format();
        }
        self.phase = Phase::Writing;
        self.event(Event::Recovered { objects: self.objects(), bytes: self.used() });
    }

    /// Begins anew, with nothing: there is no room to empty a segment.
    fn format(&mut self) {
        let (sequence, stamp) = (self.log.next_sequence, self.log.next_stamp);
        self.log = Log::new(self.geometry);
        (self.log.next_sequence, self.log.next_stamp) = (sequence, stamp);
        self.index = Index::new(self.random.wide_bits());
        self.number = self.random.wide_bits();
        self.checksums = Checksums::of_store(self.number, self.planted);
        self.counts.formatted += 1;
    }
}
